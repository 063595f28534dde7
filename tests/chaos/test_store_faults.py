"""Every fault of a store, in one process: cheap faults, and so most of the thousand."""

from collections import Counter
from pathlib import Path
from typing import Any

from actors.blobs import Blobs, open_blobs
from actors.epoch import Epoch
from actors.fault_plan import FaultPlan
from actors.faulty_blobs import FAULTS
from actors.history import History
from actors.in_process_pool import InProcessPool
from actors.injector import Injector
from actors.ledger import Ledger
from actors.planner import Planner
from actors.rehearsal import rehearsed
from actors.snapshot import Snapshot
from actors.tasks import Task
from actors.verification import Verification, verify_history, verify_ledger
from actors.worker import WorkerSpec

SPEC = WorkerSpec("actors.rehearsal:RehearsalWorker")
IN_PROCESS = {"nan": 0.05, "raise": 0.05, "out of memory": 0.05, "slow": 0.05}
STORE = {"409": 0.2, "412": 0.2, "truncated body": 0.1, "slow body": 0.1} | dict.fromkeys(
    ("403", "429", "500", "503", "lost answer"), 0.05
)


def run(tasks: list[Task], blobs: Blobs, seen: Blobs, injector: Injector | None) -> bytes:
    """Compute, fold and publish, as a screen does; returns the table."""
    epoch = Epoch.begin(History(seen), "chaos")
    with InProcessPool(SPEC, blobs.url, injector) as pool:
        summary = Planner(pool, Ledger(seen)).run(tasks)
    assert (summary.committed, summary.duplicates, summary.failed) == (len(tasks), 0, {})
    snapshot = Snapshot(Ledger(seen))
    assert snapshot.committed() == {task.id for task in tasks}
    table = b"\n".join(snapshot.read(task.id) for task in tasks)
    epoch.publish("0" * 64, {"table": table}, snapshot.digests, ledger=blobs.url)
    return table


def test_no_fault_of_the_store_loses_or_doubles_a_result(tmp_path: Path, full: bool, struck: Any) -> None:
    tasks = [rehearsed(f"task {number}") for number in range(320 if full else 60)]
    blobs = open_blobs(str(tmp_path / "struck"))
    plan = FaultPlan(3, IN_PROCESS, STORE, slow_seconds=0.01)  # type: ignore[arg-type]
    injector = Injector(plan, str(tmp_path / "strikes"))
    table = run(tasks, blobs, injector.blobs(blobs, of_replica=False), injector)

    calm = open_blobs(str(tmp_path / "calm"))
    assert table == run(tasks, calm, calm, None)
    assert History(blobs).read(History(blobs).published().files["table"]) == table  # type: ignore[union-attr]
    found = Verification()
    verify_ledger(Ledger(blobs), found)
    verify_history(History(blobs), found)
    assert not found.flaws
    assert Counter(key.split("/")[1] for key, _ in blobs.list("data")) == Counter(task.id for task in tasks)

    met = injector.struck()
    assert met.keys() == {*FAULTS, *IN_PROCESS}
    assert met.total() > (900 if full else 60)
    struck.add("store", {fault: times for fault, times in met.items() if fault in FAULTS})
    struck.add("worker", {fault: times for fault, times in met.items() if fault in IN_PROCESS})
