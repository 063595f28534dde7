import itertools
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest

from lingshu_core.score_table import ScoreRows
from screening.evaluating.evaluation_store import UnitResult
from screening.evaluating.evaluation_tables import Run, Tables, deciding_metrics, make_tables, score_table, unit_of

PACKAGED = "cell_eval2.de_wilcoxon_sig_jaccard"
VALUES = {"tilted": 0.6, "additive": 0.5, "no_change": 0.1, "replicate": 0.9}


@pytest.fixture
def made_up(plan_evaluation: Callable[..., Any]) -> Callable[..., tuple[Any, list[Run]]]:
    """Make runs of two seeds in which every contender always has the same score: `made_up(tilted=None)` fails it."""

    def make(**values: float | None) -> tuple[Any, list[Run]]:
        planned = plan_evaluation(seeds=[0, 1])
        named = {contender.name: contender for contender in planned.asked}
        runs = []
        for unit in planned.units:
            value = (VALUES | values)[unit.contender]
            result = None if value is None else result_of(planned.split.fold(unit.fold), value, unit.seed)
            runs.append(Run(named[unit.contender], unit, result, "" if result else "it broke"))
        return planned, runs

    return make


def result_of(fold: Any, value: float, seed: int) -> UnitResult:
    rows = ScoreRows(fold.name)
    for place, question in enumerate(fold.questions):
        rows.add("pearson_delta", question.label, value + 0.01 * place + 0.001 * seed)
        rows.add("wmse", question.label, 1 - value)
        rows.add(PACKAGED, question.label, 0.1 * value)
        rows.add(f"{PACKAGED}.scaled", question.label, value)
        rows.leave_out("pds_l1", question.label, "too few perturbations")
    labels = tuple(question.label for question in fold.questions)
    nothing = np.zeros((len(labels), 40), dtype=np.float32)
    return UnitResult(labels, nothing, nothing, rows.scores(), facts={"paths": "tilt", "epochs": 2})


def tables_of(made: tuple[Any, list[Run]]) -> Tables:
    planned, runs = made
    return make_tables(planned.asked, runs, planned.split, None)


MadeUp = Callable[..., tuple[Any, list[Run]]]


def test_scores_name_their_question(made_up: MadeUp) -> None:
    planned, runs = made_up()
    table = score_table(runs, planned.split)
    questions = sum(len(fold.questions) for fold in planned.split.folds)
    assert table.height == 4 * questions * 5
    row = table.row(0, named=True)
    assert row["label"].startswith(row["perturbation"])
    assert row["label"].endswith(f" in {row['context'].removeprefix('cell_type=')}")
    assert table["metric"].unique(maintain_order=True).to_list() == [
        "pearson_delta",
        "wmse",
        PACKAGED,
        f"{PACKAGED}.scaled",
    ]
    assert table.filter(pl.col("role") == "replicate")["model"].unique().to_list() == ["replicate"]


def test_two_seeds_of_a_question_are_one_piece_of_evidence(made_up: MadeUp) -> None:
    summary = tables_of(made_up()).summary.filter(pl.col("metric") == "pearson_delta")
    units = dict(zip(summary["model"], summary["units"], strict=True))
    assert len(set(units.values())) == 1
    assert summary["model"].to_list() == ["tilted", "no_change", "additive", "replicate"]


def test_scaled_scores_run_from_the_mean_response_to_a_replicate(made_up: MadeUp, monkeypatch: Any) -> None:
    monkeypatch.setattr("screening.evaluating.evaluation_tables.MEAN_RESPONSES", ("additive",))
    summary = tables_of(made_up()).summary.filter(pl.col("metric") == "wmse.scaled")
    found = dict(zip(summary["model"], summary["mean"], strict=True))
    assert set(found) == {"tilted", "no_change"}  # the ends of the scale are no news on it
    assert found["tilted"] == pytest.approx((0.4 - 0.5) / (0.1 - 0.5))


@pytest.mark.parametrize(("replicate", "scales"), [(0.9, True), (0.5, False), (0.4, False)])
def test_a_package_s_scale_counts_where_its_ends_can_be_told_apart(
    made_up: MadeUp, monkeypatch: Any, replicate: float, scales: bool
) -> None:
    monkeypatch.setattr("screening.evaluating.evaluation_tables.MEAN_RESPONSES", ("additive",))
    found = tables_of(made_up(replicate=replicate))
    assert (f"{PACKAGED}.scaled" in set(found.scores["metric"])) == scales
    assert (f"{PACKAGED}.scaled" in set(found.summary["metric"])) == scales
    reasons = found.left_out.filter(pl.col("metric") == f"{PACKAGED}.scaled")
    assert set(reasons["model"]) == (set() if scales else set(VALUES))
    assert all("nothing to scale by" in reason for reason in reasons["reason"])


def test_who_was_not_run_has_a_row(made_up: MadeUp) -> None:
    found = tables_of(made_up(additive=None))
    assert set(found.summary.filter(pl.col("model") == "additive")["status"]) == {"not run"}
    assert "additive" not in found.comparisons["baseline"].to_list()
    runs = found.runs.filter(pl.col("model") == "additive")
    assert set(runs["status"]) == {"failed"}
    assert set(runs["reason"]) == {"it broke"}


def test_who_could_not_answer_was_not_run(made_up: MadeUp) -> None:
    planned, runs = made_up()
    mute = [
        run if run.contender.name != "additive" or run.result is None else replace(run, result=silent(run.result))
        for run in runs
    ]
    table = make_tables(planned.asked, mute, planned.split, None).runs.filter(pl.col("model") == "additive")
    assert set(table["status"]) == {"not run"}
    assert set(table["reason"]) == {"never seen 'A' (and 1 more)"}


def silent(result: UnitResult) -> UnitResult:
    nothing = np.zeros((0, 40), dtype=np.float32)
    reasons = {label: f"never seen {name!r}" for label, name in zip(result.labels, itertools.cycle("AB"), strict=False)}
    return UnitResult((), nothing, nothing, ScoreRows("").scores(), reasons)


def test_metrics_that_have_no_value_stand_with_their_reason(made_up: MadeUp) -> None:
    left_out = tables_of(made_up()).left_out
    assert set(left_out["metric"]) == {"pds_l1"}
    assert set(left_out["model"]) == set(VALUES)
    assert left_out.height == left_out.unique().height


def test_what_decides_is_corrected_for_itself(made_up: MadeUp) -> None:
    comparisons = tables_of(made_up()).comparisons
    assert set(comparisons.filter(pl.col("deciding"))["metric"]) == {"pearson_delta", "wmse"}
    assert not set(comparisons["metric"]) & {"wmse.scaled"}


@pytest.mark.parametrize(
    ("there", "decide"),
    [
        (["pearson_delta", "wmse", "pearson_systema", "pds_l1"], ("pearson_systema", "wmse", "pds_l1")),
        (["wmse", "pearson_delta"], ("pearson_delta", "wmse")),
        (["mmd"], ()),
    ],
)
def test_the_metrics_that_decide_are_fixed_beforehand(there: list[str], decide: tuple[str, ...]) -> None:
    assert deciding_metrics(there) == decide


def test_many_perturbations_are_the_units_and_else_the_questions() -> None:
    scores = pl.DataFrame({"perturbation": list("ABCDEF"), "label": [f"{name} in B cells" for name in "ABCDEF"]})
    assert unit_of(scores) == "perturbation"
    assert unit_of(scores.head(5)) == "label"


def test_the_tables_are_those_that_are_written(tiny_evaluation: Path) -> None:
    names = {path.name for path in tiny_evaluation.glob("*.parquet")}
    assert {f"{name}.parquet" for name in Tables.__dataclass_fields__} < names
