from typing import Any

import pytest

from screening.following_up.change_causes import why_moved

FDR = (0.1, 0.1)


def moved(**changes: Any) -> dict[str, Any]:
    """A hit of A that is none in B: its score fell, and nothing else changed."""
    a = {"status": "done", "reason": None, "decision": "hit", "decision_reason": "so", "score": 0.9, "q_value": 0.01}
    b = a | {"decision": "undecided", "score": 0.5, "q_value": 0.3}
    null = {"null_centre": 0.0, "null_sd": 0.2, "minimum_effect": 0.2}
    sides = [{f"{name}_{side}": value for name, value in (own | null).items()} for side, own in (("a", a), ("b", b))]
    joint = {"noise_of": "null", "score_change": -0.4, "change_in_noise": -3.0, "standing_a": 4.5, "standing_b": 2.5}
    return sides[0] | sides[1] | joint | {"by_score": -2.0, "by_null_centre": 0.0, "by_null_sd": 0.0} | changes


def test_a_lost_score_is_named() -> None:
    told = why_moved(moved(), FDR)
    assert told.startswith("q 0.3 is over 0.1 in B, by its score mostly: 2.50 null standard deviations out, in A 4.50")
    assert told.endswith("score -0.4, 3.0 times the joint noise")


@pytest.mark.parametrize(
    ("part", "words"), [("by_null_sd", "the spread of the null"), ("by_null_centre", "the centre of the null")]
)
def test_the_part_of_the_null_that_took_most_is_named(part: str, words: str) -> None:
    assert f"by {words} mostly" in why_moved(moved(**{"by_score": -0.1, part: -1.9}), FDR)


def test_a_hit_that_is_gained_is_told_from_the_other_side() -> None:
    flipped = {"decision_a": "undecided", "decision_b": "hit", "q_value_a": 0.3, "q_value_b": 0.01, "by_score": 2.0}
    told = why_moved(moved(**flipped, standing_a=2.5, standing_b=4.5, score_change=0.4), FDR)
    assert told.startswith("q 0.3 is over 0.1 in A, by its score mostly: 2.50 null standard deviations out, in B 4.50")


def test_another_threshold_is_named() -> None:
    assert "by the threshold: A allows it" in why_moved(moved(), (0.4, 0.1))


def test_where_its_standing_is_the_same_it_was_the_others() -> None:
    assert "the other rows" in why_moved(moved(by_score=0.0), FDR)


def test_where_shards_were_chosen_by_scores_on_one_side_the_other_procedure_is_named() -> None:
    assert "e-BH" in why_moved(moved(by_score=0.0, e_value_a=None, e_value_b=3.0), FDR)
    assert "the other rows" in why_moved(moved(by_score=0.0, e_value_a=2.0, e_value_b=3.0), FDR)


def test_an_effect_under_the_minimum_is_told_from_a_larger_minimum() -> None:
    told = why_moved(moved(q_value_b=0.05, minimum_effect_b=0.6), FDR)
    assert "0.5 above the null is under the minimum effect 0.6 in B; the minimum effect of A is 0.2" in told
    told = why_moved(moved(q_value_b=0.05, minimum_effect_b=1.0), FDR)
    assert "is under the minimum effect 1 in B, which is larger than in A (0.2)" in told


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"status_b": None}, "asked in A only"),
        ({"status_a": None}, "asked in B only"),
        ({"status_b": "failed", "reason_b": "out of memory"}, "failed in B: out of memory"),
        ({"status_b": "failed", "reason_b": None}, "failed in B: no reason given"),
        ({"decision_b": "refused"}, "refused in B: its gate fails there"),
        ({"q_value_b": None, "decision_reason_b": "no null"}, "not judged in B: no null"),
        ({"decision_a": "not", "decision_reason_b": "q too high"}, "undecided in B: q too high"),
        ({"decision_b": "hit"}, "score -0.4, 3.0 times the joint noise"),
        (
            {"decision_b": "hit", "noise_of": "computation and members"},
            "3.0 times the error of computation and members; what else two trainings differ by is not known",
        ),
        ({"decision_b": "hit", "change_in_noise": 0.5}, "score -0.4, within the joint noise (0.5 times)"),
        ({"decision_b": "hit", "change_in_noise": None}, "score -0.4, and neither side has any noise"),
        ({"decision_b": "hit", "score_change": 0.0}, "the score is the same"),
    ],
)
def test_other_causes_have_words(changes: dict[str, Any], words: str) -> None:
    assert words in why_moved(moved(**changes), FDR)
