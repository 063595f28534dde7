import uuid
from collections.abc import Callable, Sequence
from types import TracebackType
from typing import Self

import pytest
from hypothesis import given
from hypothesis import strategies as st

from actors.blobs import open_blobs
from actors.errors import Cancelled, FatalFailure, TooManyFailures
from actors.ledger import Ledger
from actors.planner import Planner, PlannerSettings, _parts
from actors.progress import Progress
from actors.rehearsal import rehearsed
from actors.tasks import AfterFailure, Lease, LeaseReport, Outcome, Task

Fate = Callable[[Lease], LeaseReport]


class ScriptedPool:
    """Reports of each lease whatever the test decides; remembers what it was asked to do."""

    def __init__(self, fate: Fate, replicas: int = 1) -> None:
        self.fate, self.replicas = fate, replicas
        self.leases: list[Lease] = []
        self.replaced: list[str] = []
        self.closed = False
        self._queue: list[Lease] = []

    def free_slots(self) -> int:
        return 2 * self.replicas - len(self._queue)

    def idle(self) -> int:
        return 0

    def submit(self, lease: Lease) -> None:
        self.leases.append(lease)
        self._queue.append(lease)

    def poll(self, timeout_seconds: float) -> Sequence[LeaseReport]:
        return [self.fate(self._queue.pop(0))]

    def _take(self) -> list[Lease]:
        taken, self._queue = self._queue, []
        return taken

    def replace(self, replica: str, reason: str) -> None:
        self.replaced.append(replica)

    def close(self) -> None:
        self.closed = True

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


def tasks_of(count: int) -> list[Task]:
    return [rehearsed(str(number)) for number in range(count)]


def fresh_ledger() -> Ledger:
    return Ledger(open_blobs(f"memory://{uuid.uuid4().hex}"))


def finished(lease: Lease, seconds: float = 1.0) -> LeaseReport:
    outcomes = tuple(Outcome(task.id, "committed", seconds) for task in lease.tasks)
    return LeaseReport(lease, "replica-0", "finished", outcomes)


def failed(lease: Lease, replica: str = "replica-0") -> LeaseReport:
    outcomes = tuple(Outcome(task.id, "failed", 0.1, "it broke") for task in lease.tasks)
    return LeaseReport(lease, replica, "finished", outcomes)


def ended(lease: Lease, after: AfterFailure) -> LeaseReport:
    outcomes = tuple(Outcome(task.id, "failed", 0.1, "it broke", after) for task in lease.tasks)
    return LeaseReport(lease, "replica-0", "finished", outcomes)


def test_leases_grow_to_the_seconds_they_should_take() -> None:
    pool = ScriptedPool(finished)
    summary = Planner(pool, fresh_ledger(), PlannerSettings(lease_seconds=10)).run(tasks_of(100))
    assert [len(lease.tasks) for lease in pool.leases][:4] == [1, 1, 10, 10]
    assert [task for lease in pool.leases for task in lease.tasks] == tasks_of(100)
    assert summary.committed == 100
    assert not pool.closed


def test_no_more_in_flight_than_two_a_replica() -> None:
    in_flight: list[int] = []
    pool = ScriptedPool(finished, replicas=3)
    Planner(pool, fresh_ledger(), on_progress=lambda seen: in_flight.append(seen.leases)).run(tasks_of(50))
    assert max(in_flight) <= 6


def test_nothing_to_do_is_done() -> None:
    summary = Planner(ScriptedPool(finished), fresh_ledger()).run([])
    assert summary.complete
    assert summary.committed == 0


def test_a_task_is_tried_three_times() -> None:
    pool = ScriptedPool(failed)
    summary = Planner(pool, fresh_ledger()).run(tasks_of(2))
    assert summary.failed == {task.id: "it broke" for task in tasks_of(2)}
    assert not summary.complete
    assert sorted(lease.attempt for lease in pool.leases) == [1, 1, 2, 2, 3, 3]


def test_a_failure_that_would_come_again_is_not_tried_again() -> None:
    pool = ScriptedPool(lambda lease: ended(lease, "set aside"))
    summary = Planner(pool, fresh_ledger()).run(tasks_of(9))
    assert summary.failed == {task.id: "it broke" for task in tasks_of(9)}
    assert {lease.attempt for lease in pool.leases} == {1}
    assert not pool.replaced, "it is no fault of the replica"


def test_failures_that_would_come_again_still_end_a_run_of_nothing_else() -> None:
    pool = ScriptedPool(lambda lease: ended(lease, "set aside"))
    with pytest.raises(TooManyFailures, match="5 tasks failed in a row"):
        Planner(pool, fresh_ledger(), PlannerSettings(failures_in_a_row=5)).run(tasks_of(9))


def test_a_failure_that_every_task_would_meet_ends_the_run() -> None:
    pool = ScriptedPool(lambda lease: ended(lease, "stop"))
    with pytest.raises(FatalFailure, match=r"it broke\. The run ends here"):
        Planner(pool, fresh_ledger()).run(tasks_of(9))
    assert pool.closed
    assert len(pool.leases) <= 2


def test_what_a_lost_lease_had_committed_is_not_run_again() -> None:
    ledger = fresh_ledger()

    def lose_the_third(lease: Lease) -> LeaseReport:
        if len(pool.leases) != 4 or len(lease.tasks) == 1:
            return finished(lease)
        ledger.commit(lease.tasks[0].id, b"", replica="replica-0")
        return LeaseReport(lease, "replica-0", "lost", reason="killed")

    pool = ScriptedPool(lose_the_third)
    summary = Planner(pool, ledger, PlannerSettings(lease_seconds=4)).run(tasks_of(10))
    lost = next(lease for lease in pool.leases if len(lease.tasks) == 4)
    again = [lease for lease in pool.leases[4:] if set(lease.tasks) & set(lost.tasks)]
    assert summary.complete
    assert summary.lost_leases == 1
    assert [lease.tasks for lease in again] == [(task,) for task in lost.tasks[1:]]  # alone, and not the first
    assert [lease.attempt for lease in again] == [2, 1, 1]  # only the second had been begun


def test_tasks_behind_one_that_kills_its_replica_are_not_set_aside_with_it() -> None:
    bad = {task.id for task in tasks_of(8)[4:6]}

    def die_of_the_bad(lease: Lease) -> LeaseReport:
        if bad & {task.id for task in lease.tasks}:
            return LeaseReport(lease, "replica-0", "lost", reason="killed")
        return finished(lease)

    settings = PlannerSettings(lease_seconds=10, attempts=1)
    summary = Planner(ScriptedPool(die_of_the_bad), fresh_ledger(), settings).run(tasks_of(9))
    assert summary.failed.keys() >= bad
    assert len(summary.failed) <= 3  # the first of the lost lease had been begun, whether it is to blame or not
    assert summary.committed + len(summary.failed) == 9


def test_a_returned_lease_costs_no_attempt() -> None:
    fates = iter(["returned"] * 5)

    def return_five_times(lease: Lease) -> LeaseReport:
        if next(fates, None):
            return LeaseReport(lease, "replica-0", "returned", reason="its replica was lost")
        return finished(lease)

    pool = ScriptedPool(return_five_times)
    assert Planner(pool, fresh_ledger()).run(tasks_of(3)).complete
    assert {lease.attempt for lease in pool.leases} == {1}


def test_a_replica_on_which_all_fails_is_replaced_before_it_does_harm() -> None:
    pool = ScriptedPool(lambda lease: finished(lease) if pool.replaced else failed(lease))
    assert Planner(pool, fresh_ledger()).run(tasks_of(20)).complete
    assert pool.replaced == ["replica-0"]


def test_a_lost_lease_is_one_failure_however_many_tasks_it_held() -> None:
    def lose_the_big_one(lease: Lease) -> LeaseReport:
        if len(lease.tasks) > 20:
            return LeaseReport(lease, "replica-0", "lost", reason="killed")
        return finished(lease)

    pool = ScriptedPool(lose_the_big_one)
    settings = PlannerSettings(lease_seconds=30, failures_in_a_row=10)
    assert Planner(pool, fresh_ledger(), settings).run(tasks_of(100)).complete


def test_failure_after_failure_ends_the_run() -> None:
    pool = ScriptedPool(failed)
    with pytest.raises(TooManyFailures, match=r"20 tasks failed in a row.*it broke.*run again"):
        Planner(pool, fresh_ledger(), PlannerSettings(failures_in_a_row=20)).run(tasks_of(1000))
    assert pool.closed
    assert len(pool.leases) <= 3 * 20 + 2  # each of the 20 three times, and what was in flight


def test_an_interrupt_closes_the_pool() -> None:
    def interrupt(lease: Lease) -> LeaseReport:
        raise KeyboardInterrupt

    pool = ScriptedPool(interrupt)
    with pytest.raises(KeyboardInterrupt):
        Planner(pool, fresh_ledger()).run(tasks_of(3))
    assert pool.closed


def test_a_cancelled_run_hands_out_no_more_and_says_what_was_done() -> None:
    pool = ScriptedPool(finished)

    def heard(progress: Progress) -> None:
        if progress.done >= 3:
            raise Cancelled("cancelled by her")

    summary = Planner(pool, fresh_ledger(), PlannerSettings(lease_seconds=0.01), heard).run(tasks_of(50))
    assert (summary.cancelled, summary.committed, summary.failed) == ("cancelled by her", 3, {})
    assert not summary.complete
    assert pool.closed
    assert len(pool.leases) <= 5


class CrawlingPool(ScriptedPool):
    """Three replicas, of which the first keeps what it was given first until the test lets go of it."""

    def __init__(self, fate: Fate) -> None:
        super().__init__(fate, replicas=3)
        self.kept: list[Lease] = []
        self.let_go = False

    def idle(self) -> int:
        return 2 if not self._queue else 0

    def poll(self, timeout_seconds: float) -> Sequence[LeaseReport]:
        if not self.kept:
            self.kept.append(self._queue.pop(0))
        if self._queue:
            return [self.fate(self._queue.pop(0))]
        return [self.fate(self.kept[0])] if self.let_go else []


LATE_AT_ONCE = PlannerSettings(lease_seconds=5, late_seconds=0.0, late_factor=0.0)


def test_a_late_lease_gets_a_second_one_and_the_first_commit_ends_the_run() -> None:
    pool = CrawlingPool(finished)
    summary = Planner(pool, fresh_ledger(), LATE_AT_ONCE).run(tasks_of(10))
    assert (summary.committed, summary.second_leases, summary.lost_leases) == (10, 1, 0)
    assert pool.leases[-1].second
    assert pool.leases[-1].tasks == pool.kept[0].tasks


def test_a_late_lease_is_spread_over_the_replicas_that_are_idle() -> None:
    parts = list(_parts(tasks_of(5), 2))
    assert [len(part) for part in parts] == [3, 2]
    assert [task for part in parts for task in part] == tasks_of(5)
    assert list(_parts([], 3)) == []
    assert [len(part) for part in _parts(tasks_of(2), 5)] == [1, 1]


def test_no_second_lease_before_a_task_has_been_timed() -> None:
    pool = CrawlingPool(finished)
    pool.let_go = True
    summary = Planner(pool, fresh_ledger(), LATE_AT_ONCE).run(tasks_of(1))
    assert (summary.committed, summary.second_leases) == (1, 0)


def test_what_the_slow_one_says_later_is_no_news() -> None:
    pool = CrawlingPool(finished)
    planner = Planner(pool, fresh_ledger(), LATE_AT_ONCE)
    assert planner.run(tasks_of(10)).committed == 10
    pool.let_go = True
    others = [rehearsed(f"other {number}") for number in range(3)]
    late_report = pool.fate(pool.kept[0])
    pool.poll = lambda timeout_seconds: [late_report, *map(finished, pool._take())]  # type: ignore[method-assign]
    assert planner.run(others).committed == 3


def test_a_task_that_fails_in_both_of_its_leases_is_tried_again_once_both_are_back() -> None:
    def fail_the_first(lease: Lease) -> LeaseReport:
        return failed(lease) if lease.tasks[0] == first and lease.attempt == 1 else finished(lease)

    first = tasks_of(1)[0]
    pool = CrawlingPool(fail_the_first)
    planner = Planner(pool, fresh_ledger(), LATE_AT_ONCE, lambda seen: setattr(pool, "let_go", seen.leases == 1))
    summary = planner.run(tasks_of(4))
    tried = [(lease.attempt, lease.second) for lease in pool.leases if first in lease.tasks]
    assert (summary.committed, summary.failed) == (4, {})
    assert tried == [(1, False), (1, True), (3, False)]


@given(fates=st.lists(st.sampled_from(["finished", "failed", "lost", "returned", "cut short"]), max_size=60))
def test_every_task_ends_committed_or_set_aside(fates: list[str]) -> None:
    schedule = iter(fates)

    committed: set[str] = set()

    def play(lease: Lease) -> LeaseReport:
        report = fated(lease)
        committed.update(outcome.task_id for outcome in report.outcomes if outcome.status == "committed")
        return report

    def fated(lease: Lease) -> LeaseReport:
        fate = next(schedule, "finished")
        if fate in ("lost", "returned"):
            return LeaseReport(lease, "replica-0", fate, reason=fate)  # type: ignore[arg-type]
        if fate == "cut short":
            return LeaseReport(lease, "replica-0", "finished", finished(lease).outcomes[:1], "poisoned", poisoned=True)
        return failed(lease) if fate == "failed" else finished(lease)

    seen: list[Progress] = []
    pool = ScriptedPool(play, replicas=2)
    summary = Planner(pool, fresh_ledger(), PlannerSettings(lease_seconds=5), seen.append).run(tasks_of(20))
    assert committed | set(summary.failed) == {task.id for task in tasks_of(20)}
    assert summary.committed == len(committed) == 20 - len(summary.failed)
    assert max(lease.attempt for lease in pool.leases) <= 3
    assert [(each.done, each.failed) for each in seen] == sorted((each.done, each.failed) for each in seen)
    assert all(len(lease.tasks) == 1 for lease in pool.leases if lease.attempt > 1)


def test_tasks_that_follow_from_results_are_run_too() -> None:
    pool, heard = ScriptedPool(finished, replicas=2), list[tuple[list[str], dict[str, str]]]()
    rounds = [tasks_of(9)[4:7], tasks_of(9)[7:]]

    def more(done: Sequence[str], failed: object) -> Sequence[Task]:
        heard.append((list(done), {}))
        return rounds.pop(0) if rounds else []

    progress: list[Progress] = []
    summary = Planner(pool, fresh_ledger(), PlannerSettings(lease_seconds=1.0), progress.append).run(tasks_of(4), more)
    assert summary.committed == 9
    told = [task for done, _ in heard for task in done]
    assert sorted(told) == sorted(set(told)), "each result is told once"
    assert progress[-1].total == progress[-1].done == len(told) == 9


def test_more_is_asked_while_a_straggler_is_out() -> None:
    late: list[Lease] = []

    def fate(lease: Lease) -> LeaseReport:
        if lease.tasks[0].id == tasks_of(1)[0].id and not late:
            late.append(lease)
            return LeaseReport(lease, "replica-0", "returned")  # comes back untouched
        return finished(lease)

    asked: list[int] = []

    def more(done: Sequence[str], failed: object) -> Sequence[Task]:
        asked.append(len(done))
        return tasks_of(6)[4:] if len(asked) == 1 else []

    summary = Planner(ScriptedPool(fate, replicas=2), fresh_ledger()).run(tasks_of(4), more)
    assert summary.committed == 6


def test_what_was_set_aside_is_told_to_who_says_what_follows() -> None:
    told: list[dict[str, str]] = []

    def more(done: Sequence[str], failures: object) -> Sequence[Task]:
        told.append(dict(failures))  # type: ignore[call-overload]
        return []

    summary = Planner(ScriptedPool(failed), fresh_ledger()).run(tasks_of(1), more)
    assert told[-1] == summary.failed == {tasks_of(1)[0].id: "it broke"}


def test_setbacks_are_counted_with_the_latest_reason() -> None:
    seen: list[Progress] = []
    fates = iter([failed, finished, finished])
    pool = ScriptedPool(lambda lease: next(fates)(lease))
    Planner(pool, fresh_ledger(), None, seen.append).run(tasks_of(2))
    assert (seen[-1].setbacks, seen[-1].failed, seen[-1].done) == (1, 0, 2)
    assert seen[-1].last_setback == failed(Lease("l", (tasks_of(1)[0],), 1, 1.0)).outcomes[0].reason


def test_a_lost_lease_is_a_setback() -> None:
    seen: list[Progress] = []
    fates = iter([lambda lease: LeaseReport(lease, "replica-0", "lost", reason="the node died"), finished])
    Planner(ScriptedPool(lambda lease: next(fates)(lease)), fresh_ledger(), None, seen.append).run(tasks_of(1))
    assert (seen[-1].setbacks, seen[-1].last_setback, seen[-1].done) == (1, "the node died", 1)
