"""SIGKILL at any moment: what is stored is whole, and a later run completes it."""

import time
from collections.abc import Callable
from pathlib import Path
from subprocess import Popen

import pytest

from actors.blobs import open_blobs
from actors.in_process_pool import InProcessPool
from actors.ledger import Ledger
from actors.planner import Planner
from actors.rehearsal import rehearsed
from actors.worker import WorkerSpec

SPEC = WorkerSpec("actors.rehearsal:RehearsalWorker")
TASKS = [rehearsed(f"task {number}", seconds=0.005) for number in range(200)]

WRITER = """
import itertools, sys
from actors.blobs import open_blobs

blobs = open_blobs(sys.argv[1])
data = bytes(20_000_000)
print("writing", flush=True)
for number in itertools.count():
    blobs.create(f"data/{number}", data)
"""

RUNNER = """
import sys
from actors.blobs import open_blobs
from actors.in_process_pool import InProcessPool
from actors.ledger import Ledger
from actors.planner import Planner
from actors.rehearsal import rehearsed
from actors.worker import WorkerSpec

tasks = [rehearsed(f"task {number}", seconds=0.005) for number in range(200)]
ledger = Ledger(open_blobs(sys.argv[1]))
done = ledger.committed()
print("running", flush=True)
pool = InProcessPool(WorkerSpec("actors.rehearsal:RehearsalWorker"), sys.argv[1])
Planner(pool, ledger).run([task for task in tasks if task.id not in done])
"""


@pytest.mark.parametrize("seconds", [0.02, 0.05, 0.11])
def test_a_killed_writer_publishes_no_half_object(
    tmp_path: Path, start_python: Callable[..., "Popen[str]"], seconds: float
) -> None:
    _kill_after(start_python(WRITER, str(tmp_path)), seconds)
    blobs = open_blobs(str(tmp_path))
    assert {size for _, size in blobs.list()} <= {20_000_000}
    blobs.create("after", b"the crash")
    assert blobs.get("after") == b"the crash"


def test_a_run_killed_again_and_again_ends_as_a_calm_one(
    tmp_path: Path, start_python: Callable[..., "Popen[str]"]
) -> None:
    ledger = Ledger(open_blobs(str(tmp_path)))
    progress = [0]
    for seconds in (0.1, 0.25, 0.4):
        _kill_after(start_python(RUNNER, str(tmp_path)), seconds)
        progress.append(len(ledger.committed()))
    assert progress == sorted(progress)
    assert 0 < progress[-1] < len(TASKS)

    before = {task_id: ledger.record(task_id) for task_id in ledger.committed()}
    with InProcessPool(SPEC, str(tmp_path)) as pool:
        Planner(pool, ledger).run([task for task in TASKS if task.id not in before])
    assert {task.id: ledger.read(task.id) for task in TASKS} == {
        task.id: f"task {number}".encode() for number, task in enumerate(TASKS)
    }
    assert {task_id: ledger.record(task_id) for task_id in before} == before  # nothing was done twice


def _kill_after(process: "Popen[str]", seconds: float) -> None:
    assert process.stdout is not None
    assert process.stdout.readline()
    time.sleep(seconds)
    process.kill()
    process.communicate()
