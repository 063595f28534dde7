"""Training from a YAML file to a checkpoint, with progress and resume."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from typing import Any

import fsspec
import numpy as np
import numpy.typing as npt

from campaigns.training_spec import TrainSpec
from lingshu_core.cell_store import StoredCells
from lingshu_core.cells import Cells
from lingshu_core.checkpoint import Provenance, save_checkpoint
from lingshu_core.denoiser import Denoiser, configuration
from lingshu_core.depths import control_depths
from lingshu_core.errors import UnusableCells
from lingshu_core.exhaustion import telling_full_disk
from lingshu_core.feature_bank import build_bank
from lingshu_core.feature_files import read_feature_file
from lingshu_core.perturbation_features import PerturbationFeatures
from lingshu_core.preparation import TrainingSet, build_vocabulary, gene_statistics, training_set
from lingshu_core.prior_genes import measure_priors
from lingshu_core.pseudo_perturbations import (
    NO_PSEUDO,
    PseudoPerturbations,
    draw_pseudo_perturbations,
    pseudo_perturbations_by,
)
from lingshu_core.resume import load_state, remove_state, save_state
from lingshu_core.streamed_set import StreamedSet, streamed_set
from lingshu_core.training import (
    TRAINING_VERSION,
    Trainer,
    TrainingConfig,
    TrainingProgress,
    pick_device,
    split_validation,
)
from lingshu_core.vocabulary import Vocabulary
from screening.errors import ResultsError
from screening.training.features import build_features, feature_notices
from screening.training.model_settings import check_overrides
from screening.training.training_input import forget_pass, read_input

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
    notices: tuple[str, ...] = ()
    """What the features describe, and what they don't; what the null is made of."""


def check_settings(spec: TrainSpec, config: TrainingConfig) -> None:
    """Find mistakes that need no cell, before files are read for minutes or hours.

    Raises
    ------
    ConfigurationError
        If the model has no such configuration or setting.
    TrainingError
        If the device is not there.
    FeatureError
        If a file of features is not there.
    """
    check_overrides(spec.model.configuration, spec.model.overrides)
    configuration(spec.model.configuration, spec.model.overrides)
    if not spec.training.workers:  # they may have devices that this machine has not
        pick_device(config.device)
    for sources in spec.features.by_type.values() if spec.features else ():
        for source in sources:
            for file in (getattr(source, "file", None), source.graph.file if source.graph else None):
                if file is not None:
                    read_feature_file(file)


def train_here(
    spec: TrainSpec, config: TrainingConfig, on_progress: Callable[[TrainingProgress], None] | None = None
) -> TrainingResult:
    """Train in this process, alone or as one of the replicas of a process group; rank 0 writes.

    Errors as in :func:`train_model`.
    """
    return finish(spec, config, prepare(spec, config), on_progress)


@dataclass(frozen=True)
class Prepared:
    """All that stands before the first step."""

    cells: Cells
    held_out: int
    vocabulary: Vocabulary
    trainer: Trainer
    identity: str
    resumed_at: int
    features: PerturbationFeatures | None = None
    pseudo: PseudoPerturbations = NO_PSEUDO


def prepare(spec: TrainSpec, config: TrainingConfig, read: tuple[Cells, int] | None = None) -> Prepared:
    """Read the cells, build the model, and go to where the same training stopped; errors as in :func:`train_model`.

    ``read`` are the cells and the number held out, where they are read already.
    """
    cells, held_out = read or training_cells(spec)
    features = build_features(spec, cells.counted()) if spec.features else None
    pseudo = pseudo_perturbations(spec, cells)
    vocabulary = build_vocabulary(cells, features, pseudo)
    trainer = build_trainer(spec, config, cells, vocabulary, features, pseudo)
    identity = training_identity(spec, config, cells, features)
    resumed_at = load_state(spec.output, identity, trainer) if spec.training.resume else 0
    return Prepared(cells, held_out, vocabulary, trainer, identity, resumed_at, features, pseudo)


def finish(
    spec: TrainSpec,
    config: TrainingConfig,
    prepared: Prepared,
    on_progress: Callable[[TrainingProgress], None] | None = None,
) -> TrainingResult:
    """Train, and write the checkpoint if this is rank 0; errors as in :func:`train_model`."""
    trainer, identity = prepared.trainer, prepared.identity
    writes = trainer.replicas.rank == 0
    best = trainer.run(on_progress, (lambda running: save_state(spec.output, identity, running)) if writes else None)
    digest = _write(spec, config, prepared, best) if writes else ""
    return TrainingResult(
        output=spec.output,
        digest=digest,
        cells=len(prepared.cells),
        held_out=prepared.held_out,
        epochs=len(trainer.state.history),
        seconds=trainer.state.seconds,
        validation_loss=trainer.state.best_loss,
        stopped_by=trainer.state.finished,
        resumed_at=prepared.resumed_at,
        parameters=sum(parameter.numel() for parameter in best.parameters()),
        paths=best.config.paths,
        notices=(
            *(feature_notices(prepared.features, prepared.cells) if prepared.features else ()),
            *prepared.pseudo.notices,
        ),
    )


def _write(spec: TrainSpec, config: TrainingConfig, prepared: Prepared, best: Denoiser) -> str:
    cells, vocabulary, trainer = prepared.cells, prepared.vocabulary, prepared.trainer
    provenance = Provenance(
        data=", ".join(spec.data.paths),
        data_digest=cells.digest(),
        cells=len(cells),
        licence=spec.licence,
        source=spec.source,
        training=config,
        history=tuple(trainer.state.history),
        held_out=json.dumps([dict(match) for match in spec.hold_out]),
        identity=prepared.identity,
        features=prepared.features.origins if prepared.features else (),
        reading=reading_of(spec),
    )
    depths, priors = control_depths(cells, vocabulary), measure_priors(cells.counted(), vocabulary)
    safe = "The state of the whole training is saved beside it, and nothing has to be trained again"
    with telling_full_disk(spec.output, "the checkpoint", safe):
        digest = save_checkpoint(spec.output, best, vocabulary, depths, provenance, priors)
    remove_state(spec.output)
    forget_pass(spec.output)
    return digest


def reading_of(spec: TrainSpec) -> dict[str, Any]:
    """Say how the cells of a training are read, for its checkpoint."""
    return {"columns": dict(spec.data.columns.named), "layer": spec.data.layer, "genes": spec.data.genes}


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
    except (OSError, ValueError, ImportError) as error:  # ValueError, ImportError: no file system of that name
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
    kept, held = read_input(spec.data, lambda cells: _held_out(spec, cells), spec.output)
    atlas = spec.data.columns.perturbation is None
    if not kept.is_control.any() or (kept.is_control.all() and not atlas):
        what = "control" if not kept.is_control.any() else "perturbed"
        raise UnusableCells(f"hold_out leaves no {what} cells to train on; hold out less")
    return kept, held


def _held_out(spec: TrainSpec, cells: Cells) -> npt.NDArray[np.bool_]:
    held = np.zeros(len(cells), dtype=bool)
    for match in spec.hold_out:
        held |= cells.matching(match)
    return held


def build_trainer(
    spec: TrainSpec,
    config: TrainingConfig,
    cells: Cells,
    vocabulary: Vocabulary,
    features: PerturbationFeatures | None = None,
    pseudo: PseudoPerturbations = NO_PSEUDO,
) -> Trainer:
    """Build the model in the shape of its data, and the trainer around it."""
    shape = configuration(spec.model.configuration, spec.model.overrides)
    denoiser = Denoiser(
        shape,
        tuple(len(values) for values in vocabulary.factors.values()),
        len(vocabulary.identities),
        gene_statistics(cells, vocabulary, shape),
        seed=config.seed,
        bank=build_bank(features, vocabulary),
    )
    taught = pseudo.relabelled(cells)
    data: TrainingSet | StreamedSet
    if isinstance(taught, StoredCells):
        data = streamed_set(taught, vocabulary, denoiser.gene_order)
    else:
        data = training_set(taught, vocabulary, denoiser.gene_order)
    training, validation = split_validation(len(cells), config.validation_share, config.seed, _scarce(taught))
    return Trainer(denoiser, data.select(training), data.select(validation), config)


def pseudo_perturbations(spec: TrainSpec, cells: Cells) -> PseudoPerturbations:
    """Make the pseudo-perturbations that a training asks for; the same ones in every member of an ensemble.

    Raises
    ------
    UnusableCells
        If the control cells are too few.
    """
    asked = spec.pseudo_perturbations
    if asked is None:
        return NO_PSEUDO
    if asked.by:
        return pseudo_perturbations_by(cells, asked.by, asked.minimum_cells, asked.seed)
    return draw_pseudo_perturbations(cells, asked.groups, asked.seed)


def training_config(spec: TrainSpec, overrides: Mapping[str, Any]) -> TrainingConfig:
    """Translate the ``training`` block for the trainer."""
    content = spec.training.model_dump(exclude={"resume", "seeds", "workers", "gpus_per_worker", "address", "restarts"})
    return TrainingConfig(**{**content, **overrides})


def _scarce(cells: Cells) -> np.ndarray:
    """Tell which cells belong to perturbations with too few of them to give any away, (cells,)."""
    sizes = cells.obs.groupby("perturbation")["perturbation"].transform("size")
    return (sizes < SCARCE_CELLS).to_numpy()


def training_identity(
    spec: TrainSpec, config: TrainingConfig, cells: Cells, features: PerturbationFeatures | None = None
) -> str:
    """Name a training by all that its result depends on: only the same training is resumed."""
    free = ("minutes", "threads", "activation_checkpointing")
    content = {
        "version": TRAINING_VERSION,
        "data": cells.digest(),
        "model": spec.model.model_dump(mode="json", include={"configuration", "overrides"}),
        # What a configuration is may change between versions.
        "shape": configuration(spec.model.configuration, spec.model.overrides).to_json(),
        "training": {name: value for name, value in asdict(config).items() if name not in free},
    }
    if features is not None:
        content["features"] = features.digest()
    if spec.pseudo_perturbations is not None:
        content["pseudo_perturbations"] = spec.pseudo_perturbations.model_dump(mode="json")
    if isinstance(cells, StoredCells):
        content["order"] = "blocks"  # cells on disk are drawn in another order
    return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()
