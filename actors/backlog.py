"""The tasks that still have to run, and how often each has been tried."""

from collections import deque
from collections.abc import Collection, Iterator
from itertools import chain, islice

from actors.lazy_tasks import LazyTasks, refuse_duplicates
from actors.tasks import Task

COOL_OFF_LEASES = 8


class Backlog:
    """Tasks in the order in which they will be handed out.

    Fresh tasks share leases. A task that has failed runs alone, so that it takes nothing down with it, and only
    after some other leases (or when no fresh task is left): by then a passing trouble may be over, and a replica on
    which everything fails has been found out and replaced.

    Fresh tasks are taken from where they come one lease at a time, so that those of `LazyTasks` cost no memory
    before.

    Raises
    ------
    DuplicateTask
        An id occurs twice.
    """

    def __init__(self, tasks: Collection[Task]) -> None:
        if not isinstance(tasks, LazyTasks):
            refuse_duplicates(task.id for task in tasks)
        self._coming: Iterator[Task] = iter(tasks)
        self._left = len(tasks)
        self._returned: deque[Task] = deque()
        self._again: deque[tuple[int, Task]] = deque()  # with the number of the lease from which on it may run
        self._leases = 0
        self._failures: dict[str, int] = {}

    def __len__(self) -> int:
        return self._fresh + len(self._again)

    @property
    def _fresh(self) -> int:
        return len(self._returned) + self._left

    def cut(self, at_most: int) -> tuple[tuple[Task, ...], int]:
        """Take the tasks of the next lease and say which attempt it is, from 1."""
        self._leases += 1
        if self._again and (not self._fresh or self._again[0][0] <= self._leases):
            _, task = self._again.popleft()
            return (task,), self._failures[task.id] + 1
        returned = [self._returned.popleft() for _ in range(min(at_most, len(self._returned)))]
        coming = list(islice(self._coming, min(at_most - len(returned), self._left)))
        self._left -= len(coming)
        return (*returned, *coming), 1

    def extend(self, tasks: Collection[Task]) -> None:
        """Queue more fresh tasks, behind those that are here.

        Raises
        ------
        DuplicateTask
            An id occurs twice among them.
        """
        if not isinstance(tasks, LazyTasks):
            refuse_duplicates(task.id for task in tasks)
        self._coming = chain(list(islice(self._coming, self._left)), tasks)
        self._left += len(tasks)

    def give_back(self, task: Task) -> None:
        """Queue a task that did not run, in front and with no attempt counted."""
        if task.id in self._failures:
            self._again.appendleft((self._leases, task))
        else:
            self._returned.appendleft(task)

    def count_failure(self, task: Task) -> int:
        """Count a failed attempt and return how many there are now."""
        self._failures[task.id] = self._failures.get(task.id, 0) + 1
        return self._failures[task.id]

    def retry(self, task: Task) -> None:
        """Queue a task that has failed, or was in a lease with one that did, to run alone later."""
        self._failures.setdefault(task.id, 0)
        self._again.append((self._leases + COOL_OFF_LEASES, task))

    def forget_failures(self, task_id: str) -> None:
        """A task is settled: how often it failed is of no interest any more."""
        self._failures.pop(task_id, None)
