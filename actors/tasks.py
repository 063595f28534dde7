"""What is scheduled: tasks with opaque ids and payloads, leases of tasks, and what came of them."""

import re
from dataclasses import dataclass, field
from typing import Literal

from actors.errors import UnsafeTaskId
from actors.meter import Measures

TaskStatus = Literal["committed", "duplicate", "found", "failed"]
Settled = Literal["committed", "duplicate", "failed"]
"""How a task ends for a run: by its own commit, by that of another, or set aside after its last attempt."""
AfterFailure = Literal["try again", "set aside", "stop"]
"""What a failure asks for: another attempt, which may succeed; none, for it would fail in the same way; the end of the
run, for every other task would meet the same."""
LeaseStatus = Literal["finished", "lost", "returned"]
_HEX_DIGEST = re.compile(r"[0-9a-f]{8,128}")


@dataclass(frozen=True, slots=True)
class Task:
    """A unit of work that is committed as a whole.

    Attributes
    ----------
    id
        Lower-case hex digest of everything that decides the result; it names the commit.
    payload
        Bytes that only the worker understands.

    Raises
    ------
    UnsafeTaskId
        The id is no hex digest of 8 to 128 characters.
    """

    id: str
    payload: bytes

    def __post_init__(self) -> None:
        check_task_id(self.id)


@dataclass(frozen=True, slots=True)
class Lease:
    """Tasks handed to one replica at once.

    Attributes
    ----------
    attempt
        How often its tasks have been tried with this lease included, from 1.
    deadline_seconds
        How long the lease may run, counted from when it is the first in its replica's queue.
    second
        Whether another lease of the same tasks is out: then each is looked up in the ledger before it is computed.
    """

    id: str
    tasks: tuple[Task, ...]
    attempt: int
    deadline_seconds: float
    second: bool = False


@dataclass(frozen=True, slots=True)
class Outcome:
    """What came of one task of a lease.

    Attributes
    ----------
    status
        `committed` by this attempt; `duplicate`, computed, but another attempt had won; `found` committed when its
        turn came, so not computed; `failed` for `reason`.
    seconds
        Time in the worker and in the store.
    after_failure
        What is to be done after it failed.
    """

    task_id: str
    status: TaskStatus
    seconds: float
    reason: str = ""
    after_failure: AfterFailure = "try again"


@dataclass(frozen=True, slots=True)
class LeaseReport:
    """What came of a lease.

    Attributes
    ----------
    status
        `finished`; `lost` with its replica while it ran; `returned` untouched, through no fault of its tasks.
    outcomes
        In the order in which the tasks ran. Tasks that are missing here did not run, or were lost.
    reason
        Why the lease was lost or returned, or why it ended early.
    poisoned
        The replica asked to be killed: its process must not be used again.
    measures
        What the replica has measured since its last report.
    """

    lease: Lease
    replica: str
    status: LeaseStatus
    outcomes: tuple[Outcome, ...] = ()
    reason: str = ""
    poisoned: bool = False
    measures: Measures = field(default_factory=Measures)


def is_task_id(text: str) -> bool:
    """Tell whether this is a plain hex digest."""
    return bool(_HEX_DIGEST.fullmatch(text))


def check_task_id(task_id: str) -> None:
    """Refuse ids that are no plain hex digests, before one becomes part of a key.

    Raises
    ------
    UnsafeTaskId
        Anything but 8 to 128 characters of 0-9a-f.
    """
    if not is_task_id(task_id):
        raise UnsafeTaskId(f"task id {task_id[:80]!r} is no hex digest: 8 to 128 characters of 0-9a-f are allowed")
