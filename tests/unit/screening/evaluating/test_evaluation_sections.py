import re
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import polars as pl
import pytest

from screening.evaluating.evaluation_sections import Findings, Section, sections, settings_of
from screening.evaluating.evaluation_tables import Tables
from screening.evaluating.evaluation_uncertainty import ABSTENTION, COVERAGE
from screening.evaluating.evaluation_verdict import verdicts


@pytest.fixture
def findings(tiny_evaluation: Path) -> Findings:
    tables = Tables(**{name: pl.read_parquet(tiny_evaluation / f"{name}.parquet") for name in Tables.__annotations__})
    return Findings("tiny", (), tables, verdicts(tables, "label"), "label")


@pytest.fixture
def section(findings: Findings) -> Callable[..., Section]:
    """Return a part of the report by the beginning of its title: `section("Scores", coverage=…)`."""
    return lambda title, **changes: next(
        each for each in sections(replace(findings, **changes)) if each.title.startswith(title)
    )


SectionOf = Callable[..., Section]


def test_settings_in_a_few_words() -> None:
    rows = [
        ("m", "model", 0, "tilt+pooled", 6, "geometric", 1.5, "published"),
        ("m", "model", 1, "tilt+pooled", 6, "geometric", 1.5, "published"),
        ("additive", "baseline", 0, "additive", 6, "geometric", 1.5, "none"),
    ]
    names = ["model", "role", "seed", "paths", "steps", "schedule", "guidance", "prior"]
    found = settings_of(pl.DataFrame(rows, schema=names, orient="row"))
    assert found == {"m": "tilt+pooled; 6 geometric steps, guidance 1.5; prior published; 2 seeds", "additive": ""}


def test_every_contender_has_a_row_in_every_table_of_scores(section: SectionOf, findings: Findings) -> None:
    names = set(findings.tables.runs["model"])
    for grid in section("Scores").tables:
        assert {row[0] for row in grid.rows} == names
        assert {len(row) for row in grid.rows} == {len(grid.columns)}
        model = next(row for row in grid.rows if row[0] == "tilted")
        assert re.fullmatch(r"bias\+tilt\S*; 2 geometric steps, guidance 0", model[1])


def test_a_baseline_that_was_not_run_stands_beside_the_others(section: SectionOf, findings: Findings) -> None:
    absent = replace(findings.verdicts[0], not_run=("ridge",))
    (grid,) = section("Against", verdicts=(absent,)).tables
    assert grid.title == "tilted"
    assert grid.rows[-1][:3] == ("ridge", "–", "not run")
    assert {row[0] for row in grid.rows} == {"no_change", "additive", "ridge"}


def test_gains_and_losses_are_those_of_the_scores(section: SectionOf, findings: Findings) -> None:
    (grid,) = section("Condition by condition").tables
    verdict = findings.verdicts[0]
    assert grid.columns == ("condition", "fold", "tilted", verdict.strongest, "gain")
    gains = [float(row[4]) for row in grid.rows]
    assert gains == sorted(gains, reverse=True)
    scores = findings.tables.scores.filter(
        (pl.col("metric") == verdict.metrics[0]) & (pl.col("label") == grid.rows[0][0]) & (pl.col("model") == "tilted")
    )
    assert float(grid.rows[0][2]) == pytest.approx(scores["value"].mean(), abs=5e-4)


def test_coverage_with_its_interval_or_the_reason_why_there_is_none(section: SectionOf) -> None:
    rows = [
        {"model": "m", "rule": "calibration split", "level": 0.9, "coverage": 0.88, "low": 0.8, "high": 0.93}
        | {"groups": 9, "width": 0.5},
        {"model": "n", "reason": "1 group"},
    ]
    curve = [{"model": "m", "share": share, "error": share, "random": 1.0} for share in (1.0, 0.95, 0.5)]
    found = section(
        "Uncertainty",
        coverage=pl.DataFrame(rows, schema=COVERAGE),
        abstention=pl.DataFrame(curve, schema=ABSTENTION),
    )
    covered, abstained = found.tables
    assert covered.rows[0] == ("m", "calibration split", "90 %", "88.0 % [80.0, 93.0]", "0.500", "9")
    assert covered.rows[1][3] == "none: 1 group"
    assert [row[1] for row in abstained.rows] == ["100 %", "50 %"]


def test_metrics_without_a_value_are_grouped_by_reason(section: SectionOf, findings: Findings) -> None:
    grid = section("Not run").tables[1]
    left_out = findings.tables.left_out
    assert {row[2] for row in grid.rows} == set(left_out["reason"])
    assert sum(int(row[1]) for row in grid.rows) == left_out.height
