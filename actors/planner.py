"""Decides which tasks run next, what happens to those that failed, and when it is over.

A step is: hand out leases while there are free slots, wait for reports, settle them, tell how far it is. The planner
holds no state that the ledger does not hold too, so a planner that dies costs only the leases in flight. Of what is
done it keeps numbers, not names: its memory does not grow with the work behind it.

In the end, when nothing is left to hand out and replicas fall idle, leases that are late get a second one on those:
a replica that hangs or crawls holds nobody up. Whichever commits a task first has won it.
"""

import logging
import time
import uuid
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field

from actors.backlog import Backlog
from actors.breaker import Breaker
from actors.errors import Cancelled, FatalFailure, TooManyFailures
from actors.in_flight import InFlight
from actors.ledger import Ledger
from actors.pace import Pace
from actors.pool import LEASES_PER_REPLICA, Pool
from actors.progress import OnProgress, Progress, Summary
from actors.tasks import Lease, LeaseReport, Outcome, Settled, Task

More = Callable[[Sequence[str], Mapping[str, str]], Collection[Task]]
"""Ids of tasks that were committed since it was last asked, and all that were set aside so far → further tasks."""
OnSettled = Callable[[Task, Settled], None]
"""Hears of each task once, when it is committed (by us or by another) or set aside."""


_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class PlannerSettings:
    """How patient the planner is.

    Attributes
    ----------
    lease_seconds
        What a lease should take once the seconds per task are known.
    deadline_seconds
        The shortest deadline of a lease; a slow first task must fit in.
    attempts
        How often a task is tried before it is set aside as failed; one that says that it would fail again, once.
    failures_per_replica
        After how many different tasks failed on it in a row a replica is replaced.
    failures_in_a_row
        After how many first attempts that failed, with no success anywhere in between, the run is given up.
    late_seconds
        How long a lease is out at least before it can count as late.
    late_factor
        A lease is late when it takes this many times what was expected.
    """

    lease_seconds: float = 30.0
    deadline_seconds: float = 1800.0
    attempts: int = 3
    failures_per_replica: int = 3
    failures_in_a_row: int = 100
    late_seconds: float = 30.0
    late_factor: float = 3.0


@dataclass
class _Tally:
    total: int
    committed: int = 0
    duplicates: int = 0
    failed: dict[str, str] = field(default_factory=dict)
    lost_leases: int = 0
    second_leases: int = 0
    setbacks: int = 0
    last_setback: str = ""

    def note(self, reason: str) -> None:
        """Count an attempt that failed, or a lease that was lost."""
        self.setbacks += 1
        self.last_setback = reason


class Planner:
    """Runs tasks on a pool until each is committed or set aside.

    Parameters
    ----------
    pool
        Where leases run. It stays open after a run that ended, and is closed by one that raised or was cancelled.
    ledger
        Consulted about leases that were lost, which may have committed before they were.
    on_progress
        Called after every step, at least about once a second while leases run elsewhere. If it raises `Cancelled`,
        the run is over: no lease is handed out any more, and the replicas are killed.
    on_settled
        Called for each task as soon as it is known to be committed, or set aside as failed.
    """

    def __init__(
        self,
        pool: Pool,
        ledger: Ledger,
        settings: PlannerSettings | None = None,
        on_progress: OnProgress | None = None,
        on_settled: OnSettled | None = None,
    ) -> None:
        self._pool = pool
        self._ledger = ledger
        self._settings = settings or PlannerSettings()
        self._on_progress = on_progress
        self._on_settled = on_settled

    def run(self, tasks: Collection[Task], more: More | None = None) -> Summary:
        """Run the tasks, which should be the ones that the ledger lacks.

        Parameters
        ----------
        tasks
            `actors.lazy_tasks.LazyTasks` where there are many: they are taken a lease at a time.
        more
            Where the next tasks depend on the results: asked whenever there is nothing to hand out and something was
            settled since, with leases still in flight too; the run is over when it gives none and nothing is open.

        Raises
        ------
        DuplicateTask
            A task id occurs twice.
        PoolError
            No replica can be kept up, failure follows failure, or one is such that every task would meet it.
        StoreUnavailable
            The ledger cannot be consulted about a lost lease.
        """
        run = _Run(self._pool, self._ledger, self._settings, self._on_progress, Backlog(tasks), more, self._on_settled)
        try:
            while run.unfinished:
                run.step()
        except Cancelled as cancelled:
            self._pool.close()
            return run.summary(str(cancelled))
        except BaseException:
            # KeyboardInterrupt included: no replica may go on computing for a run that is over.
            self._pool.close()
            raise
        return run.summary()


class _Run:
    """One call of `Planner.run`."""

    def __init__(
        self,
        pool: Pool,
        ledger: Ledger,
        settings: PlannerSettings,
        on_progress: OnProgress | None,
        backlog: Backlog,
        more: More | None = None,
        on_settled: OnSettled | None = None,
    ) -> None:
        self._pool, self._ledger, self._settings = pool, ledger, settings
        self._on_progress, self._on_settled = on_progress, on_settled
        self._backlog = backlog
        self._more, self._news, self._committed = more, False, list[str]()
        self._tally = _Tally(total=len(backlog))
        self._pace = Pace(settings.lease_seconds, settings.deadline_seconds)
        self._breaker = Breaker(settings.failures_per_replica, settings.failures_in_a_row)
        self._in_flight = InFlight()
        self._started = time.monotonic()

    @property
    def unfinished(self) -> bool:
        return bool(self._backlog or self._in_flight.open_tasks)

    def step(self) -> None:
        before = len(self._in_flight)
        while self._backlog and self._pool.free_slots() > 0:
            self._hand_out()
        if not self._backlog:
            self._help_the_late()
        if len(self._in_flight) > before:
            self._tell()  # a pool in this process comes back when the lease is done, and somebody looks on meanwhile
        for report in self._pool.poll(timeout_seconds=1.0):
            self._settle(report)
        self._ask_for_more()
        self._tell()

    def summary(self, cancelled: str = "") -> Summary:
        tally = self._tally
        return Summary(
            tally.committed,
            tally.duplicates,
            dict(tally.failed),
            tally.lost_leases,
            tally.second_leases,
            time.monotonic() - self._started,
            cancelled,
        )

    def _ask_for_more(self) -> None:
        """Extend the backlog by what follows from the results; what was committed is told once."""
        if self._more is None or self._backlog or not self._news:
            return
        committed, self._committed, self._news = self._committed, [], False
        tasks = self._more(committed, self._tally.failed)
        self._tally.total += len(tasks)
        self._backlog.extend(tasks)

    def _hand_out(self) -> None:
        slots = LEASES_PER_REPLICA * self._pool.replicas
        tasks, attempt = self._backlog.cut(self._pace.lease_size(len(self._backlog), slots))
        self._submit(tasks, attempt)

    def _submit(self, tasks: tuple[Task, ...], attempt: int, second: bool = False) -> None:
        lease = Lease(uuid.uuid4().hex, tasks, attempt, self._pace.deadline(len(tasks)), second)
        self._in_flight.add(lease)
        self._pool.submit(lease)

    def _help_the_late(self) -> None:
        """Give late leases, spread over the replicas that have nothing to do, out a second time."""
        idle = self._pool.idle()
        late = self._in_flight.late(self._late_after) if idle else iter(())
        for lease, tasks in late:
            if idle < 1:
                break
            self._in_flight.help(lease.id)
            for part in _parts(tasks, idle):
                self._submit(part, lease.attempt, second=True)
                self._tally.second_leases += 1
                _log.info("late: %d of its tasks get a second lease", len(part), extra={"lease": lease.id})
                idle -= 1

    def _late_after(self, size: int) -> float:
        expected = LEASES_PER_REPLICA * size * self._pace.seconds_per_task
        if not expected:
            return float("inf")  # nothing has ended yet: perhaps this is how long it takes
        return max(self._settings.late_seconds, self._settings.late_factor * expected)

    def _settle(self, report: LeaseReport) -> None:
        lease = self._in_flight.take(report.lease.id)
        if lease is None:
            return  # a lease of an earlier run on this pool, whose tasks were settled without it
        tasks = {task.id: task for task in lease.tasks}
        for outcome in report.outcomes:
            self._settle_task(tasks.pop(outcome.task_id), outcome, report)
        unsaid = [task for task in tasks.values() if self._in_flight.is_open(task.id)]
        if report.status == "lost":
            self._settle_lost(unsaid, report)
        else:
            self._give_back(unsaid)
        self._judge(report)

    def _settle_task(self, task: Task, outcome: Outcome, report: LeaseReport) -> None:
        if outcome.status == "failed":
            self._tally.note(outcome.reason)
            about = {"lease": report.lease.id, "replica": report.replica, "task": task.id}
            _log.warning("attempt %d failed: %s", report.lease.attempt, outcome.reason, extra=about)
            if outcome.after_failure == "stop":
                raise FatalFailure(f"{outcome.reason}. The run ends here, since every other task would meet the same.")
            if outcome.after_failure == "set aside":
                self._breaker.saw_conclusive_failure()
            else:
                self._breaker.saw_failure(report.replica, task.id, report.lease.attempt == 1)
            self._try_again(task, outcome.reason, conclusive=outcome.after_failure == "set aside")
            return
        self._count_success(task, ours=outcome.status == "committed")
        self._breaker.saw_success(report.replica)
        if outcome.status != "found":
            self._pace.saw(outcome.seconds)

    def _settle_lost(self, tasks: list[Task], report: LeaseReport) -> None:
        """Count an attempt for every task that the lost replica had begun and not committed.

        Tasks run one after the other: what comes before a commit was begun, and so was the next one. Those behind it
        cost no attempt, but they run alone from now on: one of them may be what took the replica down.
        """
        self._tally.lost_leases += 1
        self._tally.note(report.reason)
        _log.warning("lease lost: %s", report.reason, extra={"lease": report.lease.id, "replica": report.replica})
        self._breaker.saw_failure(report.replica, report.lease.id, report.lease.attempt == 1)
        committed = [self._ledger.is_committed(task.id) for task in tasks]
        begun = max((place for place, done in enumerate(committed) if done), default=-1) + 1
        for place, (task, done) in enumerate(zip(tasks, committed, strict=True)):
            if done:
                self._count_success(task, ours=True)
                self._breaker.saw_success(report.replica)
            elif place <= begun:
                self._try_again(task, report.reason)
            else:
                self._run_alone(task)

    def _count_success(self, task: Task, ours: bool) -> None:
        if self._in_flight.close(task.id):
            self._backlog.forget_failures(task.id)
            self._tally.committed += ours
            self._tally.duplicates += not ours
            self._hear(task)
            self._say_settled(task, "committed" if ours else "duplicate")

    def _give_back(self, tasks: list[Task]) -> None:
        for task in reversed(tasks):
            if not self._in_flight.is_held(task.id):
                self._in_flight.close(task.id)
                self._backlog.give_back(task)

    def _try_again(self, task: Task, reason: str, *, conclusive: bool = False) -> None:
        if self._in_flight.is_open(task.id):
            failures = self._backlog.count_failure(task)
            if not self._in_flight.is_held(task.id):  # otherwise its other lease decides
                self._in_flight.close(task.id)
                self._retry_or_set_aside(task, failures, reason, conclusive=conclusive)
        if self._breaker.hopeless:
            raise TooManyFailures(
                f"{self._settings.failures_in_a_row} tasks failed in a row, the last one with: {reason}. "
                "What is committed is safe; mend the cause and run again to go on."
            )

    def _run_alone(self, task: Task) -> None:
        if not self._in_flight.is_held(task.id):
            self._in_flight.close(task.id)
            self._backlog.retry(task)

    def _retry_or_set_aside(self, task: Task, failures: int, reason: str, *, conclusive: bool) -> None:
        if failures < self._settings.attempts and not conclusive:
            self._backlog.retry(task)
        else:
            self._backlog.forget_failures(task.id)
            _log.error("set aside after %d attempts: %s", failures, reason, extra={"task": task.id})
            self._tally.failed[task.id] = reason
            self._news = True
            self._say_settled(task, "failed")

    def _say_settled(self, task: Task, how: Settled) -> None:
        if self._on_settled is not None:
            self._on_settled(task, how)

    def _hear(self, task: Task) -> None:
        if self._more is not None:  # otherwise nobody asks, and names of what is done are not kept
            self._committed.append(task.id)
            self._news = True

    def _judge(self, report: LeaseReport) -> None:
        """Replace a replica on which everything fails; the pool has replaced lost and poisoned ones itself."""
        if report.status == "lost" or report.poisoned:
            self._breaker.forget(report.replica)
        elif self._breaker.is_suspect(report.replica):
            self._breaker.forget(report.replica)
            self._pool.replace(report.replica, "different tasks failed on it in a row")

    def _tell(self) -> None:
        if self._on_progress is None:
            return
        tally = self._tally
        self._on_progress(
            Progress(
                done=tally.committed + tally.duplicates,
                failed=len(tally.failed),
                total=tally.total,
                replicas=self._pool.replicas,
                leases=len(self._in_flight),
                elapsed_seconds=time.monotonic() - self._started,
                seconds_per_task=self._pace.seconds_per_task,
                setbacks=tally.setbacks,
                last_setback=tally.last_setback,
                oldest_lease_seconds=self._in_flight.oldest_seconds,
            )
        )


def _parts(tasks: Sequence[Task], at_most: int) -> Iterator[tuple[Task, ...]]:
    """Cut tasks into parts of about the same size."""
    size = -(-len(tasks) // max(at_most, 1))
    for first in range(0, len(tasks), max(size, 1)):
        yield tuple(tasks[first : first + size])
