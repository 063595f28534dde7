import uuid
from collections import Counter
from collections.abc import Iterator

from actors.blobs import Blobs, open_blobs
from actors.strikes import Strikes


def fresh() -> Blobs:
    return open_blobs(f"memory://{uuid.uuid4().hex}")


def faults() -> Iterator[str]:
    yield from ("kill", "out of memory")


def test_each_fault_strikes_once_in_all_processes_together() -> None:
    blobs = fresh()
    one, other = Strikes(blobs), Strikes(blobs)
    assert [each.next("task", faults()) for each in (one, other, one, other)] == ["kill", "out of memory", None, None]
    assert one.next("another task", faults()) == "kill"
    assert other.count() == Counter({"kill": 2, "out of memory": 1})


def test_what_is_forgotten_strikes_anew() -> None:
    blobs = fresh()
    Strikes(blobs).next("task", faults())
    Strikes(blobs).forget()
    assert not Strikes(blobs).count()
    assert Strikes(blobs).next("task", faults()) == "kill"


def test_a_fault_that_may_not_strike_is_counted_as_spared_and_strikes_where_it_may() -> None:
    strikes = Strikes(fresh())
    assert [strikes.next("task", faults(), lambda fault: fault != "kill") for _ in range(2)] == [None, None]
    assert strikes.count() == Counter({"kill spared": 1})
    assert strikes.next("task", faults()) == "kill"
    assert strikes.count() == Counter({"kill spared": 1, "kill": 1})
