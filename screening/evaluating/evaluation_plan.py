"""What an evaluation has to compute: one unit for each fold, model and seed, named by all that its result depends on.

Names, not places: an evaluation that moves to another folder or bucket, or gets more replicas, has the same units.
"""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from importlib.metadata import version
from typing import Any, Literal

import fsspec

from actors.tasks import Task
from campaigns.digests import canonical_json, digest
from campaigns.errors import EnsembleError
from campaigns.evaluation_spec import (
    BASELINES,
    REPLICATE,
    CellsEntry,
    CheckpointEntry,
    EntrySpec,
    EvaluateSpec,
    TrainedEntry,
)
from campaigns.feature_spec import FeaturesSpec
from campaigns.source import load_evaluation
from campaigns.training_spec import PLUGIN, THEIR_TRAINING, TRAINED_BASELINES, ModelSpec
from campaigns.validation import validate
from campaigns.yaml_source import Source
from lingshu_core.baseline_checkpoint import BASELINE_VERSION
from lingshu_core.cells import Cells
from lingshu_core.checkpoint import CheckpointHeader, load_header
from lingshu_core.denoiser import configuration
from lingshu_core.errors import UnreadableCells
from lingshu_core.estimator import SAMPLER_VERSION
from lingshu_core.splits import Fold, Split
from lingshu_core.training import TRAINING_VERSION
from screening.models.model_card import ModelCard, read_card
from screening.planning.ensemble_file import member_folder, read_ensemble

UNIT_FORMAT = 1
SCORING_VERSION = 1
"""Raised whenever the same predictions would get other scores."""
GIVEN_CELLS = "cells"
Role = Literal["model", "baseline", "replicate"]
WITHOUT_INFLUENCE = {
    "seed",
    "seeds",
    "device",
    "threads",
    "resume",
    "workers",
    "gpus_per_worker",
    "address",
    "restarts",
}
"""Fields of ``training`` that an evaluation sets itself, or that say where and not what."""
ONCE = (0,)
"""Seed of what has no chance in it, whatever the seeds of the others: it is computed once."""
_PACKAGES = {"cell_eval": "cell-eval", "cell_eval2": "cell-eval2"}
_OF_ANSWERS = ("training", "sampler", "baselines")
"""Versions of those that answer; real cells and given ones know none of them."""
_OF_BASELINES = ("kind", "weighting", "min_cells")
"""Fields of ``model`` that a baseline has a use for; the others describe a network."""


@dataclass(frozen=True)
class Contender:
    """Something that answers questions: a model, a baseline, or a half of the real cells.

    ``source`` is plain data: what to train, which checkpoint to open, or which file of cells to read. ``seeds`` are
    those that change its answers: one where nothing about it is random.
    """

    name: str
    role: Role
    source: Mapping[str, Any]
    estimator: Mapping[str, Any]
    seeds: tuple[int, ...]


@dataclass(frozen=True)
class Unit:
    """A contender, trained with one seed, on one fold."""

    contender: str
    fold: str
    seed: int
    task: Task


@dataclass(frozen=True)
class Evaluation:
    """An evaluation file; the headers of the checkpoints that it names, and their model cards where they have one."""

    spec: EvaluateSpec
    source: Source
    checkpoints: Mapping[str, CheckpointHeader]
    cards: Mapping[str, ModelCard]


def read_evaluation(path: str | os.PathLike[str], overrides: Mapping[str, Any] | None = None) -> Evaluation:
    """Read an evaluation file and the headers of the models that it names.

    Parameters
    ----------
    path
        A ``kind: evaluate`` YAML file.
    overrides
        Values that the command line puts in place of the file's: ``output``, ``replicas``, ``backend``.

    Raises
    ------
    CampaignError
        If the file is not a valid evaluation.
    CheckpointError, CardError
        If a model or its card can't be used.
    """
    loaded = load_evaluation(path)
    return open_evaluation(_override(loaded.spec, overrides or {}), loaded.source)


def open_evaluation(spec: EvaluateSpec, source: Source) -> Evaluation:
    """Read the headers of the models that an evaluation names, and their cards.

    Parameters
    ----------
    spec
        The evaluation.
    source
        Where it was read from, for what is said of its fields.

    Raises
    ------
    EnsembleError, CheckpointError, CardError
        If a model or its card can't be used.
    """
    named = [entry for entry in spec.models if isinstance(entry, CheckpointEntry)]
    ensembles = [
        source.where(("models", index, "checkpoint")).problem(
            f"{entry.checkpoint} is an ensemble; list its members, such as {entry.checkpoint}/{member_folder(0)}, or"
            " train the model here with several `seeds`"
        )
        for index, entry in enumerate(spec.models)
        if isinstance(entry, CheckpointEntry) and read_ensemble(entry.checkpoint) is not None
    ]
    if ensembles:
        raise EnsembleError(ensembles)
    headers = {entry.name: load_header(entry.checkpoint) for entry in named}
    cards = {entry.name: read_card(entry.checkpoint, headers[entry.name].digest) for entry in named}
    return Evaluation(spec, source, headers, {name: card for name, card in cards.items() if card is not None})


def _override(spec: EvaluateSpec, values: Mapping[str, Any]) -> EvaluateSpec:
    given = {name: value for name, value in values.items() if value is not None}
    content = spec.model_dump(by_alias=True)
    for name, value in given.items():
        (content if name in type(spec).model_fields else content["compute"])[name] = value
    options = ", ".join(f"--{name}" for name in given)
    return validate(EvaluateSpec, Source(f"command line ({options})", content)) if given else spec


def contenders(evaluation: Evaluation) -> tuple[Contender, ...]:
    """List all that answer: models in the order of the file, baselines, and the real cells themselves."""
    spec = evaluation.spec
    baselines = [TrainedEntry(name=name, model=ModelSpec(kind=name)) for name in spec.chosen_baselines]
    found = [_contender(evaluation, entry, "model") for entry in spec.models]
    found += [_contender(evaluation, entry, "baseline") for entry in baselines]
    return (*found, Contender(REPLICATE, "replicate", {"kind": REPLICATE}, {}, ONCE))


def _contender(evaluation: Evaluation, entry: EntrySpec, role: Role) -> Contender:
    spec = evaluation.spec
    estimator = spec.estimator_of(entry).as_data()
    if isinstance(entry, CheckpointEntry):
        source = {"kind": "checkpoint", "folder": entry.checkpoint, "digest": evaluation.checkpoints[entry.name].digest}
        return Contender(entry.name, role, source, estimator, spec.seeds)
    if isinstance(entry, CellsEntry):
        source = {"kind": GIVEN_CELLS, "path": entry.cells, "sha256": _sha256(entry.cells)}
        return Contender(entry.name, role, source, {}, ONCE)
    if not isinstance(entry, TrainedEntry):
        raise TypeError(f"no contender of {type(entry).__name__}")
    features = entry.features or spec.features
    trained: dict[str, Any] = {
        "kind": "train",
        "model": entry.model.as_data(),
        "shape": _shape(entry.model),
        "training": {key: value for key, value in entry.training.as_data().items() if key not in WITHOUT_INFLUENCE},
        "features": features.as_data() if features else None,
        "files": feature_files(features),
    }
    is_random = not entry.model.is_baseline or entry.model.kind in (*TRAINED_BASELINES, PLUGIN)
    return Contender(entry.name, role, trained, estimator, spec.seeds if is_random else ONCE)


def _shape(model: ModelSpec) -> dict[str, Any] | None:
    """Return all settings of the network: what a configuration is may change between versions."""
    return None if model.is_baseline else configuration(model.configuration, model.overrides).to_json()


def feature_files(features: FeaturesSpec | None) -> dict[str, str]:
    """Return the SHA-256 of every file that features are read from."""
    sources = [source for found in features.by_type.values() for source in found] if features else []
    named = [getattr(source, "file", None) for source in sources]
    named += [source.graph.file for source in sources if source.graph]
    return {path: _sha256(path) for path in sorted({path for path in named if path})}


def _sha256(path: str) -> str:
    try:
        with fsspec.open(path, "rb") as handle:
            return hashlib.file_digest(handle, "sha256").hexdigest()
    except OSError as error:
        raise UnreadableCells(f"{path}: can't be read ({error}); check the path") from error


def make_units(evaluation: Evaluation, cells: Cells, split: Split, asked: Sequence[Contender]) -> tuple[Unit, ...]:
    """List the units: fold by fold, and in a fold what is quick first.

    So a mistake in a fold shows before hours are spent on it.
    """
    shared = _shared(evaluation, cells)
    return tuple(_units(asked, split.folds, shared))


def _shared(evaluation: Evaluation, cells: Cells) -> dict[str, Any]:
    spec = evaluation.spec
    packages = {name: version(package) for name, package in _PACKAGES.items() if name in spec.metrics}
    return {
        "format": UNIT_FORMAT,
        "versions": {
            "training": TRAINING_VERSION,
            "sampler": SAMPLER_VERSION,
            "baselines": BASELINE_VERSION,
            "scoring": SCORING_VERSION,
            **packages,
        },
        "data": cells.digest(),
        "metrics": sorted(spec.metrics),
        "prefilled": prior_sources(evaluation),
    }


def prior_sources(evaluation: Evaluation) -> list[str]:
    """List whose priors pre-fill genes in any contender: those genes are left out for all, or they'd be compared on
    different ones. ``train`` stands for priors of the fold's training cells, else it's the folder of a checkpoint.
    """
    spec = evaluation.spec
    using = [entry for entry in spec.models if spec.estimator_of(entry).prior != "none"]
    folders = {entry.checkpoint for entry in using if isinstance(entry, CheckpointEntry)}
    return sorted({*folders, *(["train"] if any(isinstance(entry, TrainedEntry) for entry in using) else [])})


def _units(asked: Iterable[Contender], folds: Iterable[Fold], shared: Mapping[str, Any]) -> Iterator[Unit]:
    order = sorted(asked, key=lambda contender: ("replicate", "baseline", "model").index(contender.role))
    for fold in folds:
        place = {"fold": fold.name, "fold_digest": fold_digest(fold)}
        for contender in order:
            for seed in contender.seeds:
                content = {
                    **shared,
                    **place,
                    "contender": contender.name,
                    "source": dict(contender.source),
                    "estimator": dict(contender.estimator),
                    "seed": seed,
                }
                yield Unit(contender.name, fold.name, seed, Task(digest(_identity(content)), canonical_json(content)))


def _identity(content: Mapping[str, Any]) -> dict[str, Any]:
    """Return all that the result of a unit depends on.

    The name is for humans: two names for the same thing have the same result. A baseline knows neither network nor
    sampler, and the real cells know nobody: other defaults of the model leave their results what they are.
    """
    source, versions = content["source"], dict(content["versions"])
    whole = {key: value for key, value in content.items() if key != "contender"}
    if source["kind"] in (REPLICATE, GIVEN_CELLS):
        without = {name: version for name, version in versions.items() if name not in _OF_ANSWERS}
        return {**whole, "versions": without}
    if source["kind"] == "train" and source["model"]["kind"] in BASELINES:
        del versions["sampler"], versions["training"]
        estimator = {"cells": content["estimator"]["cells"]}  # answers are exact; only cells are drawn
        return {**whole, "versions": versions, "estimator": estimator, "source": _baseline_source(source)}
    return whole


def _baseline_source(source: Mapping[str, Any]) -> dict[str, Any]:
    model = {name: source["model"][name] for name in _OF_BASELINES}
    has_training = model["kind"] in TRAINED_BASELINES
    training = {name: source["training"][name] for name in THEIR_TRAINING if name in source["training"]}
    return {**source, "model": model, "training": training if has_training else {}}


def fold_digest(fold: Fold) -> str:
    """Name a fold by the cells to train on and its questions with theirs."""
    state = hashlib.sha256(fold.train.tobytes())
    for question in (*fold.questions, *fold.calibration):
        what = [question.label, sorted(question.context.items()), question.parts]
        state.update(json.dumps(what).encode() + question.perturbed.tobytes() + question.controls.tobytes())
    if fold.adaptation is not None:
        state.update(fold.adaptation.tobytes())
    return state.hexdigest()
