import os
import time
import uuid
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from actors.blobs import open_blobs
from actors.epoch import Epoch
from actors.history import History
from actors.ledger import Ledger
from screening.errors import ResultsError
from screening.run import run_campaign
from screening.running.upkeep import delete_orphans, find_orphans, open_store, parse_grace, verify

FEW = {"contexts": {"cell_type": "type_1"}, "perturbations": {"genetic": ["REG04"]}}
DAY = timedelta(hours=24)


@pytest.fixture
def screen(write_screen: Callable[..., Path], listener: Any, tmp_path: Path) -> Path:
    """Results of a small screen: four blocks."""
    run_campaign(write_screen(**FEW), listener)
    return tmp_path / "screen"


def age(path: Path, days: float = 3) -> None:
    then = time.time() - 86400 * days
    os.utime(path, (then, then))


@pytest.mark.parametrize(("text", "hours"), [("24h", 24), ("90m", 1.5), ("7d", 168), (" 1h ", 1)])
def test_a_grace_is_read(text: str, hours: float) -> None:
    assert parse_grace(text) == timedelta(hours=hours)


@pytest.mark.parametrize("text", ["", "24", "h", "-1h", "1.5h", "24 h", "1w", "59m", "0h", "99999999d", "١h"])
def test_other_graces_are_refused(text: str) -> None:
    with pytest.raises(ValueError, match=r"write 24h, 90m or 7d|at least 1h"):
        parse_grace(text)


def test_results_are_sound_after_a_run(screen: Path) -> None:
    found = verify(str(screen))
    assert found.flaws == []
    assert (len(found.results), found.versions) == (4, 1)
    assert found.files == 8 + 1 + 8  # the version's, the list of its blocks, and the plain copies


@pytest.mark.parametrize(
    ("cache", "said"),
    [
        ("file:///etc", "another kind of store than memory://"),
        ("/etc", "another kind of store than memory://"),
        ("../../etc", "another kind of store than memory://"),
        ("gopher://me:hush@host/x", "names a cache that can't be opened"),
        ("s3://bucket/x", "another kind of store than memory://"),
    ],
)
def test_a_manifest_in_a_bucket_cannot_send_us_to_a_folder(cache: str, said: str) -> None:
    """`memory://` stands for the bucket."""
    blobs = open_blobs(f"memory://{uuid.uuid4().hex}")
    Epoch.begin(History(blobs)).publish("ab" * 32, {"hits": b"x"}, {"cd" * 32: "ef" * 32}, ledger=cache)
    (flaw,) = verify(blobs.url).flaws
    assert flaw.key == "ledger/manifests/00000001.json"
    assert said in flaw.text
    assert "hush" not in flaw.text


def test_a_cache_that_is_gone_is_told_and_not_made(tmp_path: Path) -> None:
    blobs, gone = open_blobs(str(tmp_path / "results")), tmp_path / "gone"
    Epoch.begin(History(blobs)).publish("ab" * 32, {"hits": b"x"}, {"cd" * 32: "ef" * 32}, ledger=gone.as_uri())
    (flaw,) = verify(blobs.url).flaws
    assert "which is gone. Run the campaign again" in flaw.text
    assert not gone.exists()


def test_of_a_cache_the_blocks_of_the_results_are_verified(
    write_screen: Callable[..., Path], listener: Any, tmp_path: Path
) -> None:
    cache = tmp_path / "cache"
    run_campaign(write_screen(**FEW, cache=str(cache)), listener)
    run_campaign(write_screen(**FEW, cache=str(cache), seed=1, output=str(tmp_path / "other")), listener)
    assert not (tmp_path / "screen" / "ledger" / "commits").exists()
    assert len(verify(str(cache)).results) == 8
    assert len(verify(str(tmp_path / "screen")).results) == 4
    ledger = Ledger(open_blobs(str(cache)))
    mine = sorted(verify(str(tmp_path / "screen")).results)[0]
    (cache / ledger.record(mine).data).write_bytes(b"x")
    assert [flaw.key for flaw in verify(str(cache)).flaws] == [f"commits/{mine}.json"]
    assert [flaw.key for flaw in verify(str(tmp_path / "screen")).flaws] == [f"commits/{mine}.json"]
    assert verify(str(tmp_path / "other")).flaws == []


def test_a_screen_that_was_interrupted_is_sound(screen: Path) -> None:
    """Blocks without a version yet."""
    for name in ("HEAD", "HEAD.versions/1", "HEAD.versions/2", "manifests/00000001.json"):
        (screen / "ledger" / name).unlink()
    found = verify(str(screen))
    assert (found.flaws, len(found.results), found.versions) == ([], 4, 0)


def test_orphans_are_named_and_nothing_is_changed_until_it_is_asked_for(screen: Path) -> None:
    task = "ab" * 32
    orphan = screen / "ledger" / "data" / task / "crashed"
    orphan.parent.mkdir()
    orphan.write_bytes(b"half")
    store = open_store(str(screen))
    assert list(find_orphans(store, DAY)) == []  # it may be under way
    age(orphan)
    (found,) = find_orphans(store, DAY)
    assert (found.key, found.size) == (f"ledger/data/{task}/crashed", 4)
    assert orphan.exists()
    assert list(delete_orphans(store, DAY)) == [found]
    assert not orphan.exists()
    assert list(find_orphans(store, DAY)) == []
    assert verify(str(screen)).flaws == []


def test_superseded_versions_are_orphans_once_they_are_old(
    screen: Path, write_screen: Callable[..., Path], listener: Any
) -> None:
    (table,) = screen.glob("runs/*/*/hits.csv")
    table.write_text("spoilt")  # so that the next run publishes anew
    run_campaign(write_screen(**FEW), listener)
    store = open_store(str(screen))
    assert list(find_orphans(store, DAY)) == []
    newest, oldest = History(open_blobs(str(screen))).chain()
    assert newest.run == oldest.run
    for path in screen.glob("runs/*/*/*"):
        age(path)
    assert list(find_orphans(store, DAY)) == []  # it was superseded only now
    assert verify(str(screen)).flaws == []


def test_all_that_was_computed_survives_a_collection(
    screen: Path, write_screen: Callable[..., Path], listener: Any
) -> None:
    for path in screen.rglob("*"):
        if path.is_file():
            age(path)
    assert list(delete_orphans(open_store(str(screen)), timedelta(hours=1))) == []
    assert verify(str(screen)).flaws == []
    again = run_campaign(write_screen(**FEW), listener)
    assert (again.computed, again.reused) == (0, 4)


def test_a_cache_is_looked_after_by_itself(write_screen: Callable[..., Path], listener: Any, tmp_path: Path) -> None:
    run_campaign(write_screen(**FEW, cache=str(tmp_path / "cache")), listener)
    orphan = tmp_path / "cache" / "data" / ("ab" * 32) / "crashed"
    orphan.parent.mkdir()
    orphan.write_bytes(b"half")
    age(orphan)
    assert list(find_orphans(open_store(str(tmp_path / "screen")), DAY)) == []
    (found,) = find_orphans(open_store(str(tmp_path / "cache")), DAY)
    assert found.key == f"data/{'ab' * 32}/crashed"


def test_a_place_without_results_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ResultsError, match="no such folder"):
        verify(str(tmp_path / "typo"))
    (tmp_path / "notes").mkdir()
    with pytest.raises(ResultsError, match=r"nothing was computed here; give the `output:` or the `cache:`"):
        verify(str(tmp_path / "notes"))
    assert list((tmp_path / "notes").iterdir()) == []
