import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from campaigns.errors import EnsembleError, SpecError
from campaigns.training_spec import ModelSpec, TrainingSpec
from lingshu_core.denoiser import CONFIGURATIONS
from lingshu_core.errors import CheckpointError, UnreadableCells
from screening.evaluating.evaluation_plan import feature_files, fold_digest, prior_sources, read_evaluation

Plan = Callable[..., Any]


def ids(planned: Any) -> list[str]:
    return [unit.task.id for unit in planned.units]


def test_a_unit_is_a_contender_a_fold_and_a_seed(plan_evaluation: Plan) -> None:
    planned = plan_evaluation(seeds=[3, 5])
    found = [(unit.fold, unit.contender, unit.seed) for unit in planned.units]
    # What has no chance in it is asked once; quick ones come first, fold by fold.
    assert found[:5] == [
        ("fold 1", "replicate", 0),
        ("fold 1", "no_change", 0),
        ("fold 1", "additive", 0),
        ("fold 1", "tilted", 3),
        ("fold 1", "tilted", 5),
    ]
    assert len(found) == 10
    assert [contender.name for contender in planned.asked] == ["tilted", "no_change", "additive", "replicate"]


def test_names_of_units_hang_on_what_is_asked_and_not_on_where(plan_evaluation: Plan, tmp_path: Path) -> None:
    planned = ids(plan_evaluation())
    compute = {"backend": "ray", "replicas": 4, "threads": 2}
    moved = plan_evaluation(output=str(tmp_path / "elsewhere"), name="renamed", compute=compute, licence="CC0")
    assert ids(moved) == planned
    named = [{"name": "other", "training": {"epochs": 1, "warmup_steps": 5, "learning_rate": 0.002, "device": "cpu"}}]
    assert ids(plan_evaluation(models=named)) == planned


@pytest.mark.parametrize(
    ("changes", "kept"),
    [
        ({"seeds": [1]}, 6),
        ({"estimator": {"steps": 3, "shards": 2, "depth_strata": 4, "cells": 20}}, 2),
        ({"estimator": {"steps": 3, "guidance": 1.0, "shards": 2, "depth_strata": 4, "cells": 16}}, 6),
        ({"metrics": ["effects"]}, 0),
        ({"models": [{"name": "tilted", "training": {"epochs": 2}}]}, 6),
        ({"baselines": ["additive"]}, 6),
        ({"split": {"kind": "combination", "folds": 2, "minimum_cells": 16, "pool": ["donor"], "seed": 1}}, 0),
        ({"models": [{"name": "tilted", "estimator": {"prior": "published"}}]}, 0),
    ],
)
def test_what_changes_a_result_changes_its_name(plan_evaluation: Plan, changes: dict[str, Any], kept: int) -> None:
    assert len(set(ids(plan_evaluation())) & set(ids(plan_evaluation(**changes)))) == kept


def test_a_fold_is_named_by_its_cells(plan_evaluation: Plan) -> None:
    fold = plan_evaluation().split.folds[0]
    question = fold.questions[0]
    fewer = replace(question, controls=question.controls & (np.arange(len(question.controls)) % 2 == 0))
    digests = {
        fold_digest(fold),
        fold_digest(replace(fold, train=~fold.train)),
        fold_digest(replace(fold, questions=fold.questions[1:])),
        fold_digest(replace(fold, questions=(fewer, *fold.questions[1:]))),
        fold_digest(replace(fold, adaptation=fold.train)),
    }
    assert len(digests) == 5
    assert fold_digest(replace(fold, name="another")) == fold_digest(fold)


def test_features_count_with_the_content_of_their_files(plan_evaluation: Plan, tmp_path: Path) -> None:
    file = tmp_path / "sets.gmt"
    features = {"genetic": [{"kind": "gene_sets", "file": str(file), "smallest": 2}]}
    file.write_text("A\t\tREG04\tREG05\n")
    first = plan_evaluation(features=features)
    file.write_text("A\t\tREG04\tREG05\tREG08\n")
    second = plan_evaluation(features=features)
    # All but the half of the real cells; baselines that use no features count as changed too: a little is wasted.
    assert len(set(ids(first)) & set(ids(second))) == 2
    assert feature_files(None) == {}
    file.unlink()
    with pytest.raises(UnreadableCells, match=r"sets\.gmt: can't be read"):
        plan_evaluation(features=features)


def test_priors_of_one_contender_leave_genes_out_for_all(plan_evaluation: Plan, tiny: Path) -> None:
    assert prior_sources(plan_evaluation().evaluation) == []
    own = {"estimator": {"prior": "published"}}
    models = [{"name": "a", **own}, {"name": "b", "checkpoint": str(tiny / "model"), **own}]
    planned = plan_evaluation(models=models)
    assert prior_sources(planned.evaluation) == sorted([str(tiny / "model"), "train"])
    assert json.loads(planned.unit("no_change").task.payload)["prefilled"] == sorted([str(tiny / "model"), "train"])


def test_the_command_line_stands_in_for_the_file(write_evaluation: Callable[..., Path]) -> None:
    spec = read_evaluation(write_evaluation(), {"output": "there", "replicas": 2, "backend": "ray"}).spec
    assert (spec.output, spec.compute.replicas, spec.compute.backend) == ("there", 2, "ray")
    with pytest.raises(SpecError, match=r"command line \(--replicas\): compute.replicas"):
        read_evaluation(write_evaluation(), {"replicas": 2})


def test_an_ensemble_is_listed_member_by_member(write_evaluation: Callable[..., Path], tiny_ensemble: Path) -> None:
    said = rf"models\[0\]\.checkpoint: {tiny_ensemble} is an ensemble; list its members, such as .*/member-0"
    with pytest.raises(EnsembleError, match=said):
        read_evaluation(write_evaluation(models=[{"name": "many", "checkpoint": str(tiny_ensemble)}]))


def test_a_checkpoint_has_to_be_there(write_evaluation: Callable[..., Path], tmp_path: Path) -> None:
    with pytest.raises(CheckpointError, match="nowhere"):
        read_evaluation(write_evaluation(models=[{"name": "ready", "checkpoint": str(tmp_path / "nowhere")}]))


def test_a_configuration_that_means_something_else_is_another_model(
    plan_evaluation: Plan, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = plan_evaluation()
    changed = {**CONFIGURATIONS, "direct": replace(CONFIGURATIONS["direct"], condition_rank=7)}
    monkeypatch.setattr("lingshu_core.denoiser.CONFIGURATIONS", changed)
    kept = set(ids(before)) & set(ids(plan_evaluation()))
    assert len(kept) == 6  # all but the model's


def test_defaults_of_the_network_and_the_sampler_are_not_those_of_a_baseline(
    plan_evaluation: Plan, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = plan_evaluation(baselines=["additive", "scvi"])
    as_of_tomorrow = {**ModelSpec().as_data(), "configuration": "small", "a_new_field": 3}
    monkeypatch.setattr(ModelSpec, "as_data", lambda self: {**as_of_tomorrow, "kind": self.kind})
    of_training = {**TrainingSpec().as_data(), "weight_decay": 0.5, "a_new_field": 3}
    monkeypatch.setattr(TrainingSpec, "as_data", lambda self: of_training)
    monkeypatch.setattr("screening.evaluating.evaluation_plan.SAMPLER_VERSION", 99)
    monkeypatch.setattr("screening.evaluating.evaluation_plan.TRAINING_VERSION", 99)
    after = plan_evaluation(baselines=["additive", "scvi"])
    assert {unit.contender for unit in after.units if unit.task.id in ids(before)} == {"additive", "scvi", "replicate"}
    monkeypatch.setattr("screening.evaluating.evaluation_plan.BASELINE_VERSION", 99)
    third = plan_evaluation(baselines=["additive", "scvi"])
    assert {unit.contender for unit in third.units if unit.task.id in ids(after)} == {"replicate"}
