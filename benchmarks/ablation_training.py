"""Trained models of the ablations: each training once, shared by all rows that differ in the estimator only."""

from __future__ import annotations

import hashlib
import json
import time
from dataclasses import asdict, dataclass, replace
from itertools import islice
from pathlib import Path
from typing import Any

from benchmarks.ablation_data import EPOCHS, Task
from benchmarks.ablation_rows import Row
from benchmarks.report import DATA, RESULTS
from campaigns.feature_spec import FeaturesSpec
from campaigns.training_spec import ModelSpec, TrainSpec
from lingshu_core.cells import Cells
from lingshu_core.checkpoint import Checkpoint, load_checkpoint
from lingshu_core.denoiser import configuration
from lingshu_core.preparation import build_vocabulary
from lingshu_core.training import TRAINING_VERSION, TrainingConfig
from screening.training.training_run import build_trainer, finish, prepare, training_config

FOLDER = RESULTS / "ablation"


@dataclass(frozen=True)
class Trained:
    """A model, and what its training took: CPU seconds and epochs."""

    checkpoint: Checkpoint
    cpu_seconds: float
    epochs: int


def training_digest(task: Task, row: Row, seed: int) -> str:
    """Name a training by what its result depends on; rows that differ in the estimator only have the same."""
    content = {
        "version": TRAINING_VERSION,
        "data": task.name,
        "held": hashlib.sha256(task.held.tobytes()).hexdigest(),
        "epochs": EPOCHS[task.name],
        # What they come to, not only what the row changes: a changed default is another training.
        "model": asdict(configuration(row.configuration, row.overrides)),
        "training": asdict(replace(TrainingConfig(), **row.training)),
        "cpu_minutes": row.cpu_minutes,
        "blind": row.blind,
        "features": row.features,
        "seed": seed,
    }
    return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()[:12]


def trained(task: Task, row: Row, seed: int) -> Trained:
    """Train the model of a row, or load it where it is there already."""
    folder = FOLDER / f"models/{task.name}-{training_digest(task, row, seed)}"
    took = folder / "took.json"
    if not took.exists():
        content = _train(task, row, seed, folder)
        took.write_text(json.dumps(content), encoding="utf-8")
    return Trained(load_checkpoint(str(folder)), **json.loads(took.read_text(encoding="utf-8")))


def blinded(cells: Cells) -> Cells:
    """Call every cell a control."""
    return replace(cells, obs=cells.obs.assign(perturbation=cells.control))


def _train(task: Task, row: Row, seed: int, folder: Path) -> dict[str, Any]:
    spec = _spec(task, row, folder)
    config = training_config(spec, {"epochs": EPOCHS[task.name], "seed": seed, "threads": 1, **row.training})
    cells = task.cells.select(~task.held)
    if row.blind:
        cells = blinded(cells)
    if row.cpu_minutes is not None:
        fit = round(60 * row.cpu_minutes * cells_per_second(spec, cells) / (0.9 * len(cells)))
        config = replace(config, epochs=max(1, fit))
    started = time.process_time()
    result = finish(spec, config, prepare(spec, config, (cells, int(task.held.sum()))))
    return {"cpu_seconds": time.process_time() - started, "epochs": result.epochs}


def _spec(task: Task, row: Row, folder: Path) -> TrainSpec:
    # Held-out cells are left out by mask; the file says nothing of half of the controls.
    update: dict[str, Any] = {
        "hold_out": (),
        "model": ModelSpec(configuration=row.configuration, overrides=dict(row.overrides)),
        "output": str(folder),
    }
    if row.features:
        kind = task.cells.obs.loc[~task.cells.is_control, "perturbation_type"].iloc[0]
        sources = [{"kind": "gene_sets", "file": str(DATA / "priors/reactome.gmt.gz"), "licence": "CC BY 4.0"}]
        update["features"] = FeaturesSpec.model_validate({str(kind): sources})
    return task.spec.model_copy(update=update)


def cells_per_second(spec: TrainSpec, cells: Cells) -> float:
    """Train a few steps to learn the speed on one core, however much else runs on the machine."""
    config = TrainingConfig(epochs=1, validation_share=0.0, threads=1)
    trainer = build_trainer(spec, config, cells, build_vocabulary(cells))
    batches = list(islice(trainer._batches(), 5))
    for batch in batches[:2]:
        trainer._step(*batch)
    started = time.process_time()
    for batch in batches[2:]:
        trainer._step(*batch)
    return len(batches[2:]) * config.batch_size / (time.process_time() - started)


def settings_digest(task: Task, row: Row, seed: int, evaluation: int) -> str:
    """Name a row by all that its figures depend on."""
    content = [training_digest(task, row, seed), asdict(row.settings), row.prior, evaluation]
    return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()[:12]
