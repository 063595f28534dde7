"""`lingshu verify` and `lingshu gc` as a user meets them."""

import os
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from actors.blobs import open_blobs
from actors.ledger import Ledger
from screening.publishing.publication import ledger_url

Lingshu = Callable[..., tuple[int, str, str]]
FEW = {"contexts": {"cell_type": "type_1"}, "perturbations": {"genetic": ["REG04"]}}


def test_damage_is_found_mended_and_what_is_left_over_removed(
    write_screen: Callable[..., Path], lingshu: Lingshu, tmp_path: Path
) -> None:
    path, screen = write_screen(**FEW), tmp_path / "screen"
    assert lingshu("run", path)[0] == 0
    code, out, err = lingshu("verify", screen)
    assert (code, err) == (0, "")
    assert "all as promised: 4 blocks, 1 versions and 17 files" in " ".join(out.split())

    ledger = Ledger(open_blobs(ledger_url(str(screen))))
    damaged = sorted(ledger.committed())[0]
    data = screen / "ledger" / ledger.record(damaged).data
    data.write_bytes(data.read_bytes()[:-1])
    (screen / "hits.csv").unlink()
    (screen / "hits.csv").write_text("edited by hand")
    code, out, _ = lingshu("verify", screen)
    assert code == 1
    assert "2 wrong" in out
    shown = "".join(out.split())  # the table folds long names
    assert f"Deletecommits/{damaged}.jsontohavethetaskcomputedagain" in shown
    assert "ismissing,ornottheversionthatstands" in shown

    (screen / "ledger" / "commits" / f"{damaged}.json").unlink()
    code, out, _ = lingshu("run", path)
    assert code == 0
    assert "1 blocks computed, 3 reused" in out
    assert lingshu("verify", screen)[0] == 0
    assert (screen / "hits.csv").read_text().startswith("rank")

    then = time.time() - 2 * 86400
    os.utime(data, (then, then))
    code, out, _ = lingshu("gc", screen)
    assert code == 0
    assert "lost the race for its block" in out
    assert "1 objects, 0.0 MB, older than 24h: nothing was changed; --delete removes them" in " ".join(out.split())
    assert data.exists()
    code, out, _ = lingshu("gc", screen, "--delete")
    assert "1 objects" in out
    assert "removed" in out
    assert not data.exists()
    assert lingshu("verify", screen)[0] == 0


@pytest.mark.parametrize("command", ["verify", "gc"])
def test_wrong_places_are_told_in_a_line(lingshu: Lingshu, tmp_path: Path, command: str) -> None:
    (tmp_path / "notes").mkdir()
    (tmp_path / "file").touch()
    for place, problem in (
        (tmp_path / "typo", "no such folder"),
        (tmp_path / "file", "no such folder"),
        (tmp_path / "notes", "nothing was computed here"),
        ("ftp://bucket/screen", "ftp://bucket/screen: ftp:// is no store this engine knows"),
        ("s3://key:secret@bucket/screen", "a user or a password can't stand in a URL"),
        ("", "an empty path is no store"),
    ):
        code, out, err = lingshu(command, place)
        assert (code, out) == (2, "")
        assert problem in err
        assert len(err.splitlines()) == 1
        assert "secret@" not in err
    assert sorted(path.name for path in tmp_path.iterdir()) == ["file", "notes"]


@pytest.mark.parametrize("grace", ["0h", "5m", "soon", "-24h", ""])
def test_a_wrong_grace_is_told(lingshu: Lingshu, tmp_path: Path, grace: str) -> None:
    code, _, err = lingshu("gc", tmp_path, f"--grace={grace}")
    assert code == 2
    assert "--grace" in err


@pytest.mark.s3
def test_a_bucket_is_looked_after_alike(write_screen: Callable[..., Path], lingshu: Lingshu, s3_url: str) -> None:
    path = write_screen(**FEW)
    cache = f"{s3_url}/cache"
    assert lingshu("run", path, "--output", f"{s3_url}/first", "--cache", cache)[0] == 0
    code, out, _ = lingshu("run", path, "--output", f"{s3_url}/second", "--cache", cache)
    assert code == 0
    assert f"0 blocks computed, 4 reused (cache {cache})" in " ".join(out.split())
    for place in ("first", "second", "cache"):
        code, out, err = lingshu("verify", f"{s3_url}/{place}")
        assert (code, err) == (0, "")
        assert "4 blocks" in out
        assert lingshu("gc", f"{s3_url}/{place}")[0] == 0
    assert (
        lingshu("hits", f"{s3_url}/second", "--format", "csv")[1]
        == lingshu("hits", f"{s3_url}/first", "--format", "csv")[1]
    )
    code, _, err = lingshu("verify", f"{s3_url}/typo")
    assert code == 2
    assert "nothing was computed here" in err
