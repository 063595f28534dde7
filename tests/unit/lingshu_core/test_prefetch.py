from __future__ import annotations

import threading
import time
from contextlib import closing

import pytest

from lingshu_core.prefetch import prefetched


def test_results_come_in_order() -> None:
    assert list(prefetched(lambda number: number**2, range(10), ahead=3)) == [number**2 for number in range(10)]
    assert list(prefetched(str, [])) == []


def test_work_is_done_ahead_but_no_further_than_asked() -> None:
    made: list[int] = []
    with closing(prefetched(lambda number: made.append(number) or number, range(100), ahead=4)) as results:
        assert next(results) == 0
        deadline = time.monotonic() + 5
        while len(made) < 5 and time.monotonic() < deadline:
            time.sleep(0.01)
        time.sleep(0.05)
        assert made == [0, 1, 2, 3, 4]


def test_an_error_comes_in_the_place_of_its_result() -> None:
    def make(number: int) -> int:
        if number == 2:
            raise OSError("the disk is gone")
        return number

    results = prefetched(make, range(5))
    assert [next(results), next(results)] == [0, 1]
    with pytest.raises(OSError, match="the disk is gone"):
        next(results)


def test_nothing_runs_on_after_it_is_closed() -> None:
    before = threading.active_count()
    results = prefetched(lambda number: number, range(1_000))
    next(results)
    results.close()
    assert threading.active_count() == before
