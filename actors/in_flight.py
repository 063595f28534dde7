"""Leases that are out, and which of their tasks are still open."""

import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass

from actors.tasks import Lease, Task


@dataclass(slots=True)
class _Out:
    lease: Lease
    since: float
    helped: bool = False


class InFlight:
    """Knows which lease holds which task, for as long as both are out.

    A task is open from its first lease until it is closed: committed, set aside, or queued again. Two leases may hold
    the same task, when the first is late; whichever settles it closes it, and what the other says of it is no news.
    """

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._out: dict[str, _Out] = {}
        self._holders: dict[str, int] = {}

    def __len__(self) -> int:
        """Leases that are out."""
        return len(self._out)

    @property
    def open_tasks(self) -> int:
        """Tasks that are not settled."""
        return len(self._holders)

    @property
    def oldest_seconds(self) -> float:
        """For how long the oldest lease is out; 0 where none is."""
        oldest = next(iter(self._out.values()), None)  # they are kept in the order in which they went out
        return 0.0 if oldest is None else self._clock() - oldest.since

    def add(self, lease: Lease) -> None:
        """A lease was handed out."""
        self._out[lease.id] = _Out(lease, self._clock(), helped=lease.second)
        for task in lease.tasks:
            self._holders[task.id] = self._holders.get(task.id, 0) + 1

    def take(self, lease_id: str) -> Lease | None:
        """A lease was reported; None if it is none of these."""
        out = self._out.pop(lease_id, None)
        if out is None:
            return None
        for task in out.lease.tasks:
            if task.id in self._holders:
                self._holders[task.id] -= 1
        return out.lease

    def is_open(self, task_id: str) -> bool:
        """Whether a task is still to be settled."""
        return task_id in self._holders

    def is_held(self, task_id: str) -> bool:
        """Whether a lease that is out has the task."""
        return self._holders.get(task_id, 0) > 0

    def close(self, task_id: str) -> bool:
        """Settle a task; tell whether it was open."""
        return self._holders.pop(task_id, None) is not None

    def late(self, late_after: Callable[[int], float]) -> Iterator[tuple[Lease, list[Task]]]:
        """Give the leases that nobody helps yet and that are out for too long, the oldest first, with open tasks.

        Parameters
        ----------
        late_after
            Size of a lease → seconds after which it is late.
        """
        now = self._clock()
        for out in list(self._out.values()):
            if not out.helped and now - out.since > late_after(len(out.lease.tasks)):
                yield out.lease, [task for task in out.lease.tasks if self.is_open(task.id)]

    def help(self, lease_id: str) -> None:
        """A lease that is late has got a second one beside it."""
        self._out[lease_id].helped = True
