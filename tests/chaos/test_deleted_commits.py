"""Delete any subset of commits: exactly those blocks are computed again, and the table is the same."""

import random
import uuid
from collections.abc import Callable
from pathlib import Path
from typing import Any

import polars as pl
from hypothesis import given, settings
from hypothesis import strategies as st

from actors.blobs import open_blobs
from actors.in_process_pool import InProcessPool
from actors.ledger import Ledger, commit_key
from actors.planner import Planner
from actors.rehearsal import rehearsed
from actors.worker import WorkerSpec
from screening.publishing.publication import ledger_url

SPEC = WorkerSpec("actors.rehearsal:RehearsalWorker")
TASKS = [rehearsed(f"task {number}") for number in range(24)]


def compute_missing(ledger: Ledger) -> int:
    done = ledger.committed()
    with InProcessPool(SPEC, ledger.blobs.url) as pool:
        return Planner(pool, ledger).run([task for task in TASKS if task.id not in done]).committed


@settings(max_examples=40)
@given(st.sets(st.sampled_from(TASKS)), st.sets(st.sampled_from(TASKS)))
def test_exactly_what_was_deleted_is_computed_again(commits: set[Any], data: set[Any]) -> None:
    """Data without a record are as good as gone, whether they are there or not."""
    ledger = Ledger(open_blobs(f"memory://{uuid.uuid4().hex}"))
    assert compute_missing(ledger) == len(TASKS)
    before = {task: ledger.record(task.id) for task in TASKS}
    for task in commits:
        ledger.blobs.delete(commit_key(task.id))
        if task in data:
            ledger.blobs.delete(before[task].data)
    assert compute_missing(ledger) == len(commits)
    after = {task: ledger.record(task.id) for task in TASKS}
    assert {task for task in TASKS if after[task].attempt != before[task].attempt} == commits
    assert all(after[task].sha256 == before[task].sha256 for task in TASKS)
    assert all(ledger.read(task.id) == f"task {number}".encode() for number, task in enumerate(TASKS))


def test_a_screen_computes_the_blocks_that_are_missing_and_no_others(
    write_screen: Callable[..., Path],
    lingshu: Callable[..., tuple[int, str, str]],
    tmp_path: Path,
    full: bool,
    struck: Any,
) -> None:
    path = write_screen()
    assert lingshu("run", path)[0] == 0
    ledger = Ledger(open_blobs(ledger_url(str(tmp_path / "screen"))))
    calm = pl.read_parquet(tmp_path / "screen" / "hits.parquet")
    blocks = sorted(ledger.committed())
    chance = random.Random(5)
    for _ in range(6 if full else 1):
        before = {block: ledger.record(block) for block in blocks}
        gone = set(chance.sample(blocks, chance.randint(1, len(blocks))))
        for block in gone:
            ledger.blobs.delete(commit_key(block))
        code, out, _ = lingshu("run", path)
        assert code == 0
        assert f"{len(gone)} blocks computed, {len(blocks) - len(gone)} reused" in out
        after = {block: ledger.record(block) for block in blocks}
        assert {block for block in blocks if after[block].attempt != before[block].attempt} == gone
        assert [after[block].sha256 for block in blocks] == [before[block].sha256 for block in blocks]
        assert pl.read_parquet(tmp_path / "screen" / "hits.parquet").equals(calm, null_equal=True)
        struck.add("ledger", {"commit deleted": len(gone)})
