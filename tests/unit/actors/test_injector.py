import pickle
import uuid
from pathlib import Path

import pytest

from actors.blobs import open_blobs
from actors.errors import BadFaultPlan, BlobExists, StoreRefused, StoreUnavailable
from actors.fault_plan import FaultPlan
from actors.in_process_pool import InProcessPool
from actors.injector import Injector
from actors.ledger import Ledger
from actors.planner import Planner
from actors.rehearsal import rehearsed
from actors.worker import WorkerSpec

SPEC = WorkerSpec("actors.rehearsal:RehearsalWorker")
TASK = rehearsed("task")


def injector(**plan: object) -> Injector:
    return Injector(FaultPlan(**plan), f"memory://{uuid.uuid4().hex}")  # type: ignore[arg-type]


def test_a_refusal_strikes_what_replicas_write_and_nothing_else() -> None:
    injected = injector(store={"403": 1.0})
    blobs = open_blobs(f"memory://{uuid.uuid4().hex}")
    of_replica, of_planner = (injected.blobs(blobs, of_replica=replica) for replica in (True, False))
    of_planner.put("data/00/11", b"")
    of_replica.create("commits/00.json", b"")
    with pytest.raises(StoreRefused):
        of_replica.put("data/00/11", b"")
    injected.blobs(blobs, of_replica=True).put("data/00/11", b"")  # of a process that came later
    assert injected.struck() == {"403": 1}


def test_store_faults_strike_planners_too() -> None:
    blobs = injector(store={"412": 1.0}).blobs(open_blobs(f"memory://{uuid.uuid4().hex}"), of_replica=False)
    with pytest.raises(BlobExists):
        blobs.create("ledger/manifests/1.json", b"")
    assert blobs.exists("ledger/manifests/1.json")


def test_a_run_under_faults_ends_as_it_should_and_tells_what_struck() -> None:
    injected = injector(worker={"raise": 0.2, "nan": 0.2, "out of memory": 0.2, "slow": 0.2}, slow_seconds=0.0)
    url = f"memory://{uuid.uuid4().hex}"
    tasks = [rehearsed(f"task {number}") for number in range(40)]
    with InProcessPool(SPEC, url, injected) as pool:
        summary = Planner(pool, Ledger(open_blobs(url))).run(tasks)
    assert (summary.committed, summary.failed, summary.duplicates) == (40, {}, 0)
    struck = injected.struck()
    assert struck.keys() == {"raise", "nan", "out of memory", "slow"}
    injected.forget()
    assert not injected.struck()


def test_what_is_struck_always_is_set_aside() -> None:
    injected = injector(worker={"raise": 0.3}, strikes=None)
    url = f"memory://{uuid.uuid4().hex}"
    tasks = [rehearsed(f"task {number}") for number in range(20)]
    with InProcessPool(SPEC, url, injected) as pool:
        summary = Planner(pool, Ledger(open_blobs(url))).run(tasks)
    assert summary.committed + len(summary.failed) == 20
    assert 0 < len(summary.failed) < 15
    assert injected.struck() == {"raise": 3 * len(summary.failed)}


def test_deadly_faults_are_refused_in_this_process() -> None:
    with pytest.raises(BadFaultPlan, match=r"kill would end the run itself.*`backend: ray`"):
        InProcessPool(SPEC, f"memory://{uuid.uuid4().hex}", injector(worker={"kill": 0.1}))


def test_it_travels(tmp_path: Path) -> None:
    injected = Injector(FaultPlan(worker={"raise": 1.0}), str(tmp_path))
    assert pickle.loads(pickle.dumps(injected)) == injected
    with pytest.raises(Exception, match="injected: raise"):
        injected.worker(SPEC).open().run(TASK.payload)


def test_overload_is_waited_out() -> None:
    blobs = injector(store={"503": 1.0}).blobs(open_blobs(f"memory://{uuid.uuid4().hex}"), of_replica=True)
    with pytest.raises(StoreUnavailable):
        blobs.put("data/00/11", b"")
    assert Ledger(blobs, sleep=lambda _: None).commit(TASK.id, b"x", replica="r").status == "committed"
