import pytest

from actors.backlog import Backlog
from actors.errors import DuplicateTask
from actors.lazy_tasks import LazyTasks
from actors.tasks import Task


class Payloads:
    """Makes payloads and remembers which were made."""

    def __init__(self) -> None:
        self.made: list[int] = []

    def __call__(self, place: int) -> bytes:
        self.made.append(place)
        return str(place).encode()


def task_id(place: int) -> str:
    return f"{place:08x}"


def test_it_is_a_sequence_of_tasks() -> None:
    tasks = LazyTasks(3, task_id, Payloads())
    assert list(tasks) == [Task(task_id(place), str(place).encode()) for place in range(3)]
    assert (tasks[-1], tasks[:2]) == (list(tasks)[2], list(tasks)[:2])
    assert list(tasks.ids()) == ["00000000", "00000001", "00000002"]
    with pytest.raises(IndexError):
        tasks[3]


def test_a_payload_is_made_when_its_lease_is_cut() -> None:
    payloads = Payloads()
    backlog = Backlog(LazyTasks(1_000, task_id, payloads))
    assert (len(backlog), payloads.made) == (1_000, [])
    backlog.cut(3)
    assert (len(backlog), payloads.made) == (997, [0, 1, 2])


def test_the_same_id_twice_is_refused_before_any_payload_is_made() -> None:
    payloads = Payloads()
    with pytest.raises(DuplicateTask, match="aaaaaaaa was handed over twice"):
        LazyTasks(2, lambda place: "aaaaaaaa", payloads)
    assert payloads.made == []
