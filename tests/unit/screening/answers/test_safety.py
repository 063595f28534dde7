from typing import Any

import numpy as np
import polars as pl
import pytest
from scipy import special

from campaigns.safety_spec import SafetySpec
from screening.answers.safety import COLUMNS, PENALTY_COLUMNS, columns_of, measure, safety_table
from screening.objective.safety_scores import SCORE_COLUMNS

HITS = {
    "perturbation": pl.String,
    "context": pl.String,
    "status": pl.String,
    "reason": pl.String,
    "decision": pl.String,
    "support": pl.String,
    "training_cells_all": pl.Int64,
    "score": pl.Float64,
    "score_se": pl.Float64,
    "score_sd": pl.Float64,
    "members": pl.Int64,
    "shards": pl.Int64,
    "null_blocks": pl.Int64,
    "null_centre": pl.Float64,
    "null_sd": pl.Float64,
}


def hit(perturbation: str, score: float | None, context: str = "T", **changes: Any) -> dict[str, Any]:
    row = {"perturbation": perturbation, "context": context, "status": "done", "decision": "hit", "score": score}
    row |= {"support": "in_vocabulary", "training_cells_all": 50, "score_se": 0.01, "members": 1, "shards": 9}
    return row | changes


def penalty(perturbation: str, score: float, name: str = "stress", **changes: Any) -> dict[str, Any]:
    row = {"perturbation": perturbation, "context": "T", "penalty": name, "score": score, "score_se": 0.01}
    return row | {"members": 1, "shards": 9} | changes


def judged(hits: list[dict[str, Any]], penalties: list[dict[str, Any]], *spared: str, **asked: Any) -> pl.DataFrame:
    asked = asked or {"signatures": [{"name": "stress", "up": ["A"], "limit": 0.2}]}
    return safety_table(
        pl.DataFrame(hits, schema=HITS),
        pl.DataFrame(penalties, schema=SCORE_COLUMNS),
        SafetySpec.model_validate(asked, strict=False),
        spared,
    )


def test_over_under_and_near_a_limit() -> None:
    rows = [hit("bad", 1.0), hit("good", 0.9), hit("near", 0.8)]
    table = judged(rows, [penalty("bad", 0.3), penalty("good", 0.1), penalty("near", 0.2)])
    assert table["safety"].to_list() == ["unsafe", "safe", "undecided"]
    assert table["over_limit"].to_list() == ["stress", "", ""]
    assert table["safety_reason"][0].startswith("stress 0.3 ± 0.019, limit 0.2; by Monte Carlo error alone")
    assert set(table["error_from"]) == {"Monte Carlo"}
    assert table["decision"].to_list() == ["hit"] * 3
    assert table["penalty[stress]"].to_list() == [0.3, 0.1, 0.2]


def test_the_null_shifts_the_side_effect_and_widens_its_error() -> None:
    null = {"null_blocks": 20, "null_centre": 0.15, "null_sd": 0.05}
    table = judged([hit("a", 1.0), hit("b", 1.0)], [penalty("a", 0.3, **null), penalty("b", 0.5, **null)])
    assert table["safety"].to_list() == ["undecided", "unsafe"]
    assert table["harm"].to_list() == pytest.approx([0.15, 0.35])
    assert table["penalty_error[stress]"].to_list() == [0.05, 0.05]
    assert set(table["error_from"]) == {"null"}
    assert "Monte Carlo" not in table["safety_reason"][0]


def test_the_null_does_not_speak_of_what_was_never_trained() -> None:
    null = {"null_blocks": 20, "null_centre": 0.15, "null_sd": 0.05}
    rows = [hit("a", 1.0, support="features_only"), hit("a+b", 1.0, training_cells_all=0)]
    table = judged(rows, [penalty("a", 0.3, **null), penalty("a+b", 0.3, **null)])
    assert set(table["error_from"]) == {"Monte Carlo"}
    assert table["harm"].to_list() == [0.3, 0.3]


def test_margins_are_those_of_student_and_members_count() -> None:
    rows = [{"score": 0.0, "score_se": 0.03, "score_sd": 0.04, "members": 3, "shards": 9, "is_judged": True}]
    found = measure(pl.DataFrame(rows, schema=SCORE_COLUMNS | {"is_judged": pl.Boolean}))
    freedom = 0.05**4 / (0.03**4 / 8 + 0.04**4 / 2)
    assert found["error"][0] == pytest.approx(0.05)
    assert found["margin"][0] == pytest.approx(special.stdtrit(freedom, 0.95) * 0.05)


def test_a_side_effect_that_goes_the_other_way_is_no_merit() -> None:
    table = judged([hit("a", 1.0), hit("b", 1.0)], [penalty("a", -3.0), penalty("b", -0.1)])
    assert table["harm"].to_list() == [0.0, 0.0]
    assert table["is_on_front"].to_list() == [True, True]


def test_the_front_is_by_context_and_ties_share_it() -> None:
    rows = [hit("a", 2.0), hit("b", 1.0), hit("c", 0.5), hit("d", 0.5), hit("a", 0.1, "B")]
    harm = [penalty("a", 0.9), penalty("b", 0.1), penalty("c", 0.1), penalty("d", 0.1), penalty("a", 5.0, context="B")]
    table = judged(rows, harm)
    assert table["pareto_layer"].to_list() == [1, 1, 2, 2, 1]
    assert table["is_on_front"].to_list() == [True, True, False, False, True]


def test_the_order_of_rows_does_not_matter() -> None:
    random = np.random.default_rng(0)
    rows = [hit(f"p{i}", float(random.normal())) for i in range(30)]
    harm = [penalty(f"p{i}", float(random.normal()), name) for i in range(30) for name in ("stress", "p53")]
    asked = {"signatures": [{"name": "stress", "up": ["A"], "limit": 0.2}, {"name": "p53", "up": ["B"]}]}
    straight = judged(rows, harm, **asked)
    turned = judged(rows[::-1], harm[::-1], **asked)
    assert turned.reverse().equals(straight, null_equal=True)
    assert (straight["worst_penalty"] == "p53").any()
    assert set(straight["over_limit"]) == {"", "stress"}  # p53 has no limit


def test_a_perturbation_gets_its_worst_effect_in_spared_contexts() -> None:
    rows = [
        hit("a", 1.0),
        hit("b", 0.9),
        hit("a", 0.02, "B"),
        hit("b", 0.0, "B"),
        hit("a", -0.6, "N"),
        hit("b", 0.1, "N"),
    ]
    table = judged(rows, [], "B", "N", spare=[{"cell": "B"}], spare_limit=0.3)
    assert table["spared_context"].to_list()[:2] == ["N", "N"]
    assert table["spared_score"].to_list()[:2] == [-0.6, 0.1]
    assert table["safety"].to_list()[:2] == ["unsafe", "safe"]
    assert table["over_limit"][0] == "effect in spared contexts"
    assert table["is_spared"].to_list() == [False, False, True, True, True, True]
    assert table["pareto_layer"].to_list() == [1, 1, None, None, None, None]  # b scores less and spares more


def test_what_failed_where_it_should_be_spared_is_undecided() -> None:
    rows = [hit("a", 1.0), hit("a", None, "B", status="failed")]
    table = judged(rows, [], "B", spare=[{"cell": "B"}], spare_limit=0.3)
    assert table["safety"].to_list() == ["undecided", "failed"]
    assert "failed in 1 of 1 spared contexts" in table["safety_reason"][0]
    assert table["spared_score"][0] is None


def test_a_side_effect_without_genes_is_never_called_safe() -> None:
    table = judged([hit("a", 1.0)], [])
    assert table["safety"].to_list() == ["undecided"]
    assert table["safety_reason"][0].startswith("stress: no gene is left")
    assert table["pareto_layer"].to_list() == [None]


def test_without_a_limit_nothing_is_judged_and_the_front_is_there() -> None:
    table = judged([hit("a", 1.0)], [penalty("a", 0.3)], signatures=[{"name": "stress", "up": ["A"]}])
    assert table["safety"].to_list() == ["undecided"]
    assert table["safety_reason"].to_list() == ["no limit is set; see pareto_layer"]
    assert table["pareto_layer"].to_list() == [1]


def test_a_failed_condition_keeps_its_reason() -> None:
    table = judged([hit("a", None, status="failed", reason="NaN", decision="failed")], [])
    assert table.select("safety", "safety_reason", "decision").row(0) == ("failed", "NaN", "failed")


def test_columns_have_the_names_of_the_side_effects() -> None:
    table = judged([hit("a", 1.0)], [penalty("a", 0.3)])
    schema = columns_of(["stress"])
    assert table.schema == pl.Schema({name: kind for name, (kind, _) in schema.items()})
    assert len(schema) == len(COLUMNS) + len(PENALTY_COLUMNS)
