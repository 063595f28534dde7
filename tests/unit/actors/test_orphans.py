import hashlib
import os
import time
import uuid
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from actors.beat import beat_key
from actors.blobs import Blobs, open_blobs
from actors.epoch import Epoch
from actors.errors import CorruptBlob
from actors.faulty_blobs import Fault, FaultyBlobs
from actors.history import History
from actors.ledger import Ledger
from actors.orphans import (
    delete_from_history,
    delete_from_ledger,
    kept_versions,
    orphans_of_history,
    orphans_of_ledger,
)

TASK, OTHER = (hashlib.sha256(name).hexdigest() for name in (b"a task", b"another"))
RUN = "ab" * 32


@pytest.fixture
def blobs() -> Blobs:
    return open_blobs(f"memory://{uuid.uuid4().hex}")


def soon() -> datetime:
    """Everything that is stored now is older than this."""
    return datetime.now(UTC) + timedelta(seconds=1)


def test_data_without_a_record_are_orphans_and_those_of_a_record_are_not(blobs: Blobs) -> None:
    ledger = Ledger(blobs)
    record = ledger.commit(TASK, b"result", replica="r").record
    blobs.put(f"data/{OTHER}/crashed", b"of a crash")
    blobs.put(f"data/{TASK}/loser", b"of a loser")
    found = {orphan.key: orphan.why for orphan in orphans_of_ledger(ledger, soon())}
    assert found == {
        f"data/{OTHER}/crashed": "no commit record names it",
        f"data/{TASK}/loser": "lost the race for its block",
    }
    assert {orphan.key for orphan in delete_from_ledger(ledger, soon())} == set(found)
    assert ledger.read(TASK) == b"result"
    assert [key for key, _ in blobs.list("data")] == [record.data]
    assert list(orphans_of_ledger(ledger, soon())) == []


def test_signs_of_life_of_runs_that_were_taken_over_are_orphans(blobs: Blobs) -> None:
    earlier, latest = (Epoch.begin(History(blobs)) for _ in range(2))
    for epoch in (earlier, latest):
        blobs.put(beat_key(epoch.owner), b"{}")
    found = list(delete_from_history(History(blobs), soon()))
    assert [(orphan.key, orphan.why) for orphan in found] == [
        (beat_key(earlier.owner), "told of a run that was taken over")
    ]
    assert [key for key, _ in blobs.list("ledger/beats")] == [beat_key(latest.owner)]
    latest.check()


def test_what_is_young_stays(blobs: Blobs) -> None:
    blobs.put(f"data/{OTHER}/under-way", b"x")
    assert list(delete_from_ledger(Ledger(blobs), datetime.now(UTC) - timedelta(hours=1))) == []
    assert blobs.exists(f"data/{OTHER}/under-way")


def test_a_record_that_came_in_the_last_moment_is_respected(blobs: Blobs) -> None:
    """The listing of commits is older than the commit; the record itself is looked up before anything goes."""

    class Late:
        url = blobs.url

        def __getattr__(self, name: str) -> object:
            return getattr(blobs, name)

        def list(self, prefix: str = "") -> object:
            found = list(blobs.list(prefix))
            if prefix == "commits":
                Ledger(blobs).commit(TASK, b"result", replica="r", attempt="late")
            return iter(found)

    blobs.put(f"data/{TASK}/late", b"result")
    assert list(delete_from_ledger(Ledger(Late()), soon())) == []  # type: ignore[arg-type]
    assert Ledger(blobs).read(TASK) == b"result"


def test_data_beside_a_damaged_record_stay(blobs: Blobs) -> None:
    record = Ledger(blobs).commit(TASK, b"result", replica="r").record
    blobs.put(f"commits/{TASK}.json", b"{")
    blobs.put(f"data/{TASK}/loser", b"of a loser")
    assert list(delete_from_ledger(Ledger(blobs), soon())) == []
    assert blobs.exists(record.data)


def test_only_what_looks_like_ours_is_touched(blobs: Blobs) -> None:
    for key in ("data/notes.txt", "data/deep/er/file", f"data/{TASK}", "runs/notes.txt", "runs/a/b.txt", "elsewhere"):
        blobs.put(key, b"x")
    assert list(delete_from_ledger(Ledger(blobs), soon())) == []
    assert list(delete_from_history(History(blobs), soon())) == []


def test_leftovers_of_a_probe_go(blobs: Blobs) -> None:
    blobs.create("probe/of-a-crash", b"first")
    assert [orphan.key for orphan in delete_from_ledger(Ledger(blobs), soon())] == ["probe/of-a-crash"]


def publish(blobs: Blobs, content: bytes, run: str = RUN) -> None:
    Epoch.begin(History(blobs)).publish(run, {"hits": content}, {})


def test_superseded_versions_go_and_the_newest_of_each_run_stay(blobs: Blobs) -> None:
    history = History(blobs, clock=lambda: time.time() - 10)
    for content, run in ((b"1", RUN), (b"2", "cd" * 32), (b"3", RUN)):
        Epoch.begin(history).publish(run, {"hits": content}, {})
    newest, other, oldest = history.chain()
    assert kept_versions([newest, other, oldest]) == [newest, other]
    gone = {orphan.key for orphan in delete_from_history(history, soon())}
    assert gone == set(oldest.all_files)
    assert (history.read(newest.files["hits"]), history.read(other.files["hits"])) == (b"3", b"2")
    assert list(history.chain()) == [newest, other, oldest]  # what was, is still told
    assert list(delete_from_history(history, soon())) == []
    head = history.head()
    assert head is not None
    assert head.sweeps == 1  # the second time there was nothing to sweep


def test_what_was_superseded_lately_stays_for_those_who_read_it(blobs: Blobs) -> None:
    old, new = History(blobs, clock=lambda: 0.0), History(blobs)
    Epoch.begin(old).publish(RUN, {"hits": b"1"}, {})
    Epoch.begin(new).publish(RUN, {"hits": b"2"}, {})
    an_hour_ago = datetime.now(UTC) - timedelta(hours=1)
    assert list(orphans_of_history(new, an_hour_ago)) == []


def test_versions_that_never_stood_go(blobs: Blobs) -> None:
    publish(blobs, b"1")
    _cut_short(blobs)
    gone = [orphan.key for orphan in delete_from_history(History(blobs), soon())]
    assert "ledger/manifests/00000002.json" in gone
    assert len(gone) == 3
    publish(blobs, b"2")
    manifest = History(blobs).published()
    assert manifest is not None
    assert manifest.previous is not None
    assert manifest.previous.number == 1


def _cut_short(blobs: Blobs) -> None:
    """Publish as far as the manifest, and crash before the head moves."""

    def crash_before_the_move(operation: str, _: str) -> Fault | None:
        moves.append(operation)
        if moves.count("swap") == 2:
            raise KeyboardInterrupt
        return None

    moves: list[str] = []
    history = History(FaultyBlobs(blobs, crash_before_the_move))
    with pytest.raises(KeyboardInterrupt):
        Epoch.begin(history).publish(RUN, {"hits": b"never"}, {})


def test_a_publication_that_slept_while_orphans_were_collected_is_begun_anew(blobs: Blobs) -> None:
    publish(blobs, b"1")

    def sleep_before_the_move(operation: str, _: str) -> Fault | None:
        moves.append(operation)
        if moves.count("swap") == 2 and operation == "swap":
            gone.extend(orphan.key for orphan in delete_from_history(History(blobs), soon()))
        return None

    moves: list[str] = []
    gone: list[str] = []
    history = History(FaultyBlobs(blobs, sleep_before_the_move))
    manifest = Epoch.begin(history).publish(RUN, {"hits": b"2"}, {})
    assert len(gone) == 3  # the table, the list of results and the manifest of the first try
    assert History(blobs).published() == manifest
    assert History(blobs).read(manifest.files["hits"]) == b"2" == blobs.get("hits")


def test_without_a_readable_chain_no_version_is_touched(blobs: Blobs) -> None:
    publish(blobs, b"1")
    publish(blobs, b"2")
    blobs.put("ledger/manifests/00000001.json", b"{}")
    with pytest.raises(CorruptBlob, match="00000001"):
        list(delete_from_history(History(blobs), soon()))
    assert len(list(blobs.list("runs"))) == 4


def test_a_running_screen_is_not_disturbed(tmp_path: Path) -> None:
    """In a folder with real times: one attempt is old, one young."""
    blobs = open_blobs(str(tmp_path))
    for attempt, age in (("old", 30), ("young", 0)):
        blobs.put(f"data/{TASK}/{attempt}", b"x")
        then = time.time() - 3600 * age
        os.utime(tmp_path / "data" / TASK / attempt, (then, then))
    day_ago = datetime.now(UTC) - timedelta(hours=24)
    assert [orphan.key for orphan in delete_from_ledger(Ledger(blobs), day_ago)] == [f"data/{TASK}/old"]
    commit: Callable[..., object] = Ledger(blobs).commit
    commit(TASK, b"x", replica="r", attempt="young")
    assert Ledger(blobs).read(TASK) == b"x"


def test_gc_never_deletes_what_a_link_leads_to(tmp_path: Path) -> None:
    """The folder behind the link looks just like a ledger with orphans."""
    precious = tmp_path / "elsewhere" / TASK / "attempt"
    precious.parent.mkdir(parents=True)
    precious.write_bytes(b"mine")
    blobs = open_blobs(str(tmp_path / "store"))
    blobs.put(f"data/{OTHER}/attempt", b"an orphan")
    (tmp_path / "store" / "data" / TASK).symlink_to(precious.parent)
    (tmp_path / "store" / "probe").symlink_to(precious.parent.parent)
    (tmp_path / "store" / "runs").symlink_to(tmp_path)
    gone = [*delete_from_ledger(Ledger(blobs), soon()), *delete_from_history(History(blobs), soon())]
    assert [orphan.key for orphan in gone] == [f"data/{OTHER}/attempt"]
    assert precious.read_bytes() == b"mine"


def test_gc_of_a_linked_data_folder_deletes_nothing(tmp_path: Path) -> None:
    precious = tmp_path / "elsewhere" / TASK / "attempt"
    precious.parent.mkdir(parents=True)
    precious.write_bytes(b"mine")
    blobs = open_blobs(str(tmp_path / "store"))
    (tmp_path / "store" / "data").symlink_to(tmp_path / "elsewhere")
    assert list(delete_from_ledger(Ledger(blobs), soon())) == []
    assert precious.read_bytes() == b"mine"
