import json
from collections.abc import Callable
from typing import Any

import numpy as np
import polars as pl
import pytest

from screening.deciding.hits import hit_table
from screening.errors import ComparisonError
from screening.following_up.comparison import COLUMNS, compare
from screening.following_up.comparison_text import describe_comparison
from screening.publishing.published_campaign import PublishedCampaign

Publish = Callable[..., PublishedCampaign]
NULL = {"null_blocks": 20, "null_centre": 0.0, "null_sd": 0.1, "minimum_effect": 0.15, "high_90": 0.9}


def row(label: str, score: float | None, **changes: Any) -> dict[str, Any]:
    if score is None:
        return {"perturbation": label, "context": "T", "status": "failed", "reason": "it broke", "decision": "failed"}
    decided = {"decision": "hit" if score > 0.3 else "undecided", "q_value": 0.01 if score > 0.3 else 0.5}
    found = {"perturbation": label, "context": "T", "status": "done", "score": score, "score_se": 0.01, "gate": "pass"}
    return found | NULL | decided | {"decision_reason": "so"} | changes


@pytest.fixture
def publish() -> Publish:
    """Make a campaign from rows: `publish("a", [row("A", .5)], model="m" * 64)`."""

    def make(url: str, rows: list[dict[str, Any]], model: str = "m" * 64, **changes: Any) -> PublishedCampaign:
        objective = {"kind": "signature", "exclude_own_targets": True, "resolved": {"up": [], "down": ["G1", "G2"]}}
        manifest = {"run_id": url * 64, "model_digest": model, "question": "SET down (2 genes)", "campaign": "test"}
        spec = {"model": f"nowhere/{url}", "hits": {"fdr": 0.1, "minimum_effect": 0.0}}
        return PublishedCampaign(
            url=url,
            hits=hit_table(rows, {}),
            manifest=manifest | changes.get("manifest", {}),
            plan={"objective": objective | changes.get("objective", {}), "seed": 0},
            spec=spec | changes.get("spec", {}),
        )

    return make


def of(table: pl.DataFrame, label: str) -> dict[str, Any]:
    return table.filter(pl.col("perturbation") == label).row(0, named=True)


SCORES = {"A": 0.9, "B": 0.6, "C": 0.2, "D": 0.1, "E": -0.1}


def test_a_campaign_agrees_with_itself(publish: Publish) -> None:
    rows = [row(label, score) for label, score in SCORES.items()]
    found = compare(publish("a", rows), publish("a", rows))
    assert found.agreement.spearman == pytest.approx(1.0)
    assert found.agreement.rank_biased_overlap == pytest.approx(1.0)
    assert found.hits == {"a": 2, "b": 2, "kept": 2, "lost": 0, "gained": 0, "jaccard": 1.0}
    assert found.within_noise == 1.0
    assert found.differences == ()
    assert set(found.conditions["why"]) == {"the score is the same"}
    assert any("same run" in notice for notice in found.notices)


def test_the_table_has_its_columns(publish: Publish) -> None:
    rows = [row(label, score) for label, score in SCORES.items()]
    found = compare(publish("a", rows), publish("b", rows[:3], model="n" * 64)).conditions
    assert dict(found.schema) == {name: kind for name, (kind, _) in COLUMNS.items()}
    assert found.filter(pl.col("asked") == "A only")["perturbation"].sort().to_list() == ["D", "E"]


def test_ranks_count_what_both_have_done(publish: Publish) -> None:
    a = publish("a", [row("X", 2.0), row("A", 0.9), row("B", 0.6), row("C", 0.5)])
    b = publish("b", [row("A", 0.7), row("B", 0.8), row("C", None)], model="n" * 64)
    found = compare(a, b).conditions
    assert [of(found, label)["rank_a"] for label in "XABC"] == [None, 1, 2, None]
    assert [of(found, label)["rank_b"] for label in "AB"] == [2, 1]
    assert of(found, "B")["rank_gain"] == 1
    assert of(found, "C")["why"] == "failed in B: it broke"
    assert of(found, "X")["why"] == "asked in A only"


def test_one_model_differs_by_its_computation_only(publish: Publish) -> None:
    found = compare(publish("a", [row("A", 0.9)]), publish("b", [row("A", 0.8)])).conditions
    assert of(found, "A")["noise"] == pytest.approx(np.hypot(0.01, 0.01))
    assert of(found, "A")["noise_of"] == "computation"
    assert of(found, "A")["change_in_noise"] == pytest.approx(-0.1 / np.hypot(0.01, 0.01))


def test_two_models_differ_by_their_nulls(publish: Publish) -> None:
    other = publish("b", [row("A", 0.8, score_sd=0.5)], model="n" * 64)
    found = compare(publish("a", [row("A", 0.9)]), other).conditions
    assert of(found, "A")["noise"] == pytest.approx(np.sqrt(0.1**2 + 0.01**2 + 0.5**2))  # members where they are wider
    assert of(found, "A")["noise_of"] == "null"
    assert "within the joint noise" in of(found, "A")["why"]


def test_without_a_null_the_best_stand_for_hits(publish: Publish) -> None:
    none = dict.fromkeys(NULL) | {"q_value": None, "decision": "undecided"}
    rows = [row(f"P{i:02d}", float(i), **none) for i in range(90)]
    few = compare(publish("a", rows[:30]), publish("b", rows[:25], model="n" * 64))
    assert (few.hits["a"], few.hits["b"]) == (6, 6)
    found = compare(publish("a", rows), publish("b", rows[:85], model="n" * 64))
    assert (found.hits["a"], found.hits["b"]) == (20, 20)
    assert found.conditions["noise_of"].drop_nulls().unique().to_list() == ["computation and members"]
    assert any("nothing is decided" in notice for notice in found.notices)


def test_a_null_on_one_side_only_is_said(publish: Publish) -> None:
    none = dict.fromkeys(NULL) | {"q_value": None, "decision": "undecided", "decision_reason": "the model has no null"}
    found = compare(publish("a", [row("A", 0.9)]), publish("b", [row("A", 0.9, **none)], model="n" * 64))
    assert of(found.conditions, "A")["hit"] == "lost"
    assert of(found.conditions, "A")["why"].startswith("not judged in B: the model has no null")
    assert any("B decides nothing" in notice for notice in found.notices)


def test_the_parts_of_a_change_of_standing_sum_to_it(publish: Publish) -> None:
    changed = row("A", 0.5, null_centre=0.2, null_sd=0.3)
    found = of(compare(publish("a", [row("A", 0.9)]), publish("b", [changed], model="n" * 64)).conditions, "A")
    parts = found["by_score"] + found["by_null_centre"] + found["by_null_sd"]
    assert parts == pytest.approx(found["standing_b"] - found["standing_a"])
    assert (found["standing_a"], found["standing_b"]) == pytest.approx((9.0, 1.0))


def test_hits_that_moved_come_first(publish: Publish) -> None:
    a = publish("a", [row("A", 0.9), row("B", 0.4), row("C", 0.2), row("D", 0.5)])
    b = publish("b", [row("A", 0.9), row("B", 0.1), row("C", 0.35), row("D", 0.5)], model="n" * 64)
    found = compare(a, b)
    assert found.conditions["perturbation"].to_list() == ["B", "C", "A", "D"]
    assert found.conditions["hit"].to_list() == ["lost", "gained", "kept", "kept"]
    assert found.decisions == {("hit", "hit"): 2, ("hit", "undecided"): 1, ("undecided", "hit"): 1}


def test_different_questions_are_refused_with_their_words(publish: Publish) -> None:
    a = publish("a", [row("A", 0.9)])
    other = {"objective": {"resolved": {"up": ["G1", "G2"], "down": []}, "gene_set": {"direction": "up"}}}
    b = publish("b", [row("A", 0.9)], manifest={"question": "SET up (2 genes)"}, **other)
    with pytest.raises(ComparisonError, match=r"'SET down \(2 genes\)' and b for 'SET up \(2 genes\)'"):
        compare(a, b)
    same_words = publish("b", [row("A", 0.9)], **other)
    with pytest.raises(ComparisonError, match=r"objective\.gene_set is not set in A and direction up in B"):
        compare(a, same_words)


def test_the_same_genes_from_another_file_are_the_same_question(publish: Publish) -> None:
    b = publish("b", [row("A", 0.9)], objective={"gene_set": {"file": "elsewhere.gmt"}})
    assert compare(publish("a", [row("A", 0.9)]), b).agreement.conditions == 1


def test_another_panel_is_told_of(publish: Publish) -> None:
    b = publish("b", [row("A", 0.9)], objective={"resolved": {"up": [], "down": ["G1"]}})
    assert any("other genes" in notice for notice in compare(publish("a", [row("A", 0.9)]), b).notices)


def test_campaigns_without_a_condition_in_common_are_refused(publish: Publish) -> None:
    with pytest.raises(ComparisonError, match="no condition in common"):
        compare(publish("a", [row("A", 0.9)]), publish("b", [row("B", 0.9)]))


def test_where_nothing_is_done_in_both_there_is_no_figure(publish: Publish) -> None:
    found = compare(publish("a", [row("A", None)]), publish("b", [row("A", 0.9)]))
    assert (found.agreement.conditions, found.agreement.spearman, found.within_noise) == (0, None, None)
    assert "Spearman –" in "\n".join(part for part in describe_comparison(found, 5) if isinstance(part, str))


def test_all_of_it_is_json(publish: Publish) -> None:
    rows = [row(label, score) for label, score in SCORES.items()]
    found = compare(publish("a", rows), publish("b", rows, model="n" * 64))
    told = json.loads(json.dumps(found.as_json(2), allow_nan=False))
    assert len(told["conditions"]) == 2
    assert {"what", "a", "b"} == set(told["differences"][0])
    assert told["decisions"][0] == {"a": "undecided", "b": "undecided", "conditions": 3}


def test_tables_of_older_versions_compare_too(publish: Publish) -> None:
    new = publish("a", [row(label, score) for label, score in SCORES.items()])
    old = publish("b", [row(label, score) for label, score in SCORES.items()], model="n" * 64)
    kept = [name for name in old.hits.columns if name not in ("decision", "decision_reason", "gate", *NULL, "q_value")]
    found = compare(new, PublishedCampaign(old.url, old.hits.select(kept), old.manifest, old.plan, old.spec))
    assert found.agreement.spearman == pytest.approx(1.0)
    assert found.hits["b"] == 0


def test_the_page_shows_differences_agreement_and_moves(publish: Publish) -> None:
    a = publish("a", [row(label, score) for label, score in SCORES.items()])
    b = publish("b", [row(label, -score) for label, score in SCORES.items()], model="n" * 64)
    parts = list(describe_comparison(compare(a, b), 2))
    text = "\n".join(part for part in parts if isinstance(part, str))
    assert "both ask: SET down (2 genes)" in text
    assert "hits: 2 in A, 0 in B; 0 kept, 2 lost, 0 gained (Jaccard 0.00)" in text
    assert "2 of 5 conditions" in text
    assert sum(not isinstance(part, str) for part in parts) == 2
