from collections.abc import Callable
from typing import Any

import polars as pl
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from campaigns.screen_spec import HitsSpec
from screening.answers.context_groups import ContextGroups
from screening.answers.context_scores import ContextScores
from screening.answers.pan_context import COLUMNS, PAN, pan_table
from screening.deciding.decisions import FAILED, NOT, UNDECIDED

Make = Callable[..., Any]
NAMES = ("B", "M", "T")


def pan(screen: Any, trained: int = 3) -> pl.DataFrame:
    hits, null = screen
    labels = sorted(hits["context"].unique())
    groups = ContextGroups.of(ContextScores.of(hits, null, labels), [label[-1] for label in labels], 0.0)
    shared = {"factor": "cell_type", "score_unit": "u"}
    return pan_table(groups, HitsSpec(), shared, [trained] * len(groups.above))  # type: ignore[arg-type]


def row(*scores: float | None) -> dict[str, float | None]:
    return {f"cell_type={name}": score for name, score in zip(NAMES, scores, strict=True)}


def test_the_weakest_context_decides(decided_screen: Make) -> None:
    table = pan(decided_screen({"all": row(0.5, 0.52, 0.48), "two": row(0.5, 0.5, -0.2), "none": row(0.0, 0.0, 0.02)}))
    decisions = dict(table.select("perturbation", "decision").iter_rows())
    assert decisions == {"all": PAN, "two": NOT, "none": UNDECIDED}
    two = table.row(by_predicate=pl.col("perturbation") == "two", named=True)
    assert two["worst_context"] == "T"
    assert two["worst_score"] == pytest.approx(-0.2)
    assert two["contexts_hit"] == 2
    assert "in T it is -0.2 above the null" in two["decision_reason"]
    assert table["perturbation"].to_list() == ["all", "none", "two"]
    assert table["rank"].to_list() == [1, 2, 3]


def test_a_pan_context_hit_of_a_model_that_carries_effects_over_says_so(decided_screen: Make) -> None:
    effects = {"A": row(0.5, 0.52, 0.48)}
    for own, told in ((0.0, True), (0.05, False)):
        (found,) = pan(decided_screen(effects, own=own)).iter_rows(named=True)
        assert found["decision"] == PAN
        assert ("carries one effect over to all contexts" in found["decision_reason"]) is told


def test_effects_that_differ_are_not_consistent(decided_screen: Make) -> None:
    (found,) = pan(decided_screen({"A": row(0.3, 0.3, 0.9)})).iter_rows(named=True)
    assert found["decision"] == UNDECIDED
    assert "contexts differ by more than noise (I² 0." in found["decision_reason"]
    assert found["i_squared"] > 0.8


def test_shared_noise_keeps_the_pooled_interval_wide(decided_screen: Make) -> None:
    (found,) = pan(decided_screen({"A": row(0.5, 0.5, 0.5)})).iter_rows(named=True)
    assert found["noise_correlation"] == pytest.approx(1.0)
    # As wide as that of one context: 1.645 · 0.05 · √(10/8), the null's own mean being an estimate too.
    assert found["pooled_high"] - found["pooled_effect"] == pytest.approx(1.645 * 0.05 * 1.25**0.5, rel=0.03)
    assert found["prediction_low"] < found["pooled_low"]


def test_a_context_that_failed_leaves_it_undecided_and_all_failed_is_failed(decided_screen: Make) -> None:
    table = pan(decided_screen({"A": row(0.5, 0.5, None), "B": row(None, None, None), "C": row(0.1, 0.1, 0.1)}))
    found = {each["perturbation"]: each for each in table.iter_rows(named=True)}
    assert found["A"]["decision"] == UNDECIDED
    assert found["A"]["decision_reason"] == "in cell_type=T: failed: it exploded"
    assert found["A"]["contexts_done"] == 2
    assert found["B"]["decision"] == FAILED
    assert found["B"]["rank"] is None
    assert found["B"]["q_value"] is None


def test_without_a_null_nothing_is_decided(decided_screen: Make) -> None:
    (found,) = pan(decided_screen({"A": row(0.5, 0.5, 0.5)}, blocks=0)).iter_rows(named=True)
    assert found["decision"] == UNDECIDED
    assert found["decision_reason"].startswith("Monte Carlo only, which is too sure: the model has no null")
    assert found["errors"] == "Monte Carlo only"
    assert found["q_value"] is None
    assert found["pooled_effect"] == pytest.approx(0.5)


def test_a_refused_context_is_told(decided_screen: Make) -> None:
    (found,) = pan(decided_screen({"A": row(0.5, 0.5, 0.5)}, gate="fail")).iter_rows(named=True)
    assert found["decision"] == UNDECIDED
    assert "gate" in found["decision_reason"]


def test_columns_are_those_that_are_described(decided_screen: Make) -> None:
    table = pan(decided_screen({"A": row(0.5, 0.5, 0.5)}))
    assert dict(table.schema) == {name: kind for name, (kind, _) in COLUMNS.items()}


@given(scores=st.lists(st.lists(st.floats(-1, 1), min_size=3, max_size=3), min_size=2, max_size=5), data=st.data())
@settings(max_examples=15, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_the_order_of_rows_changes_nothing(decided_screen: Make, scores: list[list[float]], data: Any) -> None:
    hits, null = decided_screen({f"P{i}": row(*each) for i, each in enumerate(scores)})
    order = data.draw(st.permutations(range(hits.height)))
    table = pan((hits, null))
    assert pan((hits[order], null)).equals(table, null_equal=True)
    assert table["i_squared"].is_between(0, 1).all()
    assert (table["pooled_low"] <= table["pooled_high"]).all()
