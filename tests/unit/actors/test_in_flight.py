from collections.abc import Callable

import pytest

from actors.in_flight import InFlight
from actors.rehearsal import rehearsed
from actors.tasks import Lease, Task

A, B, C = (rehearsed(name) for name in "abc")


class Clock:
    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


def lease(name: str, *tasks: Task, second: bool = False) -> Lease:
    return Lease(name, tasks, 1, 60.0, second)


def test_the_oldest_lease_is_timed(clock: Clock) -> None:
    flight = InFlight(clock)
    assert flight.oldest_seconds == 0
    flight.add(lease("first", A))
    clock.now = 5.0
    flight.add(lease("second", B))
    clock.now = 7.0
    assert flight.oldest_seconds == 7.0
    flight.take("first")
    assert flight.oldest_seconds == 2.0


def after(seconds: float) -> Callable[[int], float]:
    return lambda size: seconds


def test_a_task_is_open_until_it_is_closed() -> None:
    leases = InFlight()
    leases.add(lease("one", A, B))
    assert (len(leases), leases.open_tasks) == (1, 2)
    assert leases.close(A.id)
    assert not leases.close(A.id)
    assert leases.take("one") == lease("one", A, B)
    assert (len(leases), leases.open_tasks) == (0, 1)
    assert leases.is_open(B.id)
    assert not leases.is_held(B.id)


def test_a_lease_that_nobody_handed_out_is_unknown() -> None:
    assert InFlight().take("of another run") is None


def test_a_task_in_two_leases_is_held_until_both_are_back() -> None:
    leases = InFlight()
    leases.add(lease("one", A, B))
    leases.add(lease("two", B, second=True))
    leases.take("one")
    assert (leases.is_held(A.id), leases.is_held(B.id)) == (False, True)
    leases.take("two")
    assert not leases.is_held(B.id)
    assert leases.close(B.id)


def test_late_leases_are_given_once_with_what_is_open_of_them(clock: Clock) -> None:
    leases = InFlight(clock)
    leases.add(lease("old", A, B))
    clock.now = 5.0
    leases.add(lease("young", C))
    clock.now = 11.0
    leases.close(A.id)
    assert [(found.id, tasks) for found, tasks in leases.late(after(10.0))] == [("old", [B])]
    leases.help("old")
    leases.add(lease("beside", B, second=True))
    clock.now = 100.0
    assert [found.id for found, _ in leases.late(after(10.0))] == ["young"]
