"""What every pool has to do, seen through a planner: each task committed once, failures isolated."""

from collections import Counter
from collections.abc import Callable
from pathlib import Path

import pytest

from actors.blobs import open_blobs
from actors.cluster import RaySession
from actors.errors import PoolError, ReplicaStartFailed
from actors.in_process_pool import InProcessPool
from actors.ledger import Ledger
from actors.planner import Planner, PlannerSettings
from actors.pool import LEASES_PER_REPLICA, Pool
from actors.progress import Progress, Summary
from actors.ray_pool import RayPool
from actors.rehearsal import rehearsed
from actors.tasks import Lease, LeaseReport, Task
from actors.worker import WorkerSpec

OpenPool = Callable[[WorkerSpec, str], Pool]
QUICK = PlannerSettings(lease_seconds=0.3, deadline_seconds=60)


class PoolContract:
    """The suite; a subclass gives the fixture `open_pool`."""

    @pytest.fixture
    def store(self, tmp_path: Path) -> str:
        return (tmp_path / "store").as_uri()

    @pytest.fixture
    def spec(self, tmp_path: Path) -> WorkerSpec:
        (tmp_path / "scratch").mkdir()
        return WorkerSpec("actors.rehearsal:RehearsalWorker", {"scratch": str(tmp_path / "scratch")})

    def run(self, pool: Pool, store: str, tasks: list[Task]) -> tuple[Summary, list[Progress]]:
        seen: list[Progress] = []
        return Planner(pool, Ledger(open_blobs(store)), QUICK, seen.append).run(tasks), seen

    def test_every_task_is_committed_exactly_once(self, open_pool: OpenPool, spec: WorkerSpec, store: str) -> None:
        tasks = [rehearsed(f"task {number}", seconds=0.005) for number in range(60)]
        with open_pool(spec, store) as pool:
            summary, seen = self.run(pool, store, tasks)
        ledger, blobs = Ledger(open_blobs(store)), open_blobs(store)
        assert summary.complete
        assert ledger.committed() == {task.id for task in tasks}
        assert (summary.committed, summary.duplicates) == (60, 0)
        assert [ledger.read(task.id) for task in tasks] == [f"task {number}".encode() for number in range(60)]
        assert len(list(blobs.list("data"))) == 60
        assert [(each.done, each.failed) for each in seen] == sorted((each.done, each.failed) for each in seen)
        assert (seen[-1].done, seen[-1].total, seen[-1].leases) == (60, 60, 0)

    def test_a_failing_task_is_set_aside_with_its_reason(
        self, open_pool: OpenPool, spec: WorkerSpec, store: str
    ) -> None:
        bad = rehearsed("bad", fault="raise")
        tasks = [
            *(rehearsed(f"task {number}") for number in range(10)),
            bad,
            rehearsed("moody", fault="raise", times=2),
        ]
        with open_pool(spec, store) as pool:
            summary, _ = self.run(pool, store, tasks)
        assert list(summary.failed) == [bad.id]
        assert "RehearsedFailure: 'bad' was asked to fail (rehearsal.py:" in summary.failed[bad.id]
        assert Ledger(open_blobs(store)).committed() == {task.id for task in tasks} - {bad.id}
        assert summary.committed == len(tasks) - 1

    def test_a_poisoned_replica_is_replaced(self, open_pool: OpenPool, spec: WorkerSpec, store: str) -> None:
        tasks = [*(rehearsed(f"task {number}") for number in range(10)), rehearsed("poison", fault="poison", times=1)]
        with open_pool(spec, store) as pool:
            before = pool.replicas
            summary, _ = self.run(pool, store, tasks)
            assert pool.replicas == before
        ledger = Ledger(open_blobs(store))
        assert summary.complete
        assert ledger.committed() == {task.id for task in tasks}

    def test_every_lease_is_reported_exactly_once(self, open_pool: OpenPool, spec: WorkerSpec, store: str) -> None:
        leases = [Lease(f"lease {number}", (rehearsed(f"task {number}"),), 1, 60.0) for number in range(7)]
        waiting, reports = list(leases), list[LeaseReport]()
        with open_pool(spec, store) as pool:
            while len(reports) < len(leases):
                while waiting and pool.free_slots():
                    pool.submit(waiting.pop())
                reports += pool.poll(timeout_seconds=1.0)
        assert Counter(report.lease.id for report in reports) == Counter(lease.id for lease in leases)
        assert {report.status for report in reports} == {"finished"}
        assert all(report.outcomes[0].status == "committed" for report in reports)

    def test_leases_of_a_replaced_replica_come_back(self, open_pool: OpenPool, spec: WorkerSpec, store: str) -> None:
        leases = [Lease(f"lease {number}", (rehearsed(f"{number}", seconds=0.5),), 1, 60.0) for number in range(4)]
        reports = list[LeaseReport]()
        with open_pool(spec, store) as pool:
            # All replicas have to be up: a lease goes to whichever is free, and replica-0 must get some.
            while pool.free_slots() < LEASES_PER_REPLICA * pool.replicas:
                pool.poll(timeout_seconds=1.0)
            for lease in leases[: pool.free_slots()]:
                pool.submit(lease)
            pool.replace("replica-0", "for a test")
            pool.replace("replica-0", "a second time changes nothing")
            reports += pool.poll(timeout_seconds=1.0)
            assert {report.replica for report in reports} == {"replica-0"}
            assert {(report.status, report.reason) for report in reports} == {("returned", "for a test")}

    def test_a_full_queue_refuses(self, open_pool: OpenPool, spec: WorkerSpec, store: str) -> None:
        with open_pool(spec, store) as pool:
            while not pool.free_slots():
                pool.poll(timeout_seconds=1.0)
            for number in range(pool.free_slots()):
                pool.submit(Lease(str(number), (rehearsed("slow", seconds=0.2),), 1, 60.0))
            with pytest.raises(PoolError, match="free_slots"):
                pool.submit(Lease("one too many", (rehearsed("x"),), 1, 60.0))

    def test_a_worker_that_does_not_open_says_why(self, open_pool: OpenPool, store: str) -> None:
        spec = WorkerSpec("actors.rehearsal:fail_to_open", {"message": "the weights are gone"})
        with pytest.raises(ReplicaStartFailed, match="the weights are gone"), open_pool(spec, store) as pool:
            self.run(pool, store, [rehearsed("never")])

    def test_a_run_goes_on_where_another_stopped(self, open_pool: OpenPool, spec: WorkerSpec, store: str) -> None:
        tasks = [rehearsed(f"task {number}") for number in range(12)]
        with open_pool(spec, store) as pool:
            self.run(pool, store, tasks[:5])
            records = {task.id: Ledger(open_blobs(store)).record(task.id) for task in tasks[:5]}
            missing = [task for task in tasks if task.id not in Ledger(open_blobs(store)).committed()]
            summary, _ = self.run(pool, store, missing)
        assert Ledger(open_blobs(store)).committed() == {task.id for task in tasks}
        assert summary.committed == 7
        assert {task.id: Ledger(open_blobs(store)).record(task.id) for task in tasks[:5]} == records


class TestInProcessPool(PoolContract):
    @pytest.fixture
    def open_pool(self) -> OpenPool:
        return InProcessPool


@pytest.mark.ray
class TestRayPool(PoolContract):
    @pytest.fixture
    def open_pool(self, ray_cluster: RaySession) -> OpenPool:
        return lambda spec, store: RayPool(2, spec, store)
