"""Raylets killed one after the other while their replicas work and fail besides: the screen goes on within seconds."""

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from actors.blobs import open_blobs
from actors.ledger import Ledger
from actors.rehearsal import rehearsed

pytestmark = [pytest.mark.ray, pytest.mark.timeout(1200)]

# In a process of its own: the tests' process is connected to another cluster already.
DRIVER = """
import json, os, sys, time
os.environ.update(RAY_AUTH_MODE="disabled", RAY_USAGE_STATS_ENABLED="0")
from ray.cluster_utils import Cluster
from actors.blobs import open_blobs
from actors.cluster import ray_session
from actors.fault_plan import FaultPlan
from actors.injector import Injector
from actors.ledger import Ledger
from actors.planner import Planner, PlannerSettings
from actors.ray_pool import RayPool
from actors.rehearsal import rehearsed
from actors.worker import WorkerSpec

store, raylets, tasks = sys.argv[1], int(sys.argv[2]), int(sys.argv[3])
small = {"object_store_memory": 100 * 2**20}
cluster = Cluster(initialize_head=True, head_node_args={"num_cpus": 0, "include_dashboard": False, **small})
nodes = [cluster.add_node(num_cpus=1, **small) for _ in range(2)]
settings = PlannerSettings(lease_seconds=0.5, deadline_seconds=60, late_seconds=20)
injector = Injector(FaultPlan(1, {"raise": 0.05, "slow": 0.05}, {"412": 0.1}, 1, slow_seconds=0.1), store + "/strikes")
moments, kills = [], []

def look(progress):
    global last
    if progress.done > last:
        last = progress.done
        moments.append(time.monotonic())
    if len(kills) < raylets and progress.done >= (len(kills) + 1) * tasks / (raylets + 1):
        nodes.append(cluster.add_node(num_cpus=1, **small))
        cluster.remove_node(nodes.pop(0), allow_graceful=False)
        kills.append(time.monotonic())
        moments.append(kills[-1])  # what the test itself takes is not the engine's

last = 0
with ray_session(cluster.address, auth="disabled"):
    with RayPool(2, WorkerSpec("actors.rehearsal:RehearsalWorker"), store, elastic=True, injector=injector) as pool:
        work = [rehearsed(f"task {number}", seconds=0.1) for number in range(tasks)]
        summary = Planner(pool, Ledger(open_blobs(store)), settings, look).run(work)
gaps = [after - before for before, after in zip(moments, moments[1:]) if before >= kills[0]]
print(json.dumps({
    "failed": dict(summary.failed), "committed": summary.committed, "lost": summary.lost_leases,
    "longest_wait": max(gaps), "kills": len(kills), "struck": dict(injector.struck()),
}), flush=True)
cluster.shutdown()
"""


def test_killed_raylets_hold_the_screen_up_for_seconds(tmp_path: Path, full: bool, struck: Any) -> None:
    if not full:
        pytest.skip("with CHAOS=full only: tests/integration/test_several_nodes.py kills one raylet")
    raylets, tasks = 4, 500
    command = [sys.executable, "-c", DRIVER, str(tmp_path), str(raylets), str(tasks)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=1000)
    assert done.returncode == 0, done.stderr[-3000:]
    told = json.loads(done.stdout.splitlines()[-1])
    assert (told["failed"], told["kills"]) == ({}, raylets)
    assert told["lost"] >= 1
    assert told["longest_wait"] < 15
    ledger = Ledger(open_blobs(str(tmp_path)))
    assert {number: ledger.read(rehearsed(f"task {number}", seconds=0.1).id) for number in range(tasks)} == {
        number: f"task {number}".encode() for number in range(tasks)
    }
    assert told["committed"] == len(ledger.committed()) == tasks
    struck.add("process", {"raylet killed": told["kills"]})
    struck.add("worker", {fault: times for fault, times in told["struck"].items() if fault in ("raise", "slow")})
    struck.add("store", {"412": told["struck"]["412"]})
    struck.note(f"after a killed raylet the longest wait for a result was {told['longest_wait']:.1f} s")
