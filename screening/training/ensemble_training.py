"""Training an ensemble: the same cells and settings, another seed for each member (arXiv 1612.01474).

Members are whole checkpoints in folders of their own. One that is there already, made of the same data and settings,
is not trained again; an interrupted one goes on.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from campaigns.errors import EnsembleError, SpecError, Where
from campaigns.source import load_training
from campaigns.training_spec import CELL_MODEL, TrainSpec
from campaigns.validation import validate
from campaigns.yaml_source import Source
from lingshu_core.checkpoint import CheckpointHeader, load_header
from lingshu_core.errors import CheckpointError
from lingshu_core.training import TrainingConfig, TrainingProgress
from screening.planning.ensemble_file import EnsembleMember, member_folder, write_ensemble
from screening.training.baseline_training import BaselineResult, refuse_overrides, train_baseline
from screening.training.features import build_features
from screening.training.training_input import forget_pass
from screening.training.training_request import placed, train_model, train_spec, training_of
from screening.training.training_run import (
    TrainingResult,
    check_output,
    check_settings,
    training_cells,
    training_identity,
)

OnMember = Callable[[int, int, int], None]
"""Hears that a member begins: its number, how many there are, its seed."""


@dataclass(frozen=True)
class TrainedMember:
    """A member and what came of its training; None where it was there already."""

    folder: str
    seed: int
    digest: str
    result: TrainingResult | None


@dataclass(frozen=True)
class EnsembleResult:
    """What came of the training of an ensemble."""

    output: str
    digest: str
    members: tuple[TrainedMember, ...]


def train_file(
    path: str | os.PathLike[str],
    on_progress: Callable[[TrainingProgress], None] | None = None,
    overrides: Mapping[str, Any] | None = None,
    on_member: OnMember | None = None,
) -> TrainingResult | EnsembleResult | BaselineResult:
    """Train what a ``kind: train`` file describes: a model, an ensemble where it has ``seeds``, or a baseline.

    ``seeds`` among the overrides stands in for the file's.

    Raises
    ------
    CampaignError, DataError, ConfigurationError, TrainingError, ResultsError
        When the file, the cells, the settings or what is in the output don't allow it.
    """
    kind = load_training(path).spec.model.kind
    if kind != CELL_MODEL:
        refuse_overrides(kind, overrides or {})
    given = dict(overrides or {})
    seeds = given.pop("seeds", None)
    spec, config, source = training_of(path, given)
    if spec.model.is_baseline:
        with placed(source):
            return train_baseline(spec, config)
    if seeds is not None:
        spec = _with_seeds(spec, seeds)
    if spec.training.seeds is None:
        return train_model(path, on_progress, given)
    if isinstance(spec.training.seeds, tuple) and given.get("seed") is not None:
        text = "training.seeds lists the seed of every member already; leave --seed out, or give --seeds too"
        raise SpecError([Where("command line (--seed)").problem(text)])
    with placed(source):
        return train_ensemble(spec, config, on_progress, on_member)


def _with_seeds(spec: TrainSpec, seeds: int) -> TrainSpec:
    content = spec.model_dump(by_alias=True)
    content["training"]["seeds"] = seeds
    return validate(TrainSpec, Source("command line (--seeds)", content))


def train_ensemble(
    spec: TrainSpec,
    config: TrainingConfig,
    on_progress: Callable[[TrainingProgress], None] | None = None,
    on_member: OnMember | None = None,
) -> EnsembleResult:
    """Train the members that are not there yet, one after the other, and list all in ``ensemble.json``.

    Raises
    ------
    EnsembleError
        If the output is the folder of a single model, or the cells changed meanwhile.
    CampaignError, DataError, ConfigurationError, TrainingError, ResultsError
        As for a single model.
    """
    check_settings(spec, config)
    check_output(spec.output)
    _refuse_single_model(spec.output)
    configs = [replace(config, seed=seed) for seed in member_seeds(spec, config)]
    data_digest, identities = _identities(spec, configs)
    members = []
    for number, (own, identity) in enumerate(zip(configs, identities, strict=True)):
        seed, place = own.seed, f"{spec.output.rstrip('/')}/{member_folder(number)}"
        there = finished_training(place, identity, own)
        if there is None:
            if on_member is not None:
                on_member(number, len(configs), seed)
            result = train_spec(spec.model_copy(update={"output": place}), own, on_progress)
            members.append(TrainedMember(member_folder(number), seed, result.digest, result))
        else:
            members.append(TrainedMember(member_folder(number), seed, there.digest, None))
    _check_cells(spec.output, members, data_digest)
    forget_pass(spec.output)
    listed = [EnsembleMember(member.folder, member.seed, member.digest) for member in members]
    return EnsembleResult(spec.output, write_ensemble(spec.output, listed), tuple(members))


def _identities(spec: TrainSpec, configs: Sequence[TrainingConfig]) -> tuple[str, list[str]]:
    """Return the digest of the cells and the identity of every member; the cells are not kept beside a training."""
    cells, _ = training_cells(spec)
    features = build_features(spec, cells)
    return cells.digest(), [training_identity(spec, config, cells, features) for config in configs]


def member_seeds(spec: TrainSpec, config: TrainingConfig) -> tuple[int, ...]:
    """Return the seed of every member: those listed, or as many as asked for from ``seed`` on."""
    seeds = spec.training.seeds
    return seeds if isinstance(seeds, tuple) else tuple(range(config.seed, config.seed + (seeds or 1)))


def _refuse_single_model(output: str) -> None:
    if _header(output) is not None:
        text = "is the folder of a single model; give the ensemble one of its own"
        raise EnsembleError([Where(output).problem(text)])


def finished_training(folder: str, identity: str, config: TrainingConfig) -> CheckpointHeader | None:
    """Return a model that is there, if it was made of the same data and settings.

    How long a training may take is no part of its identity, so that an interrupted one can be given more time; but a
    finished one was ended by it.
    """
    header = _header(folder)
    if header is None or header.card.get("identity") != identity:
        return None
    return header if header.card["training"].get("minutes") == config.minutes else None


def _header(folder: str) -> CheckpointHeader | None:
    """Return the header of a checkpoint; None where there is none, or only a part of one."""
    try:
        return load_header(folder)
    except CheckpointError:
        return None


def _check_cells(output: str, members: Sequence[TrainedMember], data_digest: str) -> None:
    """Refuse an ensemble whose cells changed while it was trained."""
    for member in members:
        header = _header(f"{output.rstrip('/')}/{member.folder}")
        if header is None or header.card["data_digest"] != data_digest:
            text = f"the cells changed while {member.folder} was trained; run the same command again"
            raise EnsembleError([Where(output).problem(text)])
