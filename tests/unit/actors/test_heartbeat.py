import logging
import threading
import uuid

import pytest

from actors.beat import Beat, beat_key, read_beat
from actors.blobs import Blobs, open_blobs
from actors.faulty_blobs import Fault, FaultyBlobs
from actors.heartbeat import LONGEST_TEXT, Heartbeat
from actors.job import Ending
from actors.process_mark import ProcessMark
from actors.progress import Progress
from actors.size_limits import LARGEST_RECORD

ABOUT = dict.fromkeys(("name", "run_id", "asked", "file"), "x")
NEVER = 3600.0


class Noting:
    """A store that notes each beat, and lets a test wait for the n-th."""

    def __init__(self, blobs: Blobs) -> None:
        self.beats: list[Beat] = []
        self._blobs, self._changed = blobs, threading.Condition()

    def put(self, key: str, data: bytes) -> None:
        self._blobs.put(key, data)
        with self._changed:
            self.beats.append(Beat.from_json(data, key))
            self._changed.notify_all()

    def wait_for(self, beats: int) -> None:
        with self._changed:
            assert self._changed.wait_for(lambda: len(self.beats) >= beats, timeout=60)


@pytest.fixture
def blobs() -> Blobs:
    return open_blobs(f"memory://{uuid.uuid4().hex}")


def test_a_beat_is_there_before_anything_else_is_done(blobs: Blobs) -> None:
    heart = Heartbeat(blobs, ABOUT, NEVER)
    heart.start()
    beat = read_beat(blobs, heart.owner)
    heart.withdraw()
    assert beat is not None
    assert (beat.count, beat.mark, beat.ending) == (1, ProcessMark.here(), None)
    assert set(beat.about) == {*ABOUT, "user", "since"}
    assert read_beat(blobs, heart.owner) is None


def test_it_beats_by_itself_and_a_stage_is_told_at_once(blobs: Blobs) -> None:
    noting = Noting(blobs)
    heart = Heartbeat(noting, ABOUT, 0.01)  # type: ignore[arg-type]
    heart.start()
    noting.wait_for(4)  # nobody has told it anything
    heart.end(Ending(0))
    assert [beat.count for beat in noting.beats] == list(range(1, len(noting.beats) + 1))

    noting = Noting(blobs)
    heart = Heartbeat(noting, ABOUT, NEVER)  # type: ignore[arg-type]
    heart.start()
    heart.progress(Progress(1, 0, 10, 1, 2, 3.0, 4.0))
    heart.stage("predict", "10 blocks")
    noting.wait_for(2)
    assert (noting.beats[1].stage, noting.beats[1].progress) == ("predict", Progress(1, 0, 10, 1, 2, 3.0, 4.0))
    heart.end(Ending(3, "some failed", {"failed": 1}))
    assert noting.beats[-1].ending == Ending(3, "some failed", {"failed": 1})


def test_the_end_is_the_last_that_is_told(blobs: Blobs) -> None:
    noting = Noting(blobs)
    heart = Heartbeat(noting, ABOUT, 0.001)  # type: ignore[arg-type]
    heart.start()
    heart.end(Ending(0))
    told = len(noting.beats)
    threading.Event().wait(0.05)
    assert len(noting.beats) == told
    assert [beat.ending for beat in noting.beats].count(Ending(0)) == 1


def test_a_store_that_does_not_answer_costs_beats_and_nothing_else(
    blobs: Blobs, caplog: pytest.LogCaptureFixture
) -> None:
    broken = True

    def next_fault(operation: str, key: str) -> Fault | None:
        return "503" if broken else None

    heart = Heartbeat(FaultyBlobs(blobs, next_fault), ABOUT, NEVER)
    with caplog.at_level(logging.WARNING):
        heart.start()
        heart._write()
    assert len(caplog.records) == 1  # once for each time of trouble
    assert "the run goes on" in caplog.text
    heart.end(Ending(0))  # nobody waits for this store again
    assert read_beat(blobs, heart.owner) is None

    heart = Heartbeat(FaultyBlobs(blobs, next_fault), ABOUT, NEVER)
    heart.start()
    broken = False
    heart._write()
    heart.end(Ending(0))
    beat = read_beat(blobs, heart.owner)
    assert beat is not None
    assert beat.ending == Ending(0)


def test_a_beat_stays_below_what_is_read_of_one(blobs: Blobs) -> None:
    heart = Heartbeat(blobs, dict.fromkeys(ABOUT, "é" * LARGEST_RECORD), NEVER)
    heart.stage("predict", "é" * LARGEST_RECORD)
    heart.start()
    heart.end(Ending(2, "é" * LARGEST_RECORD))
    assert len(blobs.get(beat_key(heart.owner))) < LARGEST_RECORD
    beat = read_beat(blobs, heart.owner)
    assert beat is not None
    assert beat.ending is not None
    assert len(beat.ending.line) == LONGEST_TEXT
