"""The files of deploy/monitoring: valid for the programs that read them, and only about metrics that exist."""

import importlib.util
import itertools
import json
import re
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import jsonschema
import pytest
import yaml

from actors.metrics import Metric
from screening.watching.run_metrics import RUN_METRICS

MONITORING = Path(__file__).parents[3] / "deploy" / "monitoring"
PAGE = Path(__file__).parents[3] / "docs" / "monitoring.md"
SCHEMA = json.loads((Path(__file__).parent / "grafana_board.schema.json").read_text(encoding="utf-8"))
BOARD: dict[str, Any] = json.loads((MONITORING / "board.json").read_text(encoding="utf-8"))
RULES: list[dict[str, Any]] = [
    rule for group in yaml.safe_load((MONITORING / "alerts.yml").read_text())["groups"] for rule in group["rules"]
]
GRAFANA_VARIABLES = {"$campaign": ".+", "$__rate_interval": "1m"}
CURE = "run `python deploy/monitoring/make_board.py` to write the board anew"


def shown(metric: Metric, name: str) -> dict[str, set[str]]:
    """The series that Prometheus has of a metric, each with its labels."""
    labels = {"campaign", *metric.label_names}
    if metric.kind != "histogram":
        return {name: labels}
    return {f"{name}_bucket": labels | {"le"}, f"{name}_count": labels, f"{name}_sum": labels}


SERIES = {series: labels for name, metric in RUN_METRICS.items() for series, labels in shown(metric, name).items()}


def board_queries() -> dict[str, str]:
    return {
        f"{panel['title']} {target['refId']}": target["expr"]
        for panel in BOARD["panels"]
        for target in panel["targets"]
    }


def queries() -> dict[str, str]:
    return board_queries() | {rule["alert"]: rule["expr"] for rule in RULES}


def promtool(*arguments: str) -> str:
    if shutil.which("promtool") is None:
        pytest.skip("no promtool on this machine: `apt-get install prometheus` has it")
    done = subprocess.run(["promtool", *arguments], cwd=MONITORING, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def test_the_board_is_written_by_its_script(monkeypatch: pytest.MonkeyPatch) -> None:
    spec = importlib.util.spec_from_file_location("make_board", MONITORING / "make_board.py")
    assert spec is not None
    assert spec.loader is not None
    script = importlib.util.module_from_spec(spec)
    monkeypatch.setitem(sys.modules, "make_board", script)  # where its dataclasses look for their module
    spec.loader.exec_module(script)
    assert (MONITORING / "board.json").read_text(encoding="utf-8") == script.text(), CURE


def test_the_board_is_as_grafana_wants_it() -> None:
    jsonschema.validate(BOARD, SCHEMA)
    assert len({panel["id"] for panel in BOARD["panels"]}) == len(BOARD["panels"])


def test_panels_do_not_lie_on_each_other() -> None:
    places = [panel["gridPos"] for panel in BOARD["panels"]]
    assert all(place["x"] + place["w"] <= 24 for place in places)
    for one, other in itertools.combinations(places, 2):
        apart = (one["x"] + one["w"] <= other["x"] or other["x"] + other["w"] <= one["x"]) or (
            one["y"] + one["h"] <= other["y"] or other["y"] + other["h"] <= one["y"]
        )
        assert apart, (one, other)


@pytest.mark.parametrize("where", queries())
def test_queries_name_metrics_and_labels_that_exist(where: str) -> None:
    query = queries()[where]
    series = set(re.findall(r"\blingshu_\w+", query))
    assert series <= SERIES.keys()
    assert series or where == "LingshuNodeUnseen"
    for name, selected in re.findall(r"\b(lingshu_\w+)\{([^}]*)\}", query):
        for label, values in re.findall(r'(\w+)(?:=~|!~|!=|=)"([^"]*)"', selected):
            assert label in SERIES[name]
            if label != "campaign":
                known = dict(RUN_METRICS[name].labels)[label].split(", ")
                assert set(values.split("|")) <= set(known)


def test_every_metric_has_its_place_on_the_board() -> None:
    on_board = " ".join(board_queries().values())
    without = [name for name in RUN_METRICS if not re.search(rf"\b{name}(_bucket|_count)?\b", on_board)]
    assert not without


def test_promtool_knows_the_rules_and_the_configuration() -> None:
    assert f"{len(RULES)} rules found" in promtool("check", "rules", "alerts.yml")
    promtool("check", "config", "prometheus.yml")


def test_alerts_ring_when_they_should() -> None:
    assert "SUCCESS" in promtool("test", "rules", "alerts_test.yml")


def test_promtool_can_read_every_query_of_the_board(tmp_path: Path) -> None:
    expressions = list(board_queries().values())
    for name, value in GRAFANA_VARIABLES.items():
        expressions = [each.replace(name, value) for each in expressions]
    rules = [{"record": f"board:{number}", "expr": each} for number, each in enumerate(expressions)]
    file = tmp_path / "board.yml"
    file.write_text(yaml.safe_dump({"groups": [{"name": "board", "rules": rules}]}))
    assert f"{len(rules)} rules found" in promtool("check", "rules", str(file))


def test_the_page_says_what_to_do_on_each_alert() -> None:
    told = re.findall(r"^### `(\w+)`$", PAGE.read_text(encoding="utf-8"), re.MULTILINE)
    assert told == [rule["alert"] for rule in RULES]
