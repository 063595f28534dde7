"""The page of the metrics names every metric, and no other."""

import re
from pathlib import Path

from lingshu_core.metric_catalogue import METRICS, SCALED
from lingshu_core.prediction_checks import MOST_TIMES_DEEPER, MOST_TIMES_WIDER
from screening.evaluating.cell_eval_scores import VERSIONS

PAGE = (Path(__file__).parents[3] / "docs" / "metrics.md").read_text(encoding="utf-8")
IN_TABLES = set(re.findall(r"`([a-z_0-9.A-Z]+)`", "\n".join(line for line in PAGE.splitlines() if line[:2] == "| ")))


def test_every_metric_is_explained_in_a_table() -> None:
    assert {name for name in METRICS if not name.endswith(SCALED)} - IN_TABLES == set()


def test_no_metric_is_explained_that_there_is_not() -> None:
    assert {name for name in IN_TABLES if name.startswith("cell_eval")} <= set(METRICS)


def test_versions_and_limits_are_those_of_the_code() -> None:
    for package in ("cell-eval", "cell-eval2"):
        assert f"`{package}` {VERSIONS[package]}" in PAGE
    assert f"within {MOST_TIMES_DEEPER:g} times" in PAGE
    assert f"above {MOST_TIMES_WIDER:g} times the controls'" in PAGE
