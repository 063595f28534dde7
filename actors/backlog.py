"""The tasks that still have to run, and how often each has been tried."""

from collections import deque
from collections.abc import Iterable

from actors.errors import DuplicateTask
from actors.tasks import Task

COOL_OFF_LEASES = 8


class Backlog:
    """Tasks in the order in which they will be handed out.

    Fresh tasks share leases. A task that has failed runs alone, so that it takes nothing down with it, and only
    after some other leases (or when no fresh task is left): by then a passing trouble may be over, and a replica on
    which everything fails has been found out and replaced.
    """

    def __init__(self, tasks: Iterable[Task]) -> None:
        self._fresh = deque(tasks)
        self._again: deque[tuple[int, Task]] = deque()  # with the number of the lease from which on it may run
        self._leases = 0
        self._failures: dict[str, int] = {}
        _refuse_duplicates(self._fresh)

    def __len__(self) -> int:
        return len(self._fresh) + len(self._again)

    def cut(self, at_most: int) -> tuple[tuple[Task, ...], int]:
        """Take the tasks of the next lease and say which attempt it is, from 1."""
        self._leases += 1
        if self._again and (not self._fresh or self._again[0][0] <= self._leases):
            _, task = self._again.popleft()
            return (task,), self._failures[task.id] + 1
        count = min(at_most, len(self._fresh))
        return tuple(self._fresh.popleft() for _ in range(count)), 1

    def give_back(self, task: Task) -> None:
        """Queue a task that did not run, in front and with no attempt counted."""
        if task.id in self._failures:
            self._again.appendleft((self._leases, task))
        else:
            self._fresh.appendleft(task)

    def count_failure(self, task: Task) -> int:
        """Count a failed attempt and return how many there are now."""
        self._failures[task.id] = self._failures.get(task.id, 0) + 1
        return self._failures[task.id]

    def retry(self, task: Task) -> None:
        """Queue a task that has failed, to run alone later."""
        self._again.append((self._leases + COOL_OFF_LEASES, task))


def _refuse_duplicates(tasks: Iterable[Task]) -> None:
    seen: set[str] = set()
    for task in tasks:
        if task.id in seen:
            raise DuplicateTask(f"task {task.id} was handed over twice: each result is committed once")
        seen.add(task.id)
