"""SIGKILL in the middle of a screen: run again, it repeats nothing and gives the table of a calm run."""

import time
from collections.abc import Callable
from pathlib import Path
from subprocess import Popen

import anndata
import numpy as np
import polars as pl
import pytest

from actors.blobs import open_blobs
from actors.ledger import Ledger
from screening.publishing.publication import ledger_url

pytestmark = pytest.mark.timeout(1200)
STALLED_SECONDS = 240.0

RUN = """
import sys
sys.argv = ["lingshu", "run", *sys.argv[1:]]
from screening.cli import main
main()
"""
# Some hundred blocks of some ten milliseconds: time enough to be killed in between.
SLOW = {"shards": 64, "depth_strata": 24, "steps": 4}


def kill_after_commits(process: "Popen[str]", ledger: Ledger, commits: int) -> None:
    count, moved = -1, time.monotonic()
    while (now := len(ledger.committed())) < commits:
        assert process.poll() is None, process.communicate()
        count, moved = (now, time.monotonic()) if now > count else (count, moved)
        assert time.monotonic() - moved < STALLED_SECONDS  # slow machines are slow; one that stands still is wrong
        time.sleep(0.005)
    process.kill()
    process.wait()


def test_a_killed_screen_goes_on_and_ends_as_a_calm_one(
    write_screen: Callable[..., Path],
    start_python: Callable[..., "Popen[str]"],
    lingshu: Callable[..., tuple[int, str, str]],
    tmp_path: Path,
) -> None:
    path = write_screen(estimator=SLOW)
    ledger = Ledger(open_blobs(ledger_url(str(tmp_path / "screen"))))
    for commits in (5, 60):
        kill_after_commits(start_python(RUN, str(path)), ledger, commits)
    before = {task: ledger.record(task) for task in ledger.committed()}
    assert 60 <= len(before) < 192
    assert not (tmp_path / "screen" / "hits.parquet").exists()
    shown = " ".join(lingshu("status", path)[1].split())
    assert f"{len(before)} of 192 blocks committed" in shown

    code, out, err = lingshu("run", path)
    assert (code, err) == (0, "")
    assert f"{192 - len(before)} blocks computed, {len(before)} reused" in out
    assert {task: ledger.record(task) for task in before} == before  # nothing that was committed was computed again

    code, _, _ = lingshu("run", path, "--output", tmp_path / "calm")
    assert code == 0
    one, other = (pl.read_parquet(tmp_path / name / "hits.parquet") for name in ("screen", "calm"))
    assert one.equals(other, null_equal=True)
    broken, calm = (anndata.read_h5ad(tmp_path / name / "effects.h5ad") for name in ("screen", "calm"))
    np.testing.assert_array_equal(broken.X, calm.X)
    for layer, values in calm.layers.items():
        np.testing.assert_array_equal(broken.layers[layer], values)


def test_a_block_that_was_damaged_on_the_way_is_not_believed(
    write_screen: Callable[..., Path], lingshu: Callable[..., tuple[int, str, str]], tmp_path: Path
) -> None:
    path = write_screen(contexts={"cell_type": "type_1"}, perturbations={"genetic": ["REG04"]})
    assert lingshu("run", path)[0] == 0
    before = pl.read_parquet(tmp_path / "screen" / "hits.parquet")
    blobs = open_blobs(ledger_url(str(tmp_path / "screen")))
    record = Ledger(blobs).record(sorted(Ledger(blobs).committed())[0])
    blobs.put(record.data, blobs.get(record.data)[:-1] + b"?")
    code, _, err = lingshu("run", path)
    assert code == 2
    assert f"Delete commits/{record.task}.json to have the task computed again" in err
    blobs.delete(f"commits/{record.task}.json")
    code, out, _ = lingshu("run", path)
    assert code == 0
    assert "1 blocks computed, 3 reused" in out
    assert pl.read_parquet(tmp_path / "screen" / "hits.parquet").equals(before, null_equal=True)
