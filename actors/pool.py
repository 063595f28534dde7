"""The contract between whoever plans leases and whatever runs them."""

from collections.abc import Sequence
from types import TracebackType
from typing import Protocol, Self

from actors.tasks import Lease, LeaseReport

LEASES_PER_REPLICA = 2  # one running, one waiting, so that a replica never idles between two leases


class Pool(Protocol):
    """Replicas that run leases.

    A pool replaces what it loses by itself and reports every lease exactly once: `finished`, `lost` with the
    replica that ran it, or `returned` untouched. It never runs a lease a second time: trying again is the planner's
    decision. Use it as a context manager, or call `close`.
    """

    @property
    def replicas(self) -> int:
        """How many replicas are up or starting."""
        ...

    def free_slots(self) -> int:
        """How many leases the replicas that are up would take now."""
        ...

    def idle(self) -> int:
        """How many of the replicas that are up have nothing to do."""
        ...

    def submit(self, lease: Lease) -> None:
        """Queue a lease on the replica with the least to do; needs a free slot."""
        ...

    def poll(self, timeout_seconds: float) -> Sequence[LeaseReport]:
        """Wait until something happens or the time is over, and return the reports that are due.

        Raises
        ------
        PoolError
            No replica is left and none can be started.
        """
        ...

    def replace(self, replica: str, reason: str) -> None:
        """Give up a replica and start another; its leases come back as `returned`."""
        ...

    def close(self) -> None:
        """Stop all replicas. What is committed stays committed."""
        ...

    def __enter__(self) -> Self: ...

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None: ...
