"""How long tasks take, and hence how many make a lease and when a lease is overdue."""

from collections import deque

REMEMBERED_TASKS = 64


class Pace:
    """Seconds per task, learnt while the work runs.

    Parameters
    ----------
    lease_seconds
        What a lease should take: long beside the cost of handing it out, short beside the cost of losing it.
    deadline_seconds
        The shortest deadline of a lease.
    slack
        A lease is overdue when it takes this many times what was expected.
    """

    def __init__(self, lease_seconds: float, deadline_seconds: float, slack: float = 10.0) -> None:
        self._lease_seconds = lease_seconds
        self._deadline_seconds = deadline_seconds
        self._slack = slack
        self._latest: deque[float] = deque(maxlen=REMEMBERED_TASKS)

    @property
    def seconds_per_task(self) -> float:
        """Mean over the latest tasks; 0 before the first."""
        return sum(self._latest) / len(self._latest) if self._latest else 0.0

    def saw(self, seconds: float) -> None:
        """Learn from a task that ended well."""
        self._latest.append(seconds)

    def lease_size(self, waiting: int, slots: int) -> int:
        """Return how many of the waiting tasks make the next lease: one until a task has been timed.

        Never more than a fair share of the slots of all replicas, so that none idles while another has a long queue.
        """
        if not self._latest:
            return 1
        wanted = self._lease_seconds / max(self.seconds_per_task, 1e-6)
        fair = -(-waiting // max(slots, 1))
        return max(1, min(int(wanted), fair))

    def deadline(self, size: int) -> float:
        """Return the deadline in seconds of a lease of `size` tasks."""
        return max(self._deadline_seconds, self._slack * size * self.seconds_per_task)
