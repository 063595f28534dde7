"""Counts failures that follow one another: on one replica, and everywhere."""

from collections import defaultdict


class Breaker:
    """Tells a bad replica from bad tasks.

    A replica is suspect when several different tasks failed on it with no success in between; one bad task tried
    again and again is the task's fault. For the same reason only first attempts count for the run as a whole.
    """

    def __init__(self, failures_per_replica: int, failures_in_a_row: int) -> None:
        self._failures_per_replica = failures_per_replica
        self._failures_in_a_row = failures_in_a_row
        self._failed_on: defaultdict[str, set[str]] = defaultdict(set)
        self._in_a_row = 0

    @property
    def hopeless(self) -> bool:
        """Whether so much failed with no success in between that going on is pointless."""
        return self._in_a_row >= self._failures_in_a_row

    def saw_success(self, replica: str) -> None:
        """A task ended well on this replica."""
        self._failed_on.pop(replica, None)
        self._in_a_row = 0

    def saw_failure(self, replica: str, what: str, first_attempt: bool) -> None:
        """A task failed on this replica, or a lease was lost with it; `what` is the id of either."""
        self._failed_on[replica].add(what)
        self._in_a_row += first_attempt

    def saw_conclusive_failure(self) -> None:
        """A task failed for a reason of its own, which says nothing of the replica."""
        self._in_a_row += 1

    def is_suspect(self, replica: str) -> bool:
        """Whether the replica should be replaced."""
        return len(self._failed_on.get(replica, ())) >= self._failures_per_replica

    def forget(self, replica: str) -> None:
        """The replica is gone."""
        self._failed_on.pop(replica, None)
