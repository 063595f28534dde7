"""The parts of the engine's benchmark, on little work: what they measure has to be there to be measured."""

from pathlib import Path

import pytest

from actors.blobs import open_blobs
from actors.ledger import Ledger
from benchmarks import engine_leases, engine_planning
from benchmarks.engine_worker import BatchWaiter, Waiter, payload, task_id, tasks, waited
from benchmarks.memory import MemoryLog


def test_every_task_of_the_arithmetic_pool_is_committed_or_set_aside() -> None:
    found = engine_leases.measure(2_000)
    assert found["tasks"] + found["set_aside"] == 2_000 * engine_leases.TASKS_PER_LEASE
    assert found["set_aside"] > 0
    assert found["leases"] >= 2_000
    assert 0.9 < found["busy"] <= 1


def test_a_small_screen_is_planned() -> None:
    found = engine_planning.measure(40, 3)
    assert found["conditions"] == 123
    assert 400 < found["payload_bytes"] < 1_000


def test_waiting_is_read_back_from_the_ledger(tmp_path: Path) -> None:
    BatchWaiter(str(tmp_path), 0.01)({"id": [0, 1]})  # type: ignore[dict-item]
    Ledger(open_blobs(str(tmp_path))).commit(task_id(2), Waiter().run(payload(0.02)), replica="replica-0")
    found = waited(str(tmp_path))
    assert 0.04 <= found.seconds <= found.span + 0.001
    assert [task.id for task in tasks(3, 0.01)] == [task_id(place) for place in range(3)]


def test_the_slope_of_memory_is_that_of_its_second_half() -> None:
    log = MemoryLog(samples=[(0, 0), (10, 500), (20, 1_000), (30, 1_020), (40, 1_040), (50, 1_060)])
    assert log.bytes_each == pytest.approx(2.0)
    assert MemoryLog(samples=[(0, 0)]).bytes_each == 0.0
