from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from campaigns import SpecError, dump_spec, load_any
from campaigns.evaluation_spec import BASELINES, CellsEntry, CheckpointEntry, EvaluateSpec, TrainedEntry
from campaigns.source import load_evaluation
from campaigns.training_spec import NEED_FEATURES, TRAINED_BASELINES

EVALUATION = """\
kind: evaluate
name: blood
data:
  path: cells.h5ad
  columns: {perturbation: perturbation, cell_type: cell_type, donor: donor}
models:
  - name: small
    training: {epochs: 3}
  - {name: ready, checkpoint: results/model}
  - {name: theirs, cells: predicted.h5ad}
split: {kind: combination, factor: cell_type}
estimator: {steps: 4, guidance: 1.5}
output: results/evaluation
"""
FEATURES = "features: {genetic: [{kind: co_expression}]}\n"


@pytest.fixture
def load(write: Callable[..., Path]) -> Callable[..., EvaluateSpec]:
    """Read the evaluation after replacements: `load(("old", "new"), …)`."""

    def read(*changes: tuple[str, str], end: str = "") -> EvaluateSpec:
        text = EVALUATION + end
        for old, new in changes:
            assert old in text
            text = text.replace(old, new)
        return load_evaluation(write(text)).spec

    return read


Load = Callable[..., EvaluateSpec]


def test_an_entry_is_what_its_field_says(load: Load) -> None:
    kinds = [type(entry) for entry in load().models]
    assert kinds == [TrainedEntry, CheckpointEntry, CellsEntry]


def test_all_baselines_means_those_that_apply(load: Load) -> None:
    assert set(load().chosen_baselines) == set(BASELINES) - set(TRAINED_BASELINES) - set(NEED_FEATURES)
    assert set(load(end=FEATURES).chosen_baselines) == set(BASELINES) - set(TRAINED_BASELINES)
    assert load(end="baselines: [scvi, additive]\n").chosen_baselines == ("scvi", "additive")
    assert load(end="baselines: []\n").chosen_baselines == ()


def test_an_estimator_of_its_own_changes_only_what_it_names(load: Load) -> None:
    spec = load(("    training: {epochs: 3}", "    training: {epochs: 3}\n    estimator: {steps: 9}"))
    own, others = spec.estimator_of(spec.models[0]), spec.estimator_of(spec.models[1])
    assert (own.steps, own.guidance) == (9, 1.5)
    assert others == spec.estimator


def test_a_dumped_evaluation_is_read_back_the_same(load: Load, write: Callable[..., Path]) -> None:
    spec = load(
        ("    training: {epochs: 3}", "    estimator: {steps: 9}"),
        end=FEATURES + "compute: {replicas: 2}\nseeds: [3, 1]\n",
    )
    assert load_any(write(dump_spec(spec), "resolved.yaml")).spec == spec


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        (
            "cells: predicted.h5ad",
            "cells: predicted.h5ad, checkpoint: x",
            "models[2].cells: an entry with `checkpoint` is",
        ),
        (
            "cells: predicted.h5ad",
            "cells: c.h5ad, training: {epochs: 1}",
            "models[2].training: an entry with `cells` is",
        ),
        ("name: ready", "name: small", "models[1].name: 'small' is listed twice"),
        ("name: ready", "name: additive", "models[1].name: 'additive' is the name of a baseline"),
        ("name: ready", "name: replicate", "is the name of a baseline"),
        ("{epochs: 3}", "{epochs: 3, seed: 4}", "models[0].training.seed: an evaluation trains with its own `seeds`"),
        ("{epochs: 3}", "{epochs: 3, seeds: 2}", "models[0].training.seeds: an evaluation trains with its own"),
        ("{epochs: 3}", "{workers: 2}", "models[0].training.workers: units of an evaluation train side by side"),
        ("training: {epochs: 3}", "model: {kind: ridge}", "models[0]: ridge predicts from features of"),
        ("training: {epochs: 3}", "model: {kind: additive}\n    training: {epochs: 3}", "additive is a baseline"),
        ("checkpoint: results/model", "checkpoint: results/evaluation", "output: is the folder of a model"),
        ("checkpoint: results/model", "checkpoints: results/model", "unknown key 'checkpoints'; nearest: checkpoint"),
        ("factor: cell_type", "factor: tissue", "split.factor: 'tissue' isn't named in data.columns"),
        (
            "factor: cell_type",
            "pool: [batch]",
            "split.pool[0]: 'batch' is no part of the context; parts: cell_type, donor",
        ),
        ("kind: combination", "kind: combinations", "split.kind: unknown kind 'combinations'; nearest: combination"),
        ("donor: donor}", "donor: donor, guide: guide}", "data.columns.guide: 'guide' is used neither"),
        ("perturbation: perturbation,", "perturbation: null,", "is null: an atlas has no effect to be right about"),
        ("steps: 4", "steps: 0", "estimator.steps: must be greater than or equal to 1"),
        ("steps: 4", "stepss: 4", "unknown key 'stepss'; nearest: steps"),
        ("models:", "metrics: [effect]\nmodels:", "metrics[0]: must be 'effects', 'realism'"),
        ("models:", "metrics: []\nmodels:", "metrics: must have at least 1 entry"),
        ("models:", "baselines: [additiv]\nmodels:", "baselines[0]: must be 'no_change'"),
        ("models:", "baselines: some\nmodels:", "baselines: must be all, or a list of no_change, "),
        ("models:", "baselines: [knn]\nmodels:", "baselines[0]: knn predicts from features of perturbations"),
        ("models:", "seeds: [1, 1]\nmodels:", "seeds[1]: 1 is listed twice"),
        (
            "models:",
            "compute: {backend: in_process, replicas: 2}\nmodels:",
            "compute.replicas: `backend: in_process` has",
        ),
        ("output: results/evaluation\n", "", "missing field 'output'"),
    ],
)
def test_what_is_wrong_is_told_with_its_place(load: Load, old: str, new: str, said: str) -> None:
    with pytest.raises(SpecError) as caught:
        load((old, new))
    assert said in str(caught.value)


def test_a_split_may_use_a_column_that_is_no_context(load: Load) -> None:
    spec = load(
        ("donor: donor}", "donor: donor, guide: guide}"), ("kind: combination, factor: cell_type", "kind: guide")
    )
    assert spec.split.columns == ("guide",)
