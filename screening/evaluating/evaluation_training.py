"""Training the contenders of an evaluation: on one fold, with one seed, into a folder of its own.

A checkpoint that is there already, made of the same cells and settings, is opened instead of trained again; an
interrupted training goes on from its last state. So a unit that is lost costs at most the time since the last epoch.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from campaigns.data_spec import DataSpec
from campaigns.training_spec import TrainSpec
from campaigns.validation import validate
from campaigns.yaml_source import Source
from lingshu_core.adaptation import ControlCells, adapt
from lingshu_core.cells import Cells
from lingshu_core.checkpoint import Checkpoint, is_baseline, load_header
from lingshu_core.errors import ConfigurationError
from lingshu_core.perturbation_features import PerturbationFeatures
from lingshu_core.predictor import DiffusionPredictor, StoredPredictor, open_predictor
from lingshu_core.preparation import build_vocabulary
from lingshu_core.prior_genes import PriorInjection, measure_priors
from lingshu_core.splits import Fold, Mask, Question
from lingshu_core.training import pick_device
from screening.errors import LeakError
from screening.evaluating.evaluation_plan import fold_digest
from screening.evaluating.leak_checker import check_features, check_training
from screening.training.baseline_training import train_baseline
from screening.training.ensemble_training import finished_training
from screening.training.features import build_features
from screening.training.training_run import finish, prepare, training_config, training_identity

TRAIN = "train"


@dataclass(frozen=True)
class Place:
    """Where models are kept, where they are trained, and what their checkpoints say of the data."""

    folder: str
    device: str = "cpu"
    threads: int = 1
    licence: str = "not stated"
    source: str = "not stated"


@dataclass(frozen=True)
class Trained:
    """A contender that can be asked, and plain facts about it for the tables."""

    predictor: StoredPredictor
    facts: Mapping[str, Any]

    @classmethod
    def of(cls, predictor: StoredPredictor) -> Trained:
        """Read the facts off the card."""
        card = predictor.header.card
        facts = {
            "paths": str(card["paths"]),
            "parameters": card.get("parameters"),
            "epochs": len(card["history"]) if "history" in card else None,
            "digest": predictor.header.digest,
        }
        return cls(predictor, facts)

    @property
    def injection(self) -> PriorInjection | None:
        """What the published prior pre-fills; nothing in a baseline."""
        header = self.predictor.header
        if self.is_baseline or header.priors is None:
            return None
        return PriorInjection(header.vocabulary, header.priors)

    @property
    def is_baseline(self) -> bool:
        """Whether it is a baseline, whose answers are exact."""
        return is_baseline(self.predictor.header.card)


def train_on_fold(
    content: Mapping[str, Any], name: str, seed: int, fold: Fold, data: DataSpec, cells: Cells, place: Place
) -> Trained:
    """Train a contender on a fold, or open it where it was trained already.

    Parameters
    ----------
    content
        The contender's source: ``model``, ``training`` and ``features``, as in a ``kind: train`` file.
    name, seed
        Of the contender, and of all its random numbers.
    fold, cells
        Which cells to learn from.
    data
        The ``data`` block.
    place
        Where to train and to keep it.

    Raises
    ------
    LeakError
        If cells or features hold an answer.
    LingshuCoreError
        If it can't be trained.
    """
    folder = f"{place.folder}/{name}/{_folder_name(fold)}/seed-{seed}"
    spec = training_spec(content, name, folder, data, place)
    config = training_config(spec, {"seed": seed, "device": place.device, "threads": place.threads})
    learned = _learned(spec, fold)
    own = cells.select(learned)
    features = build_features(spec, own)
    _refuse_leaks(fold, cells, own, features, name)
    read = (own, int((~learned).sum()))
    if spec.model.is_baseline:
        train_baseline(spec, config, read)
    elif finished_training(folder, training_identity(spec, config, own, features), config) is None:
        finish(spec, config, prepare(spec, config, read))
    predictor = open_predictor(folder, pick_device(place.device))
    if fold.adaptation is not None and isinstance(predictor, DiffusionPredictor):
        predictor = DiffusionPredictor(_adapted(predictor.checkpoint, cells.select(fold.adaptation)))
    return Trained.of(predictor)


def _folder_name(fold: Fold) -> str:
    """Name a fold's folder: readable, and different for different cells."""
    return f"{re.sub('[^A-Za-z0-9.-]+', '-', fold.name)[:60].strip('-.')}-{fold_digest(fold)[:8]}"


def training_spec(content: Mapping[str, Any], name: str, folder: str, data: DataSpec, place: Place) -> TrainSpec:
    """Return the training of a contender as a ``kind: train`` file would say it; errors as of such a file.

    Columns that only the split has a use for are left out: a training refuses what it doesn't understand.
    """
    block = {key: content[key] for key in ("model", "training", "features")}
    known = {*type(data.columns).model_fields, *data.factors}
    columns = {role: column for role, column in data.columns.named.items() if role in known}
    cells = {**data.as_data(), "columns": {"perturbation": None, **columns}}
    whole = {"kind": TRAIN, "name": name, "data": cells, **block, "output": folder}
    return validate(TrainSpec, Source(name, {**whole, "licence": place.licence, "source": place.source}))


def _learned(spec: TrainSpec, fold: Fold) -> Mask:
    """Return the cells to learn from, (cells,).

    A baseline has no other way to take in a context's controls than to learn from them.
    """
    if fold.adaptation is None or not spec.model.is_baseline:
        return fold.train
    return fold.train | fold.adaptation


def _refuse_leaks(fold: Fold, cells: Cells, own: Cells, features: PerturbationFeatures | None, name: str) -> None:
    findings = [*check_training(fold, cells, own, name)]
    if features is not None:
        findings += check_features(features, cells, fold, name)
    leaks = [str(finding) for finding in findings if finding.severity == "leak"]
    if leaks:
        raise LeakError("\n".join(leaks))


def _adapted(checkpoint: Checkpoint, controls: Cells) -> Checkpoint:
    """Teach a model the contexts of some control cells; how it is stored stays as it is."""
    factors = tuple(checkpoint.vocabulary.factors)
    rows = controls.obs[list(factors)].to_dict("records")
    found = adapt(
        checkpoint,
        ControlCells(controls.counts, np.ones(len(controls.genes), dtype=bool), tuple(rows), controls.depth),
    )
    return Checkpoint(
        found.vocabulary,
        found.control_depths,
        checkpoint.card,
        checkpoint.digest,
        found.denoiser,
        priors=checkpoint.priors,
    )


def prefilled_genes(sources: Sequence[str], cells: Cells, fold: Fold) -> dict[str, tuple[int, ...]]:
    """Return the genes that priors fill in for any contender, label → positions.

    Parameters
    ----------
    sources
        ``train`` for priors of the fold's training cells, or folders of checkpoints.
    """
    injections = [_injection(source, cells, fold) for source in sources]
    return {each.label: _of_question(each, injections) for each in fold.questions}


def _of_question(question: Question, injections: Sequence[PriorInjection]) -> tuple[int, ...]:
    names = [name for name, _ in question.parts]
    return tuple(sorted({gene for each in injections for gene in each.genes(names, question.context)}))


def _injection(source: str, cells: Cells, fold: Fold) -> PriorInjection:
    if source == TRAIN:
        own = cells.select(fold.train)
        vocabulary = build_vocabulary(own, None)
        return PriorInjection(vocabulary, measure_priors(own, vocabulary))
    header = load_header(source)
    if header.priors is None:
        raise ConfigurationError(f"{source} was written before checkpoints had priors; train it again")
    return PriorInjection(header.vocabulary, header.priors)
