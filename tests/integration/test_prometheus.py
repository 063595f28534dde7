"""A real Prometheus with the configuration that is shipped: it scrapes a screen on real Ray, and knows the numbers."""

import json
import shutil
import socket
import subprocess
import time
import urllib.parse
import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from actors.cluster import RaySession
from actors.errors import MetricsUnavailable
from actors.progress import Progress
from campaigns.plan import Plan
from screening.planning.campaign import load_campaign, plan_campaign
from screening.run import run_campaign
from screening.watching.run_metrics import RUN_METRICS

pytestmark = pytest.mark.ray
SHIPPED = Path(__file__).parents[2] / "deploy" / "monitoring"
NAME = {"name": "kinases"}  # of no other test on the same cluster
FEW = {"contexts": {"cell_type": "type_1"}, "perturbations": {"genetic": ["REG04", "REG05"]}}
WriteYaml = Callable[..., Path]
Ask = Callable[[str], dict[str, float]]


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@pytest.fixture
def ask(ray_cluster: RaySession, tmp_path: Path) -> Iterator[Ask]:
    """Start Prometheus beside the cluster; `ask(query)` gives label values → number."""
    if shutil.which("prometheus") is None:
        pytest.skip("no Prometheus on this machine: `apt-get install prometheus` has it")
    import ray

    nodes = [f"{node['NodeManagerAddress']}:{node['MetricsExportPort']}" for node in ray.nodes() if node["Alive"]]
    discovered = tmp_path / "nodes.json"
    discovered.write_text(json.dumps([{"labels": {"job": "ray"}, "targets": nodes}]))  # as Ray writes it
    config = yaml.safe_load((SHIPPED / "prometheus.yml").read_text())
    config["global"] = {"scrape_interval": "1s", "evaluation_interval": "1s"}
    config["rule_files"] = [str(SHIPPED / "alerts.yml")]
    config["scrape_configs"][0]["file_sd_configs"] = [{"files": [str(discovered)]}]
    (tmp_path / "prometheus.yml").write_text(yaml.safe_dump(config))
    port = free_port()
    place = [f"--config.file={tmp_path}/prometheus.yml", f"--storage.tsdb.path={tmp_path}/series"]
    command = ["prometheus", *place, f"--web.listen-address=127.0.0.1:{port}", "--log.level=error"]

    def asked(query: str) -> dict[str, float]:
        words = urllib.parse.urlencode({"query": query})
        with urllib.request.urlopen(f"http://127.0.0.1:{port}/api/v1/query?{words}", timeout=10) as answer:
            found = json.load(answer)["data"]["result"]
        return {",".join(each["metric"].values()): float(each["value"][1]) for each in found}

    with subprocess.Popen(command) as process:
        try:
            yield asked
        finally:
            process.terminate()


def until(ask: Ask, query: str, expected: dict[str, float]) -> dict[str, float]:
    """Ask until the answer is as expected; Ray passes on what it hears every ten seconds."""
    deadline, found = time.monotonic() + 40, dict[str, float]()
    while found != expected and time.monotonic() < deadline:
        time.sleep(0.5)
        try:
            found = ask(query)
        except OSError:  # it is still starting
            continue
    return found


def cells_of(plan: Plan) -> int:
    return sum(block.n_shards for block in plan.blocks) * int(plan.inputs.estimator["depth_strata"])


def test_prometheus_knows_how_a_screen_went(
    ask: Ask, ray_cluster: RaySession, write_screen: WriteYaml, quiet: Any
) -> None:
    screen = write_screen(**FEW, compute={"replicas": 1, "address": ray_cluster.address})
    plan = plan_campaign(load_campaign(screen, NAME)).plan
    result = run_campaign(screen, quiet, NAME)
    published = 'sum by (status) (lingshu_conditions_published_total{campaign="kinases"})'
    assert until(ask, published, {"done": result.hits.height}) == {"done": result.hits.height}
    conditions = ask('sum by (status) (last_over_time(lingshu_conditions{campaign="kinases"}[5m]))')
    assert conditions == {"done": len(plan.conditions), "failed": 0, "cached": 0, "open": 0}
    tasks = ask('sum by (state) (last_over_time(lingshu_tasks{campaign="kinases"}[5m]))')
    assert tasks == {"done": len(plan.blocks), "failed": 0, "open": 0}
    attempts = ask("sum by (campaign, outcome) (lingshu_task_attempts_total)")
    assert {key: n for key, n in attempts.items() if "kinases" in key} == {"kinases,committed": len(plan.blocks)}
    totals = ask('sum by (__name__) (last_over_time({campaign="kinases"}[5m]))')
    assert totals["lingshu_cells_total"] == cells_of(plan)
    assert totals["lingshu_passes_total"] == cells_of(plan) * plan.inputs.estimator["steps"]
    assert totals["lingshu_commit_latency_seconds_count"] == len(plan.blocks)
    assert totals["lingshu_epoch"] == 1
    assert 0 < totals["lingshu_replica_busy_seconds_total"] < totals["lingshu_replica_seconds_total"]
    stems = {name.removesuffix(end) for name in totals for end in ("_bucket", "_count", "_sum", "")}
    unseen = {"lingshu_second_leases_total", "lingshu_store_errors_total", "lingshu_store_retries_total"}
    assert RUN_METRICS.keys() - stems == unseen  # nothing went wrong
    assert ask('ALERTS{campaign="kinases"}') == {}


class Scraping:
    """Hears a run, and reads its port with every progress."""

    def __init__(self, port: int) -> None:
        self.url, self.lines, self.said = f"http://127.0.0.1:{port}/metrics", list[str](), ""

    def stage(self, name: str, detail: str) -> None:
        self.said += detail

    def progress(self, progress: Progress) -> None:
        self.lines = urllib.request.urlopen(self.url).read().decode().splitlines()


def test_a_run_without_a_cluster_has_a_port(write_screen: WriteYaml, tmp_path: Path, quiet: Any) -> None:
    scraping = Scraping(free_port())
    overrides = NAME | {"metrics_port": int(scraping.url.split(":")[2].split("/")[0])}
    with socket.create_server(("127.0.0.1", overrides["metrics_port"])), pytest.raises(MetricsUnavailable):
        run_campaign(write_screen(**FEW), quiet, overrides)
    run_campaign(write_screen(**FEW), scraping, overrides)
    assert f"metrics {scraping.url}" in scraping.said
    assert 'lingshu_conditions{campaign="kinases",status="done"} 3.0' in scraping.lines
    assert 'lingshu_epoch{campaign="kinases"} 2.0' in scraping.lines  # the one that had no port was the first
