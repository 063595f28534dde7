import re
from pathlib import Path

from screening.watching.run_metrics import RUN_METRICS

PAGE = Path(__file__).parents[3] / "docs" / "monitoring.md"
CURE = "run `python docs/make_monitoring_table.py` to write the table anew"


def documented() -> dict[str, tuple[str, str, str, str]]:
    line = r"^\| `(lingshu_\w+)` \| (\w+) \| (\w+) \| ([^|]+) \| (.+) \|$"
    found = re.findall(line, PAGE.read_text(encoding="utf-8"), re.MULTILINE)
    return {name: (kind, unit, labels, meaning) for name, kind, unit, labels, meaning in found}


def test_the_page_has_every_metric_as_the_code_has_it() -> None:
    told = documented()
    assert list(told) == list(RUN_METRICS), CURE
    for name, metric in RUN_METRICS.items():
        labels = "; ".join(f"`{label}`: {values}" for label, values in metric.labels) or "–"
        assert told[name] == (metric.kind, metric.unit, labels, metric.meaning), CURE


def test_the_files_that_it_names_are_there() -> None:
    named = set(re.findall(r"deploy/monitoring/(\w+\.\w+)", PAGE.read_text(encoding="utf-8")))
    there = {path.name for path in (PAGE.parents[1] / "deploy" / "monitoring").iterdir() if path.is_file()}
    assert named == there
