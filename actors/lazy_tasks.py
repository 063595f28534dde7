"""Tasks whose payloads are made when their turn comes: a screen of a million conditions never holds a million."""

from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import overload

from actors.errors import DuplicateTask
from actors.tasks import Task


class LazyTasks(Sequence[Task]):
    """Tasks in the order in which they should run, each made anew whenever it is looked at.

    Parameters
    ----------
    count
        How many there are.
    task_id, payload
        Place from 0 → the id of the task there, and its payload; the same answer every time.

    Raises
    ------
    DuplicateTask
        An id occurs twice.
    """

    def __init__(self, count: int, task_id: Callable[[int], str], payload: Callable[[int], bytes]) -> None:
        self._count, self._id, self._payload = count, task_id, payload
        refuse_duplicates(self.ids())

    def ids(self) -> Iterator[str]:
        """Give the ids, without making payloads."""
        return map(self._id, range(self._count))

    def __len__(self) -> int:
        return self._count

    @overload
    def __getitem__(self, place: int) -> Task: ...

    @overload
    def __getitem__(self, place: slice) -> Sequence[Task]: ...

    def __getitem__(self, place: int | slice) -> Task | Sequence[Task]:
        places = range(self._count)[place]
        return self._task(places) if isinstance(places, int) else [self._task(each) for each in places]

    def __iter__(self) -> Iterator[Task]:
        return map(self._task, range(self._count))

    def _task(self, place: int) -> Task:
        return Task(self._id(place), self._payload(place))


def refuse_duplicates(ids: Iterable[str]) -> None:
    """Raise `DuplicateTask` where an id occurs twice."""
    seen: set[str] = set()
    for task_id in ids:
        if task_id in seen:
            raise DuplicateTask(f"task {task_id} was handed over twice: each result is committed once")
        seen.add(task_id)
