"""How far a run is, and how it ended."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Progress:
    """A snapshot of a run; `done` and `failed` never go down.

    Attributes
    ----------
    done
        Tasks whose result is committed, by this run or by another attempt.
    failed
        Tasks set aside after their last attempt.
    leases
        Leases in flight.
    seconds_per_task
        Mean over the latest tasks, 0 before the first.
    setbacks
        Attempts that failed and leases that were lost, whose tasks were tried again or set aside.
    last_setback
        Why the latest of these failed, in a line without secrets; empty before the first.
    oldest_lease_seconds
        For how long the oldest lease in flight is out, its time in a replica's queue included; 0 where none is.
    """

    done: int
    failed: int
    total: int
    replicas: int
    leases: int
    elapsed_seconds: float
    seconds_per_task: float
    setbacks: int = 0
    last_setback: str = ""
    oldest_lease_seconds: float = 0.0

    @property
    def tasks_per_second(self) -> float:
        """How many tasks all replicas together do in a second, as it went lately; 0 before the first is done."""
        return self.replicas / self.seconds_per_task if self.seconds_per_task else 0.0

    @property
    def seconds_left(self) -> float:
        """How long the rest takes, if all goes on as it went lately; 0 before the first task is done."""
        left = self.total - self.done - self.failed
        return left * self.seconds_per_task / max(self.replicas, 1)


OnProgress = Callable[[Progress], None]


@dataclass(frozen=True, slots=True)
class Summary:
    """How a run ended.

    Attributes
    ----------
    committed
        Tasks committed by this run; which they are is in the ledger.
    duplicates
        Tasks that another attempt, of another run, had committed first.
    failed
        Ids set aside, each with the reason of its last attempt.
    lost_leases
        Leases that went down with their replica or passed their deadline.
    second_leases
        Leases handed out beside others that were late.
    cancelled
        Who asked for the end before all was done; then tasks are neither committed nor failed.
    """

    committed: int
    duplicates: int
    failed: Mapping[str, str]
    lost_leases: int
    second_leases: int
    elapsed_seconds: float
    cancelled: str = ""

    @property
    def complete(self) -> bool:
        """Whether every task has a committed result."""
        return not self.failed and not self.cancelled
