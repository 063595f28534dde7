import pytest
from hypothesis import given
from hypothesis import strategies as st

from actors.backlog import COOL_OFF_LEASES, Backlog
from actors.errors import DuplicateTask
from actors.rehearsal import rehearsed

TASKS = [rehearsed(str(number)) for number in range(6)]


def test_fresh_tasks_share_a_lease_in_their_order() -> None:
    backlog = Backlog(TASKS)
    assert backlog.cut(4) == (tuple(TASKS[:4]), 1)
    assert backlog.cut(4) == (tuple(TASKS[4:]), 1)
    assert len(backlog) == 0


def test_what_failed_runs_alone_and_some_leases_later() -> None:
    many = [rehearsed(str(number)) for number in range(100)]
    backlog = Backlog(many)
    (bad, _), _ = backlog.cut(2)
    assert backlog.count_failure(bad) == 1
    backlog.retry(bad)
    cuts = [backlog.cut(2) for _ in range(COOL_OFF_LEASES)]
    assert cuts[-1] == ((bad,), 2)
    assert all(len(tasks) == 2 and attempt == 1 for tasks, attempt in cuts[:-1])


def test_what_failed_runs_at_once_when_nothing_else_is_left() -> None:
    backlog = Backlog(TASKS[:1])
    backlog.cut(1)
    backlog.count_failure(TASKS[0])
    backlog.retry(TASKS[0])
    assert backlog.cut(5) == ((TASKS[0],), 2)


def test_what_did_not_run_comes_back_to_the_front_uncounted() -> None:
    backlog = Backlog(TASKS)
    taken, _ = backlog.cut(3)
    for task in reversed(taken):
        backlog.give_back(task)
    assert backlog.cut(6) == (tuple(TASKS), 1)


def test_what_failed_once_stays_alone_when_it_comes_back() -> None:
    backlog = Backlog(TASKS[:2])
    backlog.cut(2)
    backlog.count_failure(TASKS[0])
    backlog.give_back(TASKS[0])
    backlog.give_back(TASKS[1])
    assert [backlog.cut(2), backlog.cut(2)] == [((TASKS[0],), 2), ((TASKS[1],), 1)]


def test_a_task_comes_once() -> None:
    with pytest.raises(DuplicateTask, match=TASKS[0].id):
        Backlog([TASKS[0], TASKS[1], TASKS[0]])


@given(sizes=st.lists(st.integers(1, 7), min_size=6))
def test_cutting_loses_and_doubles_nothing(sizes: list[int]) -> None:
    backlog, taken = Backlog(TASKS), []
    for size in sizes:
        taken += backlog.cut(size)[0]
    assert taken == TASKS
