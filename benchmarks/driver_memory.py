"""Memory of whoever plans, drives and publishes a screen: 1,000 conditions against 100,000, each in its own process.

`memory_ratio` is the peak of the whole run over the peak of the same run of a hundredth of the conditions,
`planner_memory_ratio` that of the run up to the end of the prediction: planning, leases, what is committed. Both
processes load the same model (1,000 knock-outs, 100 cell types, 40 genes; nothing but noise, trained for one epoch) and
the same libraries. Replicas are arithmetic: leases end at once, and every block that is read holds the same random
numbers; so nothing of a replica's memory or of a disk's is in here.
"""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any
from unittest import mock

import anndata
import numpy as np
import pandas as pd
import yaml

import screening.run
from actors.ledger import CommitRecord, Ledger
from actors.pool import LEASES_PER_REPLICA
from actors.tasks import Lease, LeaseReport, Outcome
from benchmarks.report import Figures, Silent, main, table
from screening.run import run_campaign
from screening.running.store import BlockResult, encode_block
from screening.training.training_request import train_model

PERTURBATIONS, CONTEXTS, GENES, SHARDS = 1_000, 100, 40, 8
SIZES = ((100, 10), (1_000, 100))
"""Perturbations and contexts of either screen."""


class InstantPool:
    """`Pool` of one replica whose leases have ended before anybody looks."""

    replicas = 1

    def __init__(self, done: set[str]) -> None:
        self._done = done
        self._queue: list[Lease] = []

    def free_slots(self) -> int:
        """How many leases it would take now."""
        return LEASES_PER_REPLICA - len(self._queue)

    def idle(self) -> int:
        """Nobody is idle, so that nothing is handed out twice."""
        return 0

    def submit(self, lease: Lease) -> None:
        """Take a lease."""
        self._queue.append(lease)

    def poll(self, timeout_seconds: float) -> Sequence[LeaseReport]:
        """Report all leases, as if every task had taken a second."""
        queue, self._queue = self._queue, []
        self._done.update(task.id for lease in queue for task in lease.tasks)
        return [_report(lease) for lease in queue]

    def replace(self, replica: str, reason: str) -> None:
        """Nothing fails."""

    def close(self) -> None:
        """There is nothing to stop."""


def _report(lease: Lease) -> LeaseReport:
    outcomes = tuple(Outcome(task.id, "committed", 1.0) for task in lease.tasks)
    return LeaseReport(lease, "replica-0", "finished", outcomes)


def any_block() -> bytes:
    """Return the bytes of a block of random numbers."""
    rng = np.random.default_rng(0)
    means = rng.random((2, SHARDS, GENES), dtype=np.float32)
    squares = rng.random((2, GENES), dtype=np.float32) + 1
    return encode_block(BlockResult(0, 16, means[0], means[1], squares[0], squares[1], origin="cpu"))


@contextmanager
def arithmetic_replicas() -> Iterator[None]:
    """Put replicas and blocks that cost nothing in place of real ones."""
    done: set[str] = set()
    block = any_block()

    def record(ledger: Ledger, task_id: str) -> CommitRecord:
        return CommitRecord(task_id, "0" * 32, "", len(block), task_id, 1.0, "replica-0", "")

    with ExitStack() as patches:
        for name, replaced in {
            "committed": lambda ledger: frozenset(done),
            "record": record,
            "read_data": lambda ledger, record: block,
        }.items():
            patches.enter_context(mock.patch.object(Ledger, name, replaced))
        patches.enter_context(mock.patch.object(screening.run, "open_pool", return_value=InstantPool(done)))
        yield


class PeakAtStage(Silent):
    """Notes the highest memory so far whenever a stage begins, and says it."""

    def __init__(self) -> None:
        self.peaks: dict[str, float] = {}

    def stage(self, name: str, detail: str) -> None:
        """Note it."""
        self.peaks.setdefault(name, peak_mb())
        print(f"{name}: {peak_mb():.0f} MB, {time.process_time():.0f} s", file=sys.stderr, flush=True)


def peak_mb() -> float:
    """Return the highest resident memory of this process so far (Linux).

    Not that of `getrusage`, which begins with the memory of whoever started the process.
    """
    lines = Path("/proc/self/status").read_text().splitlines()
    found = next(line for line in lines if line.startswith("VmHWM:"))
    return int(found.split()[1]) * 1024 / 1e6


def measure() -> Figures:
    """Train the model and run both sizes; all figures."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        _train(folder)
        found = {size[0] * size[1]: _run(_screen(folder, *size)) for size in SIZES}
    few, many = found.values()
    table(["peak, MB, at the beginning of", *(f"{size:,} conditions" for size in found)], rows_of(few, many))
    ratios = {
        "memory_ratio": many["end"] / few["end"],
        "planner_memory_ratio": many["commit"] / few["commit"],
    }
    table(["figure", "value"], [[name.replace("_", " "), value] for name, value in ratios.items()])
    return {**ratios, **{f"mb_{name}_{size}": mb for size, peaks in found.items() for name, mb in peaks.items()}}


def rows_of(few: dict[str, float], many: dict[str, float]) -> list[list[str | float]]:
    """Put the peaks of both runs side by side."""
    return [[name, few[name], many[name]] for name in few]


def _run(path: Path) -> dict[str, float]:
    command = [sys.executable, "-m", "benchmarks.driver_memory", str(path)]
    done = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True)
    peaks: dict[str, float] = json.loads(done.stdout.splitlines()[-1])
    return peaks


def _measure_here(path: Path) -> dict[str, float]:
    listener = PeakAtStage()
    with arithmetic_replicas():
        result = run_campaign(path, listener)
    if not result.complete:
        raise SystemExit(result.shortfall)
    return {**listener.peaks, "end": peak_mb()}


def _train(folder: Path) -> None:
    """Train on cells that are noise: control cells of every type, and two cells of every knock-out."""
    rng = np.random.default_rng(0)
    genes = [f"GENE{number:04d}" for number in range(PERTURBATIONS)]
    types = [f"type {number:02d}" for number in range(CONTEXTS)]
    labels = ["control"] * 8 * CONTEXTS + 2 * genes
    obs = pd.DataFrame(
        {
            "perturbation": labels,
            "perturbation_type": ["control" if label == "control" else "genetic" for label in labels],
            "cell_type": [types[place % CONTEXTS] for place in range(len(labels))],
        },
        index=[f"cell{place}" for place in range(len(labels))],
    )
    counts = rng.poisson(5.0, (len(labels), GENES)).astype(np.float32)
    anndata.AnnData(counts, obs, pd.DataFrame(index=genes[:GENES])).write_h5ad(folder / "cells.h5ad")
    content = {
        "kind": "train",
        "name": "noise",
        "data": {
            "path": str(folder / "cells.h5ad"),
            "columns": {role: role for role in ("perturbation", "perturbation_type", "cell_type")},
        },
        "training": {"epochs": 1, "seed": 0},
        "output": str(folder / "model"),
        "licence": "noise",
    }
    train_model(_write(folder / "train.yaml", content))


def _screen(folder: Path, perturbations: int, contexts: int) -> Path:
    """Ask for the first so many knock-outs in the first so many types."""
    genes = [f"GENE{number:04d}" for number in range(perturbations)]
    content = {
        "kind": "screen",
        "name": "noise",
        "model": str(folder / "model"),
        "contexts": {"cell_type": [f"type {number:02d}" for number in range(contexts)]},
        "perturbations": {"genetic": genes},
        "objective": {"kind": "signature", "up": [f"GENE{number:04d}" for number in range(10)]},
        "estimator": {"shards": SHARDS},
        "budget": {"conditions": 200_000},
        "output": str(folder / f"screen-{perturbations * contexts}"),
        "compute": {"backend": "in_process"},
    }
    return _write(folder / f"screen-{perturbations * contexts}.yaml", content)


def _write(path: Path, content: dict[str, Any]) -> Path:
    path.write_text(yaml.safe_dump(content, sort_keys=False))
    return path


if __name__ == "__main__":
    if len(sys.argv) == 2 and sys.argv[1].endswith(".yaml"):
        print(json.dumps(_measure_here(Path(sys.argv[1]))))
    else:
        main(measure, __doc__ or "")
