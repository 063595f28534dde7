"""Loading a checkpoint of the published shape from a local disk: its weights mapped, beside read as from a URL.

`paper` at 18,080 genes, untrained (weights are made up, so that none is zero); each load is a process of its own, all
ways in turns, medians of five. *Private* memory is what the process alone holds; pages of the mapped file belong to the
page cache, are shared by all processes of the machine that load it, and are given back whenever memory is short.
Both are peaks above what the process has before it loads. The file was just written, so it comes from the page cache.
"""

from __future__ import annotations

import multiprocessing
import threading
import time
from contextlib import ExitStack, nullcontext
from multiprocessing.queues import SimpleQueue
from pathlib import Path
from statistics import median
from unittest import mock

import torch

from benchmarks.paper_step import CONTEXTS, GENES, PERTURBATIONS, build
from benchmarks.report import RESULTS, Figures, main, table
from lingshu_core import checkpoint
from lingshu_core.checkpoint import MANIFEST, WEIGHTS, Provenance, load_checkpoint, save_checkpoint
from lingshu_core.training import TrainingConfig
from lingshu_core.vocabulary import Vocabulary

REPETITIONS = 5
WAYS = ("mapped", "read", "drawn")
"""Mapped; read whole; and read whole into a network whose first weights were drawn, as it was before."""
FOLDER = RESULTS / "loading"
LOOKS_A_SECOND = 100


def measure() -> Figures:
    """Load in all ways, in turns; all figures."""
    if not (FOLDER / MANIFEST).exists():
        write_model(FOLDER)
    found = [{way: _apart(way) for way in WAYS} for _ in range(REPETITIONS)]
    names = list(found[0]["mapped"])
    medians = {way: {name: median(each[way][name] for each in found) for name in names} for way in WAYS}
    size = (FOLDER / WEIGHTS).stat().st_size / 1e6
    table(["weights", *names], [[way, *medians[way].values()] for way in WAYS])
    figures = {f"{way}_{name}": value for way in WAYS for name, value in medians[way].items()}
    ratios = {
        f"{way}_{name}_ratio": median(each[way][name] / each["mapped"][name] for each in found)
        for way in WAYS[1:]
        for name in names
    }
    print(f"weights: {size:.0f} MB; beside mapped, medians of the turns: {ratios}")
    return {**figures, **ratios, "weights_mb": size}


def write_model(folder: Path) -> None:
    """Write a checkpoint of made-up weights."""
    denoiser = build(32)
    generator = torch.Generator().manual_seed(0)
    with torch.no_grad():
        for parameter in denoiser.parameters():
            parameter.add_(torch.rand(parameter.shape, generator=generator), alpha=1e-3)
    content = {
        "format": 1,
        "genes": [f"GENE{i}" for i in range(GENES)],
        "factors": {"cell_type": [f"type {i}" for i in range(CONTEXTS)]},
        "contexts": [],
        "perturbations": {},
        "parts": [f"GENE{i}" for i in range(PERTURBATIONS)],
        "control": "control",
    }
    provenance = Provenance("none", "", 0, "", "made up", TrainingConfig())
    save_checkpoint(str(folder), denoiser, Vocabulary.from_json(content), (), provenance)


def one_load(way: str, found: SimpleQueue[dict[str, float]]) -> None:
    """Load the model once, watch the memory meanwhile, and tell."""
    before, peak, over = _memory(), _memory(), threading.Event()

    def watch() -> None:
        while not over.wait(1 / LOOKS_A_SECOND):
            peak.update({name: max(peak[name], value) for name, value in _memory().items()})

    watcher = threading.Thread(target=watch)
    watcher.start()
    wall, cpu = time.perf_counter(), time.process_time()
    with ExitStack() as patches:
        if way != "mapped":  # with no path it is read as from anywhere else
            patches.enter_context(mock.patch.object(checkpoint, "local_path", return_value=None))
        if way == "drawn":
            patches.enter_context(mock.patch.object(checkpoint, "UndrawnWeights", nullcontext))
        load_checkpoint(str(FOLDER))
    spent = {"wall_seconds": time.perf_counter() - wall, "cpu_seconds": time.process_time() - cpu}
    over.set()
    watcher.join()
    private, resident = (peak[name] - before[name] for name in ("RssAnon", "VmRSS"))
    found.put({**spent, "private_mb": private / 1e3, "resident_mb": resident / 1e3})


def _memory() -> dict[str, int]:
    """Return the memory of this process, in kB."""
    lines = [line.split() for line in Path("/proc/self/status").read_text().splitlines()]
    return {line[0].rstrip(":"): int(line[1]) for line in lines if line[0] in ("VmRSS:", "RssAnon:")}


def _apart(way: str) -> dict[str, float]:
    """Load in a process of its own, which has torch already, from this one."""
    forking = multiprocessing.get_context("fork")
    found = forking.SimpleQueue()
    process = forking.Process(target=one_load, args=(way, found))
    process.start()
    process.join()
    if process.exitcode != 0:
        raise SystemExit(f"loading ended with {process.exitcode}")
    return dict(found.get())


if __name__ == "__main__":
    main(measure, __doc__ or "")
