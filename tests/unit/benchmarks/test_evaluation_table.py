from __future__ import annotations

import numpy as np
import polars as pl
import pytest

from benchmarks.evaluation_table import (
    EFFECTS,
    REALISM,
    SIX,
    Figure,
    carried,
    decided,
    figure,
    merged,
    number,
    six_that_are_carried,
    with_unit,
)
from lingshu_core.metric_catalogue import METRICS
from lingshu_core.score_summary import compare


def scores(values: dict[int, list[float]], metric: str = "pearson_delta", model: str = "lingshu") -> pl.DataFrame:
    """Scores of one model: seed → a value a question."""
    rows = [
        (metric, model, "f", f"A{at} in T", f"A{at}", f"cell_type=T{at}, donor=d", seed, value)
        for seed, found in values.items()
        for at, value in enumerate(found)
    ]
    names = ["metric", "model", "fold", "label", "perturbation", "context", "seed", "value"]
    return pl.DataFrame(rows, schema=names, orient="row")


def test_every_metric_of_the_table_is_one_of_ours() -> None:
    assert set(EFFECTS) | set(REALISM) | set(SIX) | {f"{name}.scaled" for name in SIX} <= set(METRICS)
    assert len(SIX) == 6


@pytest.mark.parametrize(
    ("value", "text"), [(0.5, ".500"), (-0.0625, "−.062"), (1.25, "1.250"), (12.34, "12.3"), (-1e-6, ".000")]
)
def test_numbers_are_written_as_in_the_docs(value: float, text: str) -> None:
    assert number(value) == text


def test_a_value_is_the_median_over_seeds_of_means_over_units() -> None:
    found = figure(with_unit(scores({0: [0.0, 0.2, 0.4], 1: [0.5, 0.5, 0.5], 2: [0.6, 0.8, 1.0]}), "label"))
    assert found is not None
    assert found.value == pytest.approx(0.5)
    assert found.low is not None
    assert found.high is not None
    assert 0.0 <= found.low <= found.value <= found.high <= 1.0


def test_an_interval_is_over_units_and_not_over_seeds() -> None:
    rng = np.random.default_rng(0)
    few = list(rng.normal(size=12))
    once, thrice = (figure(with_unit(scores(dict.fromkeys(seeds, few)), "label")) for seeds in ([0], [0, 1, 2]))
    assert once == thrice  # the same answer three times is no more evidence


def test_two_units_have_no_interval() -> None:
    assert str(figure(with_unit(scores({0: [0.25, 0.75]}), "label"))) == ".500"
    assert figure(with_unit(scores({}), "label")) is None


def test_units_can_be_a_factor_of_the_context() -> None:
    table = with_unit(scores({0: [0.0, 1.0]}), "cell_type")
    assert table["unit"].to_list() == ["T0", "T1"]
    assert with_unit(table, "donor")["unit"].to_list() == ["d", "d"]
    assert with_unit(table.with_columns(context=pl.lit(None, dtype=pl.String)), "donor")["unit"].null_count() == 2
    assert with_unit(table, "perturbation")["unit"].to_list() == ["A0", "A1"]


def test_what_few_questions_can_carry_is_not_shown() -> None:
    whole = scores({0: [1.0] * 5, 1: [1.0] * 5})
    some = {few: with_unit(pl.concat([whole, scores({0: [1.0] * few}, "pds_l1")]), "label") for few in (2, 3)}
    assert [list(carried(table, EFFECTS)) for table in some.values()] == [
        ["pearson_delta"],
        ["pearson_delta", "pds_l1"],
    ]
    assert six_that_are_carried(some[2]) == SIX
    assert carried(whole.with_columns(unit="label").head(0), EFFECTS) == {}


@pytest.mark.parametrize(
    ("real", "shown"),
    [
        ([0.9, 0.8, 0.95, 0.85, 0.9, 0.8], "cell_eval2.pds_cosine.scaled"),
        ([0.9, 0.2, 0.8, 0.1, 0.7, 0.4], "cell_eval2.pds_cosine"),
        ([0.4, 0.4, 0.5, 0.4, 0.5, 0.5], "cell_eval2.pds_cosine"),
    ],
)
def test_what_real_cells_do_not_certainly_do_better_is_no_scale(real: list[float], shown: str) -> None:
    raw = "cell_eval2.pds_cosine"
    sides = {"replicate": real, "context_mean": [0.5, 0.45, 0.55, 0.5, 0.5, 0.5]}
    parts = [scores({0: values}, raw, model) for model, values in sides.items()]
    parts += [scores({0: [1.0] * 6}, f"{raw}.scaled")]
    table = with_unit(pl.concat(parts), "label")
    assert shown in six_that_are_carried(table)
    assert len(six_that_are_carried(table)) == 6
    assert list(carried(table, six_that_are_carried(table))) == [shown]


def test_those_who_said_the_same_share_a_row() -> None:
    rows = [["additive", "–", ".1"], ["low_rank", "–", ".2"], ["nearest", "–", ".1"]]
    rows += [["ridge", "*not run*", "–"], ["knn", "*not run*", "–"]]
    first, second, *rest = merged(rows)
    assert (first, second) == (["additive, nearest", "–", ".1"], ["low_rank", "–", ".2"])
    assert [row[0] for row in rest] == ["ridge", "knn"]


def test_a_difference_is_undecided_where_its_interval_holds_zero() -> None:
    better = scores({0: [0.5, 0.6, 0.7, 0.8, 0.6, 0.55, 0.7]})
    level = scores({0: [0.1, -0.1, 0.2, -0.2, 0.05, -0.05, 0.01]})
    zero = scores({0: [0.0] * 7}, model="no_change")
    words = []
    for mine in (better, level):
        table = with_unit(pl.concat([mine, zero]), "label")
        words.append(
            decided(compare(table, models=["lingshu"], baselines=["no_change"], unit="unit").row(0, named=True))
        )
    assert words[0].startswith("better .6")
    assert words[1].startswith("*undecided* .001 [−.")


def test_five_units_decide_nothing() -> None:
    table = with_unit(pl.concat([scores({0: [0.5] * 5}), scores({0: [0.1] * 5}, model="no_change")]), "label")
    row = compare(table, models=["lingshu"], baselines=["no_change"], unit="unit").row(0, named=True)
    assert decided(row) == "*undecided* .400 [.400, .400]"
    assert str(Figure(0.5, None, None)) == ".500"
