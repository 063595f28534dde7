"""Training from a YAML file to a checkpoint, with progress and resume."""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from typing import Any

import fsspec
import numpy as np

from campaigns.source import load_training
from campaigns.training_spec import TrainSpec
from lingshu_core.cells import Cells, read_cells
from lingshu_core.checkpoint import Provenance, save_checkpoint
from lingshu_core.denoiser import Denoiser, configuration
from lingshu_core.depths import control_depths
from lingshu_core.errors import UnusableCells
from lingshu_core.preparation import build_vocabulary, gene_statistics, training_set
from lingshu_core.resume import load_state, remove_state, save_state
from lingshu_core.training import Trainer, TrainingConfig, TrainingProgress, split_validation
from lingshu_core.vocabulary import Vocabulary
from screening.errors import ResultsError
from screening.readouts import cell_source

SCARCE_CELLS = 20
"""A perturbation with fewer cells keeps all of them for training, none for validation."""


@dataclass(frozen=True)
class TrainingResult:
    """What came of a training."""

    output: str
    digest: str
    cells: int
    held_out: int
    epochs: int
    seconds: float
    validation_loss: float
    stopped_by: str
    resumed_at: int
    parameters: int
    paths: str


def train_model(
    path: str | os.PathLike[str],
    on_progress: Callable[[TrainingProgress], None] | None = None,
    overrides: Mapping[str, Any] | None = None,
) -> TrainingResult:
    """Train the model that a ``kind: train`` file describes and write its checkpoint.

    Raises
    ------
    CampaignError, DataError, ConfigurationError, TrainingError
        When the file, the cells or the settings don't allow it.
    """
    spec = load_training(path).spec
    given = {name: value for name, value in (overrides or {}).items() if value is not None}
    spec = spec.model_copy(update={"output": given.pop("output", spec.output)})
    return train_spec(spec, training_config(spec, given), on_progress)


def train_spec(
    spec: TrainSpec, config: TrainingConfig, on_progress: Callable[[TrainingProgress], None] | None = None
) -> TrainingResult:
    """Train from a spec that is read already; errors as in :func:`train_model`."""
    check_output(spec.output)
    cells, held_out = training_cells(spec)
    vocabulary = build_vocabulary(cells)
    trainer = build_trainer(spec, config, cells, vocabulary)
    identity = _identity(spec, config, cells)
    resumed_at = load_state(spec.output, identity, trainer) if spec.training.resume else 0
    best = trainer.run(on_progress, lambda running: save_state(spec.output, identity, running))
    digest = save_checkpoint(
        spec.output,
        best,
        vocabulary,
        control_depths(cells, vocabulary),
        Provenance(
            data=spec.data.path,
            data_digest=cells.digest(),
            cells=len(cells),
            licence=spec.licence,
            source=spec.source,
            training=config,
            history=tuple(trainer.state.history),
            held_out=json.dumps([dict(match) for match in spec.hold_out]),
        ),
    )
    remove_state(spec.output)
    return TrainingResult(
        output=spec.output,
        digest=digest,
        cells=len(cells),
        held_out=held_out,
        epochs=len(trainer.state.history),
        seconds=trainer.state.seconds,
        validation_loss=trainer.state.best_loss,
        stopped_by=trainer.state.finished,
        resumed_at=resumed_at,
        parameters=sum(parameter.numel() for parameter in best.parameters()),
        paths=best.config.paths,
    )


def check_output(folder: str) -> None:
    """Make sure that a checkpoint can be written, before hours are spent on it.

    Raises
    ------
    ResultsError
        If the folder or bucket can't be written.
    """
    try:
        filesystem, root = fsspec.core.url_to_fs(folder)
        filesystem.makedirs(root, exist_ok=True)
        filesystem.pipe_file(f"{root}/.writable", b"")
        filesystem.rm_file(f"{root}/.writable")
    except OSError as error:
        raise ResultsError(
            f"{folder}: the checkpoint can't be written there ({error}); correct `output:` or the credentials in the"
            " environment"
        ) from error


def training_cells(spec: TrainSpec) -> tuple[Cells, int]:
    """Read the cells and leave the held-out ones out; returns them and how many were left out.

    Raises
    ------
    DataError
        If the cells can't be used, or nothing is left to learn from.
    """
    cells = read_cells(cell_source(spec.data))
    held = np.zeros(len(cells), dtype=bool)
    for match in spec.hold_out:
        held |= cells.matching(match)
    kept = cells.select(~held)
    if not kept.is_control.any() or kept.is_control.all():
        what = "control" if not kept.is_control.any() else "perturbed"
        raise UnusableCells(f"hold_out leaves no {what} cells to train on; hold out less")
    return kept, int(held.sum())


def build_trainer(spec: TrainSpec, config: TrainingConfig, cells: Cells, vocabulary: Vocabulary) -> Trainer:
    """Build the model in the shape of its data, and the trainer around it."""
    shape = configuration(spec.model.configuration, spec.model.overrides)
    denoiser = Denoiser(
        shape,
        tuple(len(values) for values in vocabulary.factors.values()),
        len(vocabulary.parts),
        gene_statistics(cells, vocabulary, shape),
        seed=config.seed,
    )
    data = training_set(cells, vocabulary, denoiser.gene_order)
    training, validation = split_validation(len(cells), config.validation_share, config.seed, _scarce(cells))
    return Trainer(denoiser, data.select(training), data.select(validation), config)


def training_config(spec: TrainSpec, overrides: Mapping[str, Any]) -> TrainingConfig:
    """Translate the ``training`` block for the trainer."""
    content = spec.training.model_dump(exclude={"resume"})
    return TrainingConfig(**{**content, **overrides})


def _scarce(cells: Cells) -> np.ndarray:
    """Tell which cells belong to perturbations with too few of them to give any away, (cells,)."""
    sizes = cells.obs.groupby("perturbation")["perturbation"].transform("size")
    return (sizes < SCARCE_CELLS).to_numpy()


def _identity(spec: TrainSpec, config: TrainingConfig, cells: Cells) -> str:
    """Name a training by all that its result depends on: only the same training is resumed."""
    content = {
        "data": cells.digest(),
        "model": spec.model.model_dump(mode="json"),
        "training": {name: value for name, value in asdict(config).items() if name not in ("minutes", "threads")},
    }
    return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()
