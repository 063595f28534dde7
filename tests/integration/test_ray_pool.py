"""Replicas as real Ray actors: lost ones are replaced, results survive, nothing hangs."""

import os
import signal
import threading
import time
from collections.abc import Callable
from pathlib import Path
from subprocess import Popen

import pytest

from actors.blobs import open_blobs, probe_conditional_writes
from actors.cluster import RaySession
from actors.errors import NotEnoughResources, ReplicaStartFailed
from actors.ledger import Ledger
from actors.planner import Planner, PlannerSettings
from actors.progress import Progress
from actors.ray_pool import THREAD_VARIABLES, RayPool, ReplicaShape
from actors.rehearsal import rehearsed
from actors.tasks import Task
from actors.worker import WorkerSpec

pytestmark = pytest.mark.ray
QUICK = PlannerSettings(lease_seconds=0.5, deadline_seconds=60)

DRIVER = """
import sys
from actors.blobs import open_blobs
from actors.cluster import ray_session
from actors.ledger import Ledger
from actors.planner import Planner, PlannerSettings
from actors.ray_pool import RayPool
from actors.rehearsal import rehearsed
from actors.worker import WorkerSpec

address, store = sys.argv[1:]
tasks = [rehearsed(str(number), seconds=0.1) for number in range(400)]
try:
    with ray_session(address, auth="disabled") as session:
        assert not session.started_here
        pool = RayPool(2, WorkerSpec("actors.rehearsal:RehearsalWorker"), store)
        settings = PlannerSettings(lease_seconds=0.5)
        Planner(pool, Ledger(open_blobs(store)), settings, lambda seen: print(seen.done, flush=True)).run(tasks)
except KeyboardInterrupt:
    print("interrupted", pool.replicas)
"""


@pytest.fixture
def spec(tmp_path: Path) -> WorkerSpec:
    return WorkerSpec("actors.rehearsal:RehearsalWorker", {"scratch": str(tmp_path)})


@pytest.mark.s3
def test_replicas_commit_to_a_bucket(ray_cluster: RaySession, s3_url: str) -> None:
    probe_conditional_writes(open_blobs(s3_url))
    tasks = [rehearsed(f"task {number}") for number in range(30)]
    ledger = Ledger(open_blobs(s3_url))
    with RayPool(2, WorkerSpec("actors.rehearsal:RehearsalWorker"), s3_url) as pool:
        summary = Planner(pool, ledger, QUICK).run(tasks)
    assert ledger.committed() == {task.id for task in tasks}
    assert summary.committed == len(tasks)
    assert [ledger.read(task.id) for task in tasks] == [f"task {number}".encode() for number in range(30)]
    assert {ledger.record(task.id).replica for task in tasks} <= {"replica-0", "replica-1"}


def test_a_replica_killed_in_mid_lease_is_replaced(ray_cluster: RaySession, spec: WorkerSpec, tmp_path: Path) -> None:
    killer = rehearsed("killer", fault="die", times=1)
    tasks = [*(rehearsed(str(number), seconds=0.01) for number in range(40)), killer]
    ledger = Ledger(open_blobs(str(tmp_path / "store")))
    with RayPool(2, spec, str(tmp_path / "store")) as pool:
        summary = Planner(pool, ledger, QUICK).run(tasks)
        assert pool.replicas == 2
    assert summary.complete
    assert summary.lost_leases == 1
    assert ledger.committed() == {task.id for task in tasks}
    assert len(list(open_blobs(str(tmp_path / "store")).list("data"))) == len(tasks)


def test_a_task_that_kills_every_replica_is_set_aside(
    ray_cluster: RaySession, spec: WorkerSpec, tmp_path: Path
) -> None:
    killer = rehearsed("killer", fault="die")
    tasks = [*(rehearsed(str(number)) for number in range(10)), killer]
    ledger = Ledger(open_blobs(str(tmp_path / "store")))
    with RayPool(1, spec, str(tmp_path / "store")) as pool:
        summary = Planner(pool, ledger, QUICK).run(tasks)
    assert list(summary.failed) == [killer.id]
    assert "was lost: ActorDiedError" in summary.failed[killer.id]
    assert ledger.committed() == {task.id for task in tasks} - {killer.id}
    assert summary.committed == len(tasks) - 1


def test_a_task_that_hangs_meets_its_deadline(ray_cluster: RaySession, spec: WorkerSpec, tmp_path: Path) -> None:
    tasks = [rehearsed("stuck", fault="hang", times=1), *(rehearsed(str(number)) for number in range(5))]
    ledger = Ledger(open_blobs(str(tmp_path / "store")))
    started = time.monotonic()
    with RayPool(1, spec, str(tmp_path / "store")) as pool:
        summary = Planner(pool, ledger, PlannerSettings(deadline_seconds=1.0)).run(tasks)
    assert summary.complete
    assert summary.lost_leases == 1
    assert time.monotonic() - started < 30


def test_a_replica_that_hangs_at_the_end_holds_nobody_up(
    ray_cluster: RaySession, spec: WorkerSpec, tmp_path: Path
) -> None:
    """Its tasks are run by the replica that is idle, long before the deadline."""
    tasks = [*(rehearsed(str(number), seconds=0.05) for number in range(20)), rehearsed("x", fault="hang", times=1)]
    ledger = Ledger(open_blobs(str(tmp_path / "store")))
    settings = PlannerSettings(lease_seconds=0.5, deadline_seconds=600, late_seconds=2.0)
    started = time.monotonic()
    with RayPool(2, spec, str(tmp_path / "store")) as pool:
        summary = Planner(pool, ledger, settings).run(tasks)
    assert (summary.complete, summary.lost_leases, summary.second_leases >= 1) == (True, 0, True)
    assert ledger.committed() == {task.id for task in tasks}
    assert time.monotonic() - started < 60


def test_threads_and_devices_are_set_before_the_worker_opens(ray_cluster: RaySession, tmp_path: Path) -> None:
    names = [*THREAD_VARIABLES, "CUDA_VISIBLE_DEVICES"]
    tasks = [Task(f"{number:08x}", name.encode()) for number, name in enumerate(names)]
    ledger = Ledger(open_blobs(str(tmp_path)))
    with RayPool(1, WorkerSpec("actors.rehearsal:EnvironmentWorker"), str(tmp_path), ReplicaShape(threads=3)) as pool:
        Planner(pool, ledger, QUICK).run(tasks)
    assert [ledger.read(task.id) for task in tasks] == [b"3"] * len(THREAD_VARIABLES) + [b""]


def test_a_worker_that_is_slow_to_open_is_given_up(ray_cluster: RaySession, tmp_path: Path) -> None:
    spec = WorkerSpec("actors.rehearsal:RehearsalWorker")
    with (
        RayPool(1, spec, str(tmp_path), ReplicaShape(start_seconds=0.0), starts=1) as pool,
        pytest.raises(ReplicaStartFailed, match="opening the worker took longer than its deadline"),
    ):
        Planner(pool, Ledger(open_blobs(str(tmp_path))), QUICK).run([rehearsed("a")])


def test_more_replicas_than_fit_are_refused_at_once(ray_cluster: RaySession, tmp_path: Path) -> None:
    with pytest.raises(NotEnoughResources, match=r"5 replicas need 5 CPU, the cluster has 4"):
        RayPool(5, WorkerSpec("actors.rehearsal:RehearsalWorker"), str(tmp_path))


def test_an_interrupted_driver_leaves_committed_work_and_no_replica(
    ray_cluster: RaySession, tmp_path: Path, start_python: Callable[..., "Popen[str]"]
) -> None:
    driver = start_python(DRIVER, ray_cluster.address, str(tmp_path))
    assert driver.stdout is not None
    for line in driver.stdout:
        if int(line) > 5:
            break
    os.killpg(driver.pid, signal.SIGINT)  # as Ctrl-C does: to every process of the group
    said, complaints = driver.communicate(timeout=30)
    assert driver.returncode == 0, complaints
    assert said.splitlines()[-1] == "interrupted 0"

    ledger = Ledger(open_blobs(str(tmp_path)))
    done = ledger.committed()
    assert 5 < len(done) < 400
    assert all(ledger.read(task_id) for task_id in done)


def test_the_same_tasks_on_one_and_three_replicas_give_the_same_bytes(
    ray_cluster: RaySession, spec: WorkerSpec, tmp_path: Path
) -> None:
    tasks = [rehearsed(f"task {number}", seconds=0.01) for number in range(30)]
    contents = []
    for replicas in (1, 3):
        store = str(tmp_path / f"store-{replicas}")
        with RayPool(replicas, spec, store) as pool:
            Planner(pool, Ledger(open_blobs(store)), QUICK).run(tasks)
        contents.append({task.id: Ledger(open_blobs(store)).read(task.id) for task in tasks})
    assert contents[0] == contents[1]


def test_a_replica_killed_from_outside_costs_only_its_lease(
    ray_cluster: RaySession, spec: WorkerSpec, tmp_path: Path
) -> None:
    """SIGKILL to a process that is computing, as a kernel short of memory does."""
    import ray

    tasks = [rehearsed(str(number), seconds=0.05) for number in range(80)]
    killed = threading.Event()

    with RayPool(2, spec, str(tmp_path / "store")) as pool:
        victim = ray.get(ray.get_actor("replica-0", namespace=pool.namespace).process_id.remote())

        def kill_one(seen: Progress) -> None:
            if seen.done > 10 and not killed.is_set():
                os.kill(victim, signal.SIGKILL)
                killed.set()

        summary = Planner(pool, Ledger(open_blobs(str(tmp_path / "store"))), QUICK, kill_one).run(tasks)
    assert killed.is_set()
    assert summary.complete
    assert summary.lost_leases == 1
    assert Ledger(open_blobs(str(tmp_path / "store"))).committed() == {task.id for task in tasks}
