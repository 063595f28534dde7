"""A pool without a cluster: one replica in this process, for laptops and tests.

Same contract as the Ray pool with two limits that one process sets: a lease that hangs cannot be stopped at its
deadline, and a poisoned worker is opened anew instead of being killed.
"""

from collections import deque
from collections.abc import Sequence
from types import TracebackType
from typing import Self

from actors.errors import PoolError, ReplicaStartFailed
from actors.injector import Injector
from actors.pool import LEASES_PER_REPLICA
from actors.replica import Replica, describe
from actors.tasks import Lease, LeaseReport
from actors.worker import WorkerSpec


class InProcessPool:
    """`Pool` of one replica that runs a lease whenever it is polled.

    Parameters
    ----------
    spec
        The worker; it opens at once.
    store_url
        Where results are committed; `memory://` works here.
    injector
        Strikes the replica with faults, in a rehearsal.

    Raises
    ------
    BadFaultPlan
        The faults would end this process.
    ReplicaStartFailed
        The worker does not open.
    """

    def __init__(self, spec: WorkerSpec, store_url: str, injector: Injector | None = None) -> None:
        if injector is not None:
            injector.refuse_in_process()
        self._spec = spec
        self._store_url = store_url
        self._injector = injector
        self._opened = 0
        self._queue: deque[Lease] = deque()
        self._returned: list[LeaseReport] = []
        self._replica: Replica | None = self._open()

    @property
    def replicas(self) -> int:
        """How many replicas are up or starting."""
        return 0 if self._replica is None else 1

    def free_slots(self) -> int:
        """How many leases the replica would take now."""
        return LEASES_PER_REPLICA * self.replicas - len(self._queue)

    def idle(self) -> int:
        """How many replicas have nothing to do: one or none."""
        return 0 if self._queue else self.replicas

    def submit(self, lease: Lease) -> None:
        """Queue a lease; it runs when the pool is polled."""
        if self.free_slots() < 1:
            raise PoolError(f"lease {lease.id}: the queue is full; ask free_slots() first")
        self._queue.append(lease)

    def poll(self, timeout_seconds: float) -> Sequence[LeaseReport]:
        """Run the next lease to its end, however long it takes, and report it."""
        if self._replica is None:
            raise PoolError("the pool is closed")
        reports, self._returned = self._returned, []
        if not reports and self._queue:
            reports = [self._replica.run(self._queue.popleft())]
            if reports[0].poisoned:
                self.replace(self._replica.name, reports[0].reason)
        return reports

    def replace(self, replica: str, reason: str) -> None:
        """Open the worker anew; queued leases come back as `returned`. A name that is gone is ignored."""
        if self._replica is None or self._replica.name != replica:
            return
        self._returned += [LeaseReport(lease, replica, "returned", reason=reason) for lease in self._queue]
        self._queue.clear()
        self._replica = None  # lets go of the old weights before the new ones load
        self._replica = self._open()

    def close(self) -> None:
        """Let go of the worker."""
        self._queue.clear()
        self._replica = None

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    def _open(self) -> Replica:
        name = f"replica-{self._opened}"
        self._opened += 1
        try:
            return Replica.open(name, self._spec, self._store_url, self._injector)
        except Exception as error:
            raise ReplicaStartFailed(f"worker {self._spec.target} does not open: {describe(error)}") from error
