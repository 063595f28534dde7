import dataclasses
import sys
import uuid

import pytest

from actors.beat import Beat, beat_key
from actors.blobs import Blobs, open_blobs
from actors.epoch import Epoch
from actors.errors import CorruptBlob, StoreUnavailable
from actors.faulty_blobs import Fault, FaultyBlobs
from actors.history import History
from actors.job import Ending
from actors.process_mark import ProcessMark
from actors.watch import Watch

ABOUT = dict.fromkeys(("name", "run_id", "asked", "file", "user", "since"), "x")
ELSEWHERE = ProcessMark("far away", 7, "another boot", 11)


class Scene:
    """A place, a run in it that beats when it is told to, and a watcher with a clock of its own."""

    def __init__(self, blobs: Blobs, mark: ProcessMark = ELSEWHERE) -> None:
        self.blobs, self.now, self.fault = blobs, 1e6, None
        self.begin(mark)
        history = History(FaultyBlobs(blobs, self._next_fault), patience_seconds=0)
        self.watch = Watch(history, patience_seconds=45, clock=lambda: self.now)

    def begin(self, mark: ProcessMark = ELSEWHERE) -> None:
        epoch = Epoch.begin(History(self.blobs))
        self.beat = Beat(epoch.owner, 0, mark, ABOUT)
        self.tell()

    def tell(self, **changes: object) -> None:
        self.beat = dataclasses.replace(self.beat, count=self.beat.count + 1, **changes)  # type: ignore[arg-type]
        self.blobs.put(beat_key(self.beat.owner), self.beat.to_json())

    def after(self, seconds: float) -> str:
        self.now += seconds
        return self.watch.look().verdict

    def _next_fault(self, operation: str, key: str) -> Fault | None:
        return self.fault


@pytest.fixture
def blobs() -> Blobs:
    return open_blobs(f"memory://{uuid.uuid4().hex}")


def test_a_place_where_nobody_was_is_free(blobs: Blobs) -> None:
    seen = Watch(History(blobs)).look()
    assert (seen.head, seen.version, seen.beat, seen.verdict, seen.why) == (None, None, None, "free", "")


def test_a_run_that_tells_nothing_of_itself_is_no_obstacle(blobs: Blobs) -> None:
    Epoch.begin(History(blobs))  # of an older version, or of an evaluation
    seen = Watch(History(blobs)).look()
    assert (seen.verdict, seen.why) == ("free", "")
    assert seen.head is not None


def test_a_run_elsewhere_lives_as_long_as_its_beat_moves(blobs: Blobs) -> None:
    scene = Scene(blobs)
    assert scene.after(0) == "unsure"
    assert scene.after(40) == "unsure"
    scene.tell()
    assert scene.after(4) == "alive"
    assert scene.after(40) == "alive"  # quiet for a while
    scene.tell()
    assert scene.after(100) == "alive"  # whoever watches slept, and sees a beat that is new
    assert scene.after(44) == "alive"
    assert scene.after(1) == "free"


def test_a_run_elsewhere_that_is_dead_is_found_so_within_the_patience(blobs: Blobs) -> None:
    scene = Scene(blobs)
    assert [scene.after(seconds) for seconds in (0, 20, 20, 5)] == ["unsure", "unsure", "unsure", "free"]
    assert scene.watch.look().why == "it has given no sign of life for 45 s"


def test_each_run_has_a_patience_of_its_own(blobs: Blobs) -> None:
    scene = Scene(blobs)
    scene.after(0)
    scene.tell()
    assert scene.after(40) == "alive"
    scene.begin()  # another one took over
    assert scene.after(40) == "unsure"
    scene.tell()
    assert scene.after(40) == "alive"


def test_a_store_that_is_silent_is_no_silence_of_the_run(blobs: Blobs) -> None:
    scene = Scene(blobs)
    scene.after(0)
    scene.fault = "503"  # type: ignore[assignment]
    scene.now += 600
    with pytest.raises(StoreUnavailable):
        scene.watch.look()
    scene.fault = None
    assert scene.after(30) == "unsure"
    assert scene.after(15) == "free"


def test_a_run_that_has_ended_is_told_at_once(blobs: Blobs) -> None:
    scene = Scene(blobs)
    scene.tell(ending=Ending(2, "no such model"))
    seen = scene.watch.look()
    assert (seen.verdict, seen.why, seen.beat) == ("free", "it has ended: no such model", scene.beat)


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux tells of processes in /proc")
def test_on_the_same_machine_the_process_is_looked_up(blobs: Blobs) -> None:
    here = ProcessMark.here()
    scene = Scene(blobs, here)
    assert scene.after(0) == "alive"
    assert scene.after(45) == "free"  # it is there and does nothing: stopped, or stuck
    scene.begin(dataclasses.replace(here, started=here.started + 1))
    seen = scene.watch.look()
    assert (seen.verdict, seen.why) == ("free", "its process is gone")


@pytest.mark.parametrize("text", [b"", b"{}", b" " * (1 << 17)])
def test_a_beat_that_cannot_be_read_is_none_and_is_told(blobs: Blobs, text: bytes) -> None:
    scene = Scene(blobs)
    blobs.put(beat_key(scene.beat.owner), text)
    seen = scene.watch.look()
    assert (seen.verdict, seen.beat) == ("free", None)
    assert scene.beat.owner in seen.why
    assert seen.why.endswith("it is taken for none")


def test_a_head_that_cannot_be_read_is_an_error(blobs: Blobs) -> None:
    blobs.swap("ledger/HEAD", b"{", None)
    with pytest.raises(CorruptBlob, match="Delete it"):
        Watch(History(blobs, patience_seconds=0)).look()
