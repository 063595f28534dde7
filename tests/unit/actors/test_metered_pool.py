import uuid
from collections.abc import Sequence

import pytest

from actors.blobs import open_blobs
from actors.in_process_pool import InProcessPool
from actors.ledger import Ledger
from actors.meter import Measures, Recorder
from actors.metered_pool import MeteredPool, measure_progress
from actors.planner import Planner, PlannerSettings
from actors.progress import Progress
from actors.rehearsal import rehearsed
from actors.tasks import Lease, LeaseReport, Outcome, Task
from actors.worker import WorkerSpec


class Scripted:
    """Three replicas; each poll takes two seconds and gives the next reports."""

    replicas = 3

    def __init__(self, *polls: Sequence[LeaseReport]) -> None:
        self.now, self.polls = 100.0, list(polls)

    def clock(self) -> float:
        return self.now

    def submit(self, lease: Lease) -> None:
        pass

    def poll(self, timeout_seconds: float) -> Sequence[LeaseReport]:
        self.now += 2.0
        return self.polls.pop(0)


def lease(name: str, second: bool = False) -> Lease:
    return Lease(name, (rehearsed("a"), rehearsed("b")), 1, 60.0, second)


def amount(measures: Measures, name: str, **labels: str) -> float:
    return measures.counts.get((name, tuple(labels.items())), 0.0)


def test_leases_and_replicas_are_timed() -> None:
    recorder, stored = Recorder(), Recorder()
    stored.count("lingshu_store_retries_total", 3)
    outcomes = (Outcome("aa", "committed", 1.5), Outcome("bb", "failed", 0.25, "why"))
    first, second = lease("first"), lease("second", second=True)
    reports = [
        LeaseReport(first, "replica-0", "finished", outcomes, measures=stored.drain()),
        LeaseReport(second, "replica-1", "lost", reason="killed"),
    ]
    scripted = Scripted([], reports)
    pool = MeteredPool(scripted, recorder, scripted.clock)  # type: ignore[arg-type]
    pool.submit(first)
    pool.poll(1.0)
    pool.submit(second)
    assert pool.poll(1.0) == reports
    found = recorder.drain()
    assert amount(found, "lingshu_replica_seconds_total") == 3 * 4.0
    assert amount(found, "lingshu_replica_busy_seconds_total") == 1.75
    assert amount(found, "lingshu_lease_seconds_total") == 4.0 + 2.0
    assert found.observed["lingshu_lease_duration_seconds", ()] == (4.0, 2.0)
    assert amount(found, "lingshu_leases_total", status="lost") == 1
    assert amount(found, "lingshu_second_leases_total") == 1
    assert amount(found, "lingshu_task_attempts_total", outcome="failed") == 1
    assert amount(found, "lingshu_store_retries_total") == 3  # of the replica


def test_a_lease_of_an_earlier_run_does_no_harm() -> None:
    recorder = Recorder()
    scripted = Scripted([LeaseReport(lease("unknown"), "replica-0", "returned")])
    MeteredPool(scripted, recorder, scripted.clock).poll(1.0)  # type: ignore[arg-type]
    assert amount(recorder.drain(), "lingshu_lease_seconds_total") == 0.0


def test_a_run_is_measured_from_its_replica_to_its_end() -> None:
    url, recorder, settled = f"memory://{uuid.uuid4().hex}", Recorder(), list[tuple[str, str]]()
    tasks = [rehearsed("a"), rehearsed("b"), rehearsed("bad", fault="raise")]

    def on_settled(task: Task, how: str) -> None:
        settled.append((task.id, how))

    with InProcessPool(WorkerSpec("actors.rehearsal:RehearsalWorker"), url) as inner:
        pool = MeteredPool(inner, recorder)
        settings = PlannerSettings(attempts=2)
        summary = Planner(pool, Ledger(open_blobs(url)), settings, on_settled=on_settled).run(tasks)
    found = recorder.drain()
    assert summary.committed == len(found.observed["lingshu_commit_latency_seconds", ()]) == 2
    assert amount(found, "lingshu_task_attempts_total", outcome="committed") == 2
    assert amount(found, "lingshu_task_attempts_total", outcome="failed") == 2
    assert amount(found, "lingshu_store_requests_total", operation="create") == 2
    assert 0 < amount(found, "lingshu_replica_busy_seconds_total") < amount(found, "lingshu_replica_seconds_total")
    assert sorted(settled) == sorted([(tasks[0].id, "committed"), (tasks[1].id, "committed"), (tasks[2].id, "failed")])


def test_progress_becomes_gauges() -> None:
    recorder = Recorder()
    measure_progress(recorder, Progress(5, 1, 10, 2, 3, 7.0, 0.5))
    gauges = recorder.drain().gauges
    assert gauges["lingshu_tasks", (("state", "open"),)] == 4
    assert gauges["lingshu_leases_in_flight", ()] == 3


@pytest.mark.parametrize("name", ["free_slots", "idle"])
def test_questions_are_passed_on(name: str) -> None:
    with InProcessPool(WorkerSpec("actors.rehearsal:RehearsalWorker"), f"memory://{uuid.uuid4().hex}") as inner:
        pool = MeteredPool(inner, Recorder())
        assert getattr(pool, name)() == getattr(inner, name)()
        pool.replace("replica-0", "to try it")
        pool.submit(lease("one"))
        assert pool.poll(0.0)[0].replica == "replica-1"
        assert (pool.replicas, pool.close(), pool.replicas) == (1, None, 0)
