"""Fitting a baseline from a ``kind: train`` file, and writing it as a checkpoint that stands in for a model."""

from __future__ import annotations

import hashlib
import json
import time
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from campaigns.errors import EnsembleError, SpecError, Where
from campaigns.training_spec import AVERAGE_CONTEXTS, PLUGIN, TRAINED_BASELINES, TrainSpec
from lingshu_core.baseline_checkpoint import BASELINE_VERSION, BaselineProvenance, load_baseline, save_baseline
from lingshu_core.baseline_models import BaselinePredictor, fit_baseline
from lingshu_core.baseline_scvi import check_scvi
from lingshu_core.cells import Cells
from lingshu_core.checkpoint import load_header
from lingshu_core.errors import CheckpointError
from lingshu_core.perturbation_features import PerturbationFeatures
from lingshu_core.plugin_baseline import fit_plugin_baseline
from lingshu_core.plugin_model import PluginTraining, find_model
from lingshu_core.preparation import build_vocabulary
from lingshu_core.training import TrainingConfig
from screening.planning.ensemble_file import read_ensemble
from screening.training.features import build_features, feature_notices
from screening.training.training_input import forget_pass
from screening.training.training_run import check_output, check_settings, reading_of, training_cells


@dataclass(frozen=True)
class BaselineResult:
    """What came of the fitting of a baseline."""

    output: str
    digest: str
    kind: str
    cells: int
    held_out: int
    perturbations: int
    contexts: int
    seconds: float
    notices: tuple[str, ...] = ()
    """What the features describe, and how far they are trusted."""


def train_baseline(spec: TrainSpec, config: TrainingConfig, read: tuple[Cells, int] | None = None) -> BaselineResult:
    """Fit the baseline that a training asks for and write its checkpoint.

    One that is there already, made of the same cells, features and settings, is not fitted again.

    Parameters
    ----------
    spec
        With a ``model.kind`` that is a baseline.
    config
        Of its ``training`` block; only baselines that are trained have a use for it.
    read
        The training cells and the number held out, where they are read already.

    Raises
    ------
    CampaignError, DataError, ConfigurationError, FeatureError, ResultsError
        When the file, the cells or the settings don't allow it.
    """
    started = time.monotonic()
    check_settings(spec, config)
    if spec.model.kind == "scvi":
        check_scvi()
    if spec.model.plugin is not None:
        find_model(spec.model.plugin)  # before files are read for minutes
    check_output(spec.output)
    if read_ensemble(spec.output) is not None:
        raise EnsembleError(
            [Where(spec.output).problem("is the folder of an ensemble; give the baseline one of its own")]
        )
    cells, held_out = read or training_cells(spec)
    features = build_features(spec, cells.counted()) if spec.features else None
    provenance = _provenance(spec, cells, features, config)
    there = _finished(spec.output, provenance.identity)
    if there is not None:
        digest, baseline = there
    else:
        baseline = _fit(spec, config, cells, features)
        digest = save_baseline(spec.output, baseline, provenance)
    forget_pass(spec.output)
    return BaselineResult(
        output=spec.output,
        digest=digest,
        kind=baseline.title,
        cells=len(cells),
        held_out=held_out,
        perturbations=len(baseline.vocabulary.perturbations),
        contexts=len(baseline.vocabulary.contexts),
        seconds=time.monotonic() - started,
        notices=(*(feature_notices(features, cells) if features else ()), *_learned(baseline)),
    )


def _fit(
    spec: TrainSpec, config: TrainingConfig, cells: Cells, features: PerturbationFeatures | None
) -> BaselinePredictor:
    words, model = build_vocabulary(cells, features), spec.model
    if model.plugin is None:
        return fit_baseline(model.kind, cells, words, features, **baseline_settings(spec, config))
    given = PluginTraining(cells, words, features, model.settings, config.seed, config.device, config.threads)
    return fit_plugin_baseline(model.plugin, given)


def baseline_settings(spec: TrainSpec, config: TrainingConfig) -> dict[str, Any]:
    """Return the settings of :func:`lingshu_core.baseline_models.fit_baseline` that the kind has a use for.

    Of a plugin they are all that its result depends on beside cells and features.
    """
    model = spec.model
    settings: dict[str, Any] = {}
    if model.kind in AVERAGE_CONTEXTS:
        settings["weighting"] = model.weighting
    if model.kind in (*AVERAGE_CONTEXTS, "nearest_context"):
        settings["min_cells"] = model.min_cells
    if model.plugin is not None:
        plugin = find_model(model.plugin)
        settings |= {"plugin": plugin.title, "settings": dict(model.settings), "seed": config.seed}
    if model.kind in TRAINED_BASELINES:
        # What is as it is for the cell model is left to scvi-tools; a seed, a device and threads are what they say.
        defaults = TrainingConfig()
        names = ("epochs", "batch_size", "learning_rate")
        settings |= {name: getattr(config, name) for name in names if getattr(config, name) != getattr(defaults, name)}
        settings |= {"seed": config.seed, "device": config.device, "threads": config.threads}
    return settings


def refuse_overrides(kind: str, overrides: Mapping[str, Any]) -> None:
    """Refuse options of the command line that mean nothing for a baseline.

    Raises
    ------
    SpecError
        Naming the first one.
    """
    known = ("output", "seed", "epochs") if kind in (*TRAINED_BASELINES, PLUGIN) else ("output",)
    unknown = [name for name, value in overrides.items() if value is not None and name not in known]
    if unknown:
        text = f"{kind} is a baseline, for which this means nothing; leave it out"
        raise SpecError([Where(f"command line (--{unknown[0]})").problem(text)])


def _finished(folder: str, identity: str) -> tuple[str, BaselinePredictor] | None:
    """Return digest and baseline of a checkpoint that is there, if it was made of the same cells and settings."""
    try:
        header = load_header(folder)
        if header.card.get("identity") != identity:
            return None
        return header.digest, load_baseline(folder, header)
    except CheckpointError:
        return None


def _provenance(
    spec: TrainSpec, cells: Cells, features: PerturbationFeatures | None, config: TrainingConfig
) -> BaselineProvenance:
    data_digest = cells.digest()
    identity = {
        "data": data_digest,
        "model": spec.model.kind,
        "settings": baseline_settings(spec, config),
        "version": BASELINE_VERSION,
        "provenance": [spec.licence, spec.source, *spec.data.paths],
    }
    if features is not None:
        identity["features"] = features.digest()
    return BaselineProvenance(
        data=", ".join(spec.data.paths),
        data_digest=data_digest,
        cells=len(cells),
        licence=spec.licence,
        source=spec.source,
        held_out=json.dumps([dict(match) for match in spec.hold_out]),
        reading=reading_of(spec),
        identity=hashlib.sha256(json.dumps(identity, sort_keys=True).encode()).hexdigest(),
    )


def _learned(baseline: BaselinePredictor) -> list[str]:
    """Say what leaving perturbations out has chosen."""
    what = {"ridge": "ridge strength", "knn": "neighbours", "low_rank": "ridge strength of the loadings"}
    notices = []
    for kind, choice in baseline.fitted.choices.items():
        of = f" (kind {kind})" if len(baseline.fitted.choices) > 1 else ""
        notices.append(
            f"{what[baseline.kind]}{of} {choice.value:g}: leaving one perturbation out, a squared error of"
            f" {choice.error:.2f} times that of the mean of the others"
        )
    model = baseline.fitted.model
    if model is not None:
        notices.append(f"rank {model.rank}, penalty {model.penalty:g} cells")
    return notices
