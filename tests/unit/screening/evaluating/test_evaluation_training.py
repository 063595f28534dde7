import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from lingshu_core.checkpoint import load_header
from screening.errors import LeakError
from screening.evaluating.evaluation_training import Place, Trained, prefilled_genes, train_on_fold

Plan = Callable[..., Any]


@pytest.fixture
def train(tmp_path: Path) -> Callable[..., Trained]:
    """Train a contender of a planned evaluation on its first fold: `train(planned, "additive")`."""

    def run(planned: Any, name: str) -> Trained:
        request, fold = json.loads(planned.unit(name).task.payload), planned.split.folds[0]
        data = planned.evaluation.spec.data
        place = Place(str(tmp_path / "models"), licence="CC0")
        return train_on_fold(request["source"], name, 4, fold, data, planned.cells, place)

    return run


Train = Callable[..., Trained]


def test_a_model_learns_from_its_fold_and_nothing_else(plan_evaluation: Plan, train: Train, tmp_path: Path) -> None:
    planned = plan_evaluation()
    fold = planned.split.folds[0]
    trained = train(planned, "tilted")
    card = trained.predictor.header.card
    assert card["cells"] == fold.train.sum()
    assert card["data_digest"] == planned.cells.select(fold.train).digest()
    assert card["training"]["seed"] == 4
    assert card["licence"] == "CC0"
    assert trained.facts == {
        "paths": card["paths"],
        "parameters": card["parameters"],
        "epochs": 1,
        "digest": trained.predictor.header.digest,
    }
    (folder,) = (tmp_path / "models" / "tilted").glob("fold-1-*/seed-4")
    assert load_header(str(folder)).digest == trained.predictor.header.digest
    for question in fold.questions:
        contexts = [c for c in trained.predictor.vocabulary.contexts if question.context.items() <= c.factors.items()]
        assert not any(question.perturbation in context.perturbed_cells for context in contexts)


def test_a_column_that_only_the_split_uses_is_no_matter_of_the_training(
    plan_evaluation: Plan, train: Train, tiny: Path
) -> None:
    columns = {name: name for name in ("perturbation", "perturbation_type", "dose", "cell_type", "donor")}
    data = {"path": str(tiny / "cells.h5ad"), "columns": {**columns, "plate": "donor"}, "context": ["cell_type"]}
    split = {"kind": "replicate", "column": "plate", "minimum_cells": 8}
    planned = plan_evaluation(data=data, split=split)
    trained = train(planned, "additive").predictor
    assert list(trained.vocabulary.factors) == ["cell_type"]
    assert trained.header.card["cells"] == planned.split.folds[0].train.sum()


def test_a_baseline_is_fitted_and_is_exact(plan_evaluation: Plan, train: Train) -> None:
    trained = train(plan_evaluation(), "additive")
    assert trained.is_baseline
    assert trained.injection is None
    assert trained.facts["paths"] == "additive"
    assert trained.facts["parameters"] is None


def test_what_is_there_is_opened(plan_evaluation: Plan, train: Train, monkeypatch: pytest.MonkeyPatch) -> None:
    planned = plan_evaluation()
    first = train(planned, "tilted")
    monkeypatch.setattr("screening.evaluating.evaluation_training.finish", lambda *_: pytest.fail("trained again"))
    assert train(planned, "tilted").facts == first.facts


def test_an_unseen_context_is_adapted_to_and_a_baseline_learns_it(plan_evaluation: Plan, train: Train) -> None:
    split = {"kind": "unseen_context", "minimum_cells": 16, "pool": ["donor"], "own_controls": "adapted"}
    planned = plan_evaluation(split=split)
    fold = planned.split.folds[0]
    value = fold.questions[0].context["cell_type"]
    model, baseline = train(planned, "tilted").predictor, train(planned, "additive").predictor
    assert [c.adapted for c in model.vocabulary.contexts if c.factors["cell_type"] == value] == [True, True]
    assert baseline.header.card["cells"] == fold.train.sum() + fold.adaptation.sum()
    assert model.header.card["cells"] == fold.train.sum()


def test_cells_that_are_asked_are_not_learnt_from(
    plan_evaluation: Plan, train: Train, monkeypatch: pytest.MonkeyPatch
) -> None:
    everything = np.ones_like(plan_evaluation().split.folds[0].train)
    monkeypatch.setattr("screening.evaluating.evaluation_training._learned", lambda spec, fold: everything)
    with pytest.raises(LeakError, match="additive"):
        train(plan_evaluation(), "additive")


def test_genes_that_a_prior_fills_in_are_known_before_training(plan_evaluation: Plan, tiny: Path) -> None:
    planned = plan_evaluation()
    fold = planned.split.folds[0]
    assert set(prefilled_genes([], planned.cells, fold).values()) == {()}
    found = prefilled_genes(["train", str(tiny / "model")], planned.cells, fold)
    genes = planned.cells.genes
    for question in fold.questions:
        targets = {name for name, _ in question.parts if name in genes and name.startswith("REG")}
        assert targets <= {genes[position] for position in found[question.label]}
    assert any(found.values())
