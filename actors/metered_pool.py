"""`Pool` that measures leases and replicas; how they run is the business of the pool within."""

import time
from collections.abc import Callable, Sequence
from types import TracebackType
from typing import Self

from actors.meter import Meter
from actors.pool import Pool
from actors.progress import Progress
from actors.tasks import Lease, LeaseReport


class MeteredPool:
    """Another pool, measured.

    Parameters
    ----------
    clock
        Seconds since some moment.
    """

    def __init__(self, pool: Pool, meter: Meter, clock: Callable[[], float] = time.monotonic) -> None:
        self._pool, self._meter, self._clock = pool, meter, clock
        self._handed_out: dict[str, float] = {}
        self._counted_until = clock()

    @property
    def replicas(self) -> int:
        """How many replicas are up or starting."""
        return self._pool.replicas

    def free_slots(self) -> int:
        """How many leases the replicas that are up would take now."""
        return self._pool.free_slots()

    def idle(self) -> int:
        """How many of the replicas that are up have nothing to do."""
        return self._pool.idle()

    def submit(self, lease: Lease) -> None:
        """Queue a lease, and note when."""
        self._pool.submit(lease)
        self._handed_out[lease.id] = self._clock()
        if lease.second:
            self._meter.count("lingshu_second_leases_total")

    def poll(self, timeout_seconds: float) -> Sequence[LeaseReport]:
        """Return the reports that are due, measured."""
        replicas = self._pool.replicas
        reports = self._pool.poll(timeout_seconds)
        self._count_time(replicas)
        for report in reports:
            self._measure(report)
        return reports

    def replace(self, replica: str, reason: str) -> None:
        """Give up a replica and start another."""
        self._pool.replace(replica, reason)

    def close(self) -> None:
        """Stop all replicas."""
        self._pool.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def _count_time(self, replicas: int) -> None:
        now = self._clock()
        self._meter.count("lingshu_replica_seconds_total", replicas * (now - self._counted_until))
        self._counted_until = now

    def _measure(self, report: LeaseReport) -> None:
        out = self._clock() - self._handed_out.pop(report.lease.id, self._clock())
        self._meter.count("lingshu_leases_total", status=report.status)
        self._meter.count("lingshu_lease_seconds_total", out)
        self._meter.observe("lingshu_lease_duration_seconds", out)
        self._meter.count("lingshu_replica_busy_seconds_total", sum(each.seconds for each in report.outcomes))
        for outcome in report.outcomes:
            self._meter.count("lingshu_task_attempts_total", outcome=outcome.status)
        report.measures.tell(self._meter)


def measure_progress(meter: Meter, progress: Progress) -> None:
    """Tell a meter how far a run is."""
    meter.set("lingshu_tasks", progress.done, state="done")
    meter.set("lingshu_tasks", progress.failed, state="failed")
    meter.set("lingshu_tasks", progress.total - progress.done - progress.failed, state="open")
    meter.set("lingshu_leases_in_flight", progress.leases)
    meter.set("lingshu_replicas", progress.replicas)
