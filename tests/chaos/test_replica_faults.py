"""Every fault of a replica, in processes of their own that Ray keeps; the store fails beside."""

from pathlib import Path
from typing import Any

import pytest

from actors.blobs import open_blobs
from actors.cluster import RaySession
from actors.fault_plan import WORKER_FAULTS, FaultPlan
from actors.faulty_blobs import FAULTS
from actors.injector import Injector
from actors.ledger import Ledger
from actors.planner import Planner, PlannerSettings
from actors.ray_pool import RayPool
from actors.rehearsal import rehearsed
from actors.worker import WorkerSpec

pytestmark = [pytest.mark.ray, pytest.mark.timeout(1200)]
SETTINGS = PlannerSettings(lease_seconds=1.0, deadline_seconds=8.0, late_seconds=4.0)
STORE = {"409": 0.05, "412": 0.05, "503": 0.02, "lost answer": 0.02, "truncated body": 0.02}
COSTLY = dict.fromkeys(("exit", "kill", "hang", "nan"), 0.05)
CHEAP = dict.fromkeys(("slow", "raise", "out of memory"), 0.06)


def test_no_fault_of_a_replica_loses_or_doubles_a_result(
    ray_cluster: RaySession, tmp_path: Path, full: bool, struck: Any
) -> None:
    tasks = [rehearsed(f"task {number}", seconds=0.02) for number in range(240 if full else 40)]
    plan = FaultPlan(11, COSTLY | CHEAP, STORE, slow_seconds=0.2)  # type: ignore[arg-type]
    injector = Injector(plan, str(tmp_path / "strikes"))
    blobs = open_blobs(str(tmp_path / "store"))
    seen = Ledger(injector.blobs(blobs, of_replica=False))
    with RayPool(3, WorkerSpec("actors.rehearsal:RehearsalWorker"), blobs.url, injector=injector) as pool:
        summary = Planner(pool, seen, SETTINGS).run(tasks)
    assert summary.failed == {}
    assert summary.committed + summary.duplicates == len(tasks)
    ledger = Ledger(blobs)
    assert {task.id: ledger.read(task.id) for task in tasks} == {
        task.id: f"task {number}".encode() for number, task in enumerate(tasks)
    }
    met = injector.struck()
    assert met.keys() >= {*WORKER_FAULTS} - {"raylet kill"}  # that one: tests/chaos/test_rehearsed_raylets.py
    assert summary.lost_leases >= met["exit"] + met["kill"]
    struck.add("worker", {fault: times for fault, times in met.items() if fault in WORKER_FAULTS})
    struck.add("store", {fault: times for fault, times in met.items() if fault in FAULTS})
