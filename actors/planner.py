"""Decides which tasks run next, what happens to those that failed, and when it is over.

A step is: hand out leases while there are free slots, wait for reports, settle them, tell how far it is. The planner
holds no state that the ledger does not hold too, so a planner that dies costs only the leases in flight.
"""

import time
import uuid
from collections.abc import Iterable
from dataclasses import dataclass, field

from actors.backlog import Backlog
from actors.breaker import Breaker
from actors.errors import TooManyFailures
from actors.ledger import Ledger
from actors.pace import Pace
from actors.pool import LEASES_PER_REPLICA, Pool
from actors.progress import OnProgress, Progress, Summary
from actors.tasks import Lease, LeaseReport, Outcome, Task


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
        How often a task is tried before it is set aside as failed.
    failures_per_replica
        After how many different tasks failed on it in a row a replica is replaced.
    failures_in_a_row
        After how many first attempts that failed, with no success anywhere in between, the run is given up.
    """

    lease_seconds: float = 30.0
    deadline_seconds: float = 1800.0
    attempts: int = 3
    failures_per_replica: int = 3
    failures_in_a_row: int = 100


@dataclass
class _Tally:
    total: int
    committed: set[str] = field(default_factory=set)
    duplicates: set[str] = field(default_factory=set)
    failed: dict[str, str] = field(default_factory=dict)
    lost_leases: int = 0


class Planner:
    """Runs tasks on a pool until each is committed or set aside.

    Parameters
    ----------
    pool
        Where leases run. It stays open after a run that ended, and is closed by one that raised.
    ledger
        Consulted about leases that were lost, which may have committed before they were.
    on_progress
        Called after every step, at least about once a second while leases run elsewhere.
    """

    def __init__(
        self,
        pool: Pool,
        ledger: Ledger,
        settings: PlannerSettings | None = None,
        on_progress: OnProgress | None = None,
    ) -> None:
        self._pool = pool
        self._ledger = ledger
        self._settings = settings or PlannerSettings()
        self._on_progress = on_progress

    def run(self, tasks: Iterable[Task]) -> Summary:
        """Run the tasks, which should be the ones that the ledger lacks.

        Raises
        ------
        DuplicateTask
            A task id occurs twice.
        PoolError
            No replica can be kept up, or failure follows failure.
        StoreUnavailable
            The ledger cannot be consulted about a lost lease.
        """
        run = _Run(self._pool, self._ledger, self._settings, self._on_progress, Backlog(tasks))
        try:
            while run.unfinished:
                run.step()
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
    ) -> None:
        self._pool, self._ledger, self._settings = pool, ledger, settings
        self._on_progress = on_progress
        self._backlog = backlog
        self._tally = _Tally(total=len(backlog))
        self._pace = Pace(settings.lease_seconds, settings.deadline_seconds)
        self._breaker = Breaker(settings.failures_per_replica, settings.failures_in_a_row)
        self._in_flight: set[str] = set()
        self._started = time.monotonic()

    @property
    def unfinished(self) -> bool:
        return bool(self._backlog or self._in_flight)

    def step(self) -> None:
        while self._backlog and self._pool.free_slots() > 0:
            self._hand_out()
        for report in self._pool.poll(timeout_seconds=1.0):
            self._settle(report)
        self._tell()

    def summary(self) -> Summary:
        tally = self._tally
        return Summary(
            frozenset(tally.committed),
            frozenset(tally.duplicates),
            dict(tally.failed),
            tally.lost_leases,
            time.monotonic() - self._started,
        )

    def _hand_out(self) -> None:
        slots = LEASES_PER_REPLICA * self._pool.replicas
        tasks, attempt = self._backlog.cut(self._pace.lease_size(len(self._backlog), slots))
        lease = Lease(uuid.uuid4().hex, tasks, attempt, self._pace.deadline(len(tasks)))
        self._in_flight.add(lease.id)
        self._pool.submit(lease)

    def _settle(self, report: LeaseReport) -> None:
        self._in_flight.discard(report.lease.id)
        tasks = {task.id: task for task in report.lease.tasks}
        for outcome in report.outcomes:
            self._settle_task(tasks.pop(outcome.task_id), outcome, report)
        if report.status == "lost":
            self._settle_lost(list(tasks.values()), report)
        else:
            for task in reversed(tasks.values()):
                self._backlog.give_back(task)
        self._judge(report)

    def _settle_task(self, task: Task, outcome: Outcome, report: LeaseReport) -> None:
        if outcome.status == "failed":
            self._breaker.saw_failure(report.replica, task.id, report.lease.attempt == 1)
            self._try_again(task, outcome.reason)
            return
        settled = self._tally.committed if outcome.status == "committed" else self._tally.duplicates
        settled.add(task.id)
        self._pace.saw(outcome.seconds)
        self._breaker.saw_success(report.replica)

    def _settle_lost(self, tasks: list[Task], report: LeaseReport) -> None:
        """Count an attempt for every task that the lost replica had not committed yet."""
        self._tally.lost_leases += 1
        self._breaker.saw_failure(report.replica, report.lease.id, report.lease.attempt == 1)
        for task in tasks:
            if self._ledger.is_committed(task.id):
                self._tally.committed.add(task.id)
                self._breaker.saw_success(report.replica)
            else:
                self._try_again(task, report.reason)

    def _try_again(self, task: Task, reason: str) -> None:
        if self._backlog.count_failure(task) < self._settings.attempts:
            self._backlog.retry(task)
        else:
            self._tally.failed[task.id] = reason
        if self._breaker.hopeless:
            raise TooManyFailures(
                f"{self._settings.failures_in_a_row} tasks failed in a row, the last one with: {reason}. "
                "What is committed is safe; mend the cause and run again to go on."
            )

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
                done=len(tally.committed) + len(tally.duplicates),
                failed=len(tally.failed),
                total=tally.total,
                replicas=self._pool.replicas,
                leases=len(self._in_flight),
                elapsed_seconds=time.monotonic() - self._started,
                seconds_per_task=self._pace.seconds_per_task,
            )
        )
