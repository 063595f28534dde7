"""The input pipeline beside the steps: cells a second that the loader can give, and that the trainer can take.

Kang's blood cells (9,015 genes) and 200,000 simulated cells of 2,000 genes in a zarr store, each in memory and read in
blocks from disk; configuration direct, batches of 64, balance 0.5. "loader" draws and encodes batches and does nothing
else; "step" trains on batches that are there already; "together" is what a training does: a thread reads ahead.
"""

from __future__ import annotations

import shutil
import sys
import time
from itertools import islice
from typing import Any

import anndata
import numpy as np
import pandas as pd
import scipy.sparse as sp

from benchmarks.report import EXAMPLES, RESULTS, Figures, main, table
from campaigns.source import load_training
from campaigns.training_spec import TrainSpec
from lingshu_core.preparation import build_vocabulary
from lingshu_core.training import Trainer
from screening.training.training_run import build_trainer, training_cells, training_config

CELLS, GENES, PERTURBATIONS = 200_000, 2_000, 20
SECONDS = 6.0
"""Each rate is measured for about this long."""


def measure() -> Figures:
    """Measure every data set in memory and from disk; all figures."""
    folder = RESULTS / "loader"
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    kang = load_training(EXAMPLES / "kang/train.yaml").spec
    kang = kang.model_copy(update={"output": str(folder / "kang")})
    simulated = kang.model_copy(
        update={
            "data": kang.data.model_copy(
                update={"path": simulate(str(folder / "simulated.zarr")), "control": "control"}
            ),
            "hold_out": (),
            "output": str(folder / "simulated"),
        }
    )
    rows: list[list[Any]] = []
    figures: dict[str, Any] = {}
    for name, spec in (("kang", kang), ("simulated", simulated)):
        for in_memory in (True, False):
            found = rates(spec, in_memory)
            where = "memory" if in_memory else "disk"
            rows.append([name, where, *(f"{value:,.0f}" for value in found.values())])
            figures |= {f"{name}_{where}_{key}": value for key, value in found.items()}
            print(rows[-1], file=sys.stderr, flush=True)
    table(
        [
            "data",
            "counts in",
            "reading before the first step, s",
            "loader, cells/s",
            "step, cells/s",
            "together, cells/s",
        ],
        rows,
    )
    return figures


def rates(spec: TrainSpec, in_memory: bool) -> dict[str, float]:
    """Return the seconds before the first step, and cells a second of loader, step and both."""
    spec = spec.model_copy(update={"data": spec.data.model_copy(update={"in_memory": in_memory})})
    started = time.monotonic()
    cells, _ = training_cells(spec)
    config = training_config(spec, {"validation_share": 0.0, "threads": 1, "device": "cpu"})
    trainer = build_trainer(spec, config, cells, build_vocabulary(cells))
    reading = time.monotonic() - started
    batches = list(islice(trainer._batches(), 12))
    loader = _rate(trainer, lambda: sum(1 for _ in _until(trainer._batches())))
    step = _rate(trainer, lambda: sum(trainer._step(*batch) > 0 for batch in _until(_endless(batches))))
    together = _rate(trainer, lambda: sum(trainer._step(*batch) > 0 for batch in _until(trainer._batches())))
    return {"reading": reading, "loader": loader, "step": step, "together": together}


def _rate(trainer: Trainer, count: Any) -> float:
    trainer.state.step = 0
    started = time.monotonic()
    done = count()
    return float(done) * trainer.config.batch_size / (time.monotonic() - started)


def _endless(items: list[Any]) -> Any:
    while True:
        yield from items


def _until(items: Any) -> Any:
    """Yield items until the time is up."""
    started = time.monotonic()
    for item in items:
        yield item
        if time.monotonic() - started > SECONDS:
            break
    items.close()


def simulate(path: str) -> str:
    """Write cells with random counts, about one value in eight not zero, to a zarr store; returns its path."""
    rng = np.random.default_rng(0)
    rate = rng.lognormal(-3.0, 1.6, GENES)
    pieces = []
    for _ in range(0, CELLS, 10_000):
        depth = rng.lognormal(sigma=0.4, size=(10_000, 1))
        pieces.append(sp.csr_matrix(rng.poisson(rate * depth).astype(np.int32)))
    labels = rng.integers(0, PERTURBATIONS + 1, CELLS)
    obs = pd.DataFrame(
        {
            "perturbation": np.where(labels == 0, "control", np.char.add("P", labels.astype(str))),
            "perturbation_type": "genetic",
            "cell_type": np.char.add("type ", rng.integers(0, 4, CELLS).astype(str)),
            "donor": np.char.add("donor ", rng.integers(0, 3, CELLS).astype(str)),
        },
        index=np.char.add("cell", np.arange(CELLS).astype(str)),
    )
    made = anndata.AnnData(
        sp.vstack(pieces, format="csr"), obs=obs, var=pd.DataFrame(index=[f"G{i}" for i in range(GENES)])
    )
    print(f"simulated: {made.shape}, {made.X.nnz / np.prod(made.shape):.3f} of the values not zero", file=sys.stderr)
    anndata.settings.zarr_write_format = 3
    made.write_zarr(path)
    return path


if __name__ == "__main__":
    main(measure, __doc__ or "")
