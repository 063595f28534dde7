import re
from pathlib import Path

import pytest

from actors.metrics import METRICS, PREFIX

ACTORS = Path(__file__).parents[3] / "actors"
SOURCES = {path.name: path.read_text(encoding="utf-8") for path in ACTORS.glob("*.py") if path.name != "metrics.py"}
UNITS = {"seconds", "bytes"}
OTHER_NAMES = {"lingshu_core", "lingshu_log"}  # a package, and what a log line is marked with


@pytest.mark.parametrize("name", METRICS)
def test_names_are_as_prometheus_wants_them(name: str) -> None:
    metric = METRICS[name]
    assert re.fullmatch(rf"{PREFIX}[a-z]+(_[a-z]+)*", name)
    assert name.endswith("_total") == (metric.kind == "counter")
    assert bool(metric.buckets) == (metric.kind == "histogram")
    assert list(metric.buckets) == sorted(set(metric.buckets))
    if metric.unit in UNITS:
        assert metric.unit in name.split("_")


def test_a_histogram_and_its_exact_seconds_do_not_share_a_name() -> None:
    bases = [name.removesuffix("_total") for name in METRICS]
    assert len(set(bases)) == len(bases)  # else one registry can't hold both


def test_the_engine_measures_what_the_table_says_and_nothing_else() -> None:
    told = set(re.findall(r'"(lingshu_\w+)"', "".join(SOURCES.values()))) - OTHER_NAMES
    assert told == METRICS.keys() - {"lingshu_epoch"}  # the epoch is told by whoever holds it
