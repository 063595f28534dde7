"""Where time goes: what is inside what, what is aside, and what doesn't count."""

import threading
from pathlib import Path

import pytest

from actors.blobs import open_blobs
from benchmarks.papalexi_screen import labels
from benchmarks.screen import shares, throughput
from benchmarks.stage_clock import Spent, StageClock, Stopwatch, store_watched


def test_operations_of_a_store_are_counted_with_their_bytes(tmp_path: Path) -> None:
    with store_watched() as watch:
        blobs = open_blobs(str(tmp_path))
        blobs.put("a/b", b"four")
        assert blobs.get("a/b") == b"four"
        assert [key for key, _ in blobs.list("a")] == ["a/b"]
    blobs.put("a/c", b"not watched")
    assert dict(watch.calls) == {"put": 1, "get": 1, "list": 1}
    assert (watch.bytes_read, watch.bytes_written) == (4, 4)


def test_seconds_of_other_threads_are_aside() -> None:
    watch = Stopwatch()
    action = watch.around("exists", lambda: None)
    thread = threading.Thread(target=action)
    thread.start()
    thread.join()
    assert watch.calls["exists"] == 1
    assert watch.seconds == 0.0
    assert watch.seconds_aside > 0.0


def test_a_pause_is_no_part_of_a_stage() -> None:
    clock = StageClock()
    clock.stage("load", "")
    with clock.paused():
        clock.away += Spent(1_000.0, 1_000.0)  # as if it had taken so long
    clock.stage("plan", "")
    clock.stage("plan", "a word more")
    stages = clock.stages()
    assert list(stages) == ["load", "plan"]
    assert stages["load"].wall < 0.0


def test_shares_and_rates() -> None:
    assert shares({"plan": Spent(1.0, 0.5)}, 4.0)["share_plan"] == 0.25
    assert shares({}, 4.0)["share_score"] == 0.0
    rates = throughput(10, 1_280, Spent(5.0, 2.0))
    assert rates["conditions_per_second"] == 2.0
    assert rates["cells_per_cpu_second"] == 640.0


def test_combinations_are_named_until_there_are_enough() -> None:
    assert labels(["C", "A", "B"], 5) == ["A", "B", "C", "A+B", "A+C"]
    with pytest.raises(SystemExit, match="make 7 conditions"):
        labels(["C", "A", "B"], 8)
