import pytest
from hypothesis import given
from hypothesis import strategies as st

from actors.pace import Pace


def test_the_first_lease_is_one_task() -> None:
    assert Pace(30, 60).lease_size(waiting=1000, slots=2) == 1


def test_a_lease_takes_the_seconds_it_should() -> None:
    pace = Pace(lease_seconds=30, deadline_seconds=60)
    for _ in range(10):
        pace.saw(2.0)
    assert pace.lease_size(waiting=1000, slots=2) == 15


def test_every_slot_gets_work() -> None:
    pace = Pace(lease_seconds=30, deadline_seconds=60)
    pace.saw(0.001)
    assert pace.lease_size(waiting=12, slots=4) == 3


def test_slow_tasks_run_alone() -> None:
    pace = Pace(lease_seconds=30, deadline_seconds=60)
    pace.saw(300.0)
    assert pace.lease_size(waiting=1000, slots=2) == 1


def test_deadlines_grow_with_the_lease() -> None:
    pace = Pace(lease_seconds=30, deadline_seconds=60, slack=10)
    assert pace.deadline(1) == 60
    pace.saw(2.0)
    assert pace.deadline(1) == 60
    assert pace.deadline(15) == pytest.approx(300)


@given(
    seconds=st.lists(st.floats(0, 1e6), max_size=80),
    waiting=st.integers(1, 10**6),
    slots=st.integers(0, 1000),
)
def test_a_lease_holds_one_task_or_more_but_no_more_than_wait(seconds: list[float], waiting: int, slots: int) -> None:
    pace = Pace(30, 60)
    for each in seconds:
        pace.saw(each)
    assert 1 <= pace.lease_size(waiting, slots) <= waiting
