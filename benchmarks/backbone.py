"""The CPU default by measurement: direct paths alone, beside the same with a transformer, at equal training time.

Papalexi: replicate 3 held out, loss on its cells and rank correlation of scores. Kang: stimulated CD14+ monocytes
left out, Pearson-Δ. Every model gets the same minutes on one core; the learning rate falls over that time because
the epochs are set from a measured speed.
"""

from __future__ import annotations

import sys
import time
from itertools import islice
from typing import Any

import anndata
import numpy as np

from benchmarks.report import EXAMPLES, RESULTS, Figures, Silent, main, table
from campaigns.source import load_training
from campaigns.training_spec import Configuration, ModelSpec, TrainSpec
from lingshu_core.baselines import real_effect
from lingshu_core.cells import Cells
from lingshu_core.checkpoint import load_checkpoint
from lingshu_core.metrics import pearson_delta
from lingshu_core.preparation import build_vocabulary, training_set
from lingshu_core.training import TrainingConfig, validation_loss
from screening.objective.readouts import read_data
from screening.run import run_campaign
from screening.training.training_request import train_spec
from screening.training.training_run import build_trainer, training_cells, training_config

CONFIGURATIONS: tuple[Configuration, ...] = ("direct", "tiny", "small")
MINUTES = {"papalexi": 1.5, "kang": 2.5}
HOLD_OUT = {
    "papalexi": ({"batch": ("rep_3",)},),
    "kang": ({"cell_type": ("CD14+ Monocytes",), "perturbation": ("IFNB1",)},),
}


def measure() -> Figures:
    """Train every configuration on both data sets; all figures."""
    rows: list[list[Any]] = []
    figures: dict[str, Any] = {}
    for data in MINUTES:
        for name in CONFIGURATIONS:
            row = _one(data, name)
            rows.append([data, name, *row.values()])
            figures |= {f"{data}_{name}_{key}": value for key, value in row.items()}
            print(rows[-1], file=sys.stderr, flush=True)
    table(["data", "configuration", *row], rows)
    return figures


def _one(data: str, name: Configuration) -> dict[str, float]:
    folder = RESULTS / f"backbone/{data}-{name}"
    update = {
        "hold_out": HOLD_OUT[data],
        "model": ModelSpec(configuration=name),
        "output": str(folder / "model"),
    }
    spec = load_training(EXAMPLES / f"{data}/train.yaml").spec.model_copy(update=update)
    speed = _cells_per_second(spec)
    cells = read_data(spec.data)
    held = _held_out(cells, data)
    kept = int((~held).sum() * 0.9)
    epochs = max(1, round(speed * 60 * MINUTES[data] / kept))
    rate = 0.0005 if name != "direct" else spec.training.learning_rate
    config = training_config(spec, {"epochs": epochs, "learning_rate": rate, "patience": epochs})
    result = train_spec(spec, config)
    campaign = {"model": str(folder / "model"), "output": str(folder / "screen")}
    started = time.monotonic()
    contexts = {"contexts": {"cell_type": "all_seen"}} if data == "kang" else {}
    run_campaign(EXAMPLES / f"{data}/screen.yaml", Silent(), {**campaign, **contexts, "backend": "in_process"})
    return {
        "epochs": result.epochs,
        "cells a second": speed,
        "training, s": result.seconds,
        "screen, s": time.monotonic() - started,
        "held-out loss": _held_out_loss(folder, cells.select(held)),
        "Pearson-Δ": _agreement(folder, cells, held),
    }


def _cells_per_second(spec: TrainSpec) -> float:
    """Train a few steps to learn the speed."""
    cells, _ = training_cells(spec)
    config = TrainingConfig(epochs=1, validation_share=0.0, threads=1)
    trainer = build_trainer(spec, config, cells, build_vocabulary(cells))
    batches = list(islice(trainer._batches(), 8))
    for batch in batches[:3]:
        trainer._step(*batch)
    started = time.monotonic()
    for batch in batches[3:]:
        trainer._step(*batch)
    return len(batches[3:]) * config.batch_size / (time.monotonic() - started)


def _held_out(cells: Cells, data: str) -> Any:
    return cells.matching(HOLD_OUT[data][0])


def _held_out_loss(folder: Any, held: Cells) -> float:
    model = load_checkpoint(str(folder / "model"))
    data = training_set(held, model.vocabulary, model.denoiser.gene_order)
    return validation_loss(model.denoiser, data, model.denoiser.gene_order.device)


def _agreement(folder: Any, cells: Cells, held: Any) -> float:
    """Return the mean Pearson-Δ of predicted and real effects of the held-out cells, over four strong effects."""
    effects = anndata.read_h5ad(folder / "screen/effects.h5ad")
    names = ["STAT1", "JAK2", "IFNGR1", "IFNGR2"] if "STAT1" in set(effects.obs["perturbation"]) else ["IFNB1"]
    if names == ["IFNB1"]:
        effects = effects[effects.obs["cell_type"] == "CD14+ Monocytes"]
        controls = cells.matching({"cell_type": "CD14+ Monocytes"}) & cells.is_control
    else:
        controls = held & cells.is_control
    found = []
    for name in names:
        real = real_effect(cells, held & np.asarray(cells.obs["perturbation"] == name), controls)
        found.append(pearson_delta(np.asarray(effects[effects.obs["perturbation"] == name].X)[0], real))
    return float(np.mean(found))


if __name__ == "__main__":
    main(measure, __doc__ or "")
