from collections.abc import Callable
from pathlib import Path

import pytest

from campaigns.errors import BudgetError, CampaignError, VocabularyError
from screening.planning.validation import validate_campaign

WriteScreen = Callable[..., Path]


def test_a_screen_is_checked_against_its_models_words(write_screen: WriteScreen) -> None:
    found = list(validate_campaign(write_screen()))
    assert found[0].endswith("screen.yaml: a valid `kind: screen` file, named 'tiny'")
    assert found[1] == "24 conditions, 2 of them controls"
    assert found[2] == "support: all 24 conditions in_vocabulary"
    assert "gene set SIMULATED_PROGRAM: 8 of its 8 genes are among the model's 40" in found


def test_a_training_is_checked_by_itself(write_train: Callable[..., Path]) -> None:
    (found,) = validate_campaign(write_train())
    assert "a valid `kind: train` file" in found


def test_an_evaluation_says_who_is_judged_and_beside_whom(
    write_evaluation: Callable[..., Path], tiny: Path, tmp_path: Path
) -> None:
    models = [{"name": "a"}, {"name": "b", "checkpoint": str(tiny / "model")}]
    found = list(validate_campaign(write_evaluation(models=models, baselines="all", seeds=[0, 1])))
    assert "a valid `kind: evaluate` file" in found[0]
    assert found[1].startswith("judges a, b beside no_change, perturbation_mean, context_mean, additive")
    assert found[2] == "split combination, seeds 0, 1, metrics effects, uncertainty"
    assert len(found) == 4
    models[1]["checkpoint"] = str(tmp_path / "none")
    assert f"no model in {tmp_path}/none yet (train it first)" in list(
        validate_campaign(write_evaluation(models=models))
    )


def test_without_a_model_names_stay_unchecked_and_that_is_said(write_screen: WriteScreen, tmp_path: Path) -> None:
    found = list(validate_campaign(write_screen(model=str(tmp_path / "none"), perturbations={"genetic": ["NOPE"]})))
    assert len(found) == 2
    assert "are unchecked (train it first)" in found[1]


def test_all_unknown_names_are_told_at_once(write_screen: WriteScreen) -> None:
    path = write_screen(
        perturbations={"genetic": ["REG40"], "drug": ["DRUG99"]}, objective={"kind": "signature", "up": ["GENE1O"]}
    )
    with pytest.raises(VocabularyError) as raised:
        list(validate_campaign(path))
    assert [problem.field for problem in raised.value.problems] == [
        "perturbations.genetic[0]",
        "perturbations.drug[0]",
        "objective.up[0]",
    ]
    assert all(problem.line for problem in raised.value.problems)


def test_the_budget_is_checked_too(write_screen: WriteScreen) -> None:
    with pytest.raises(BudgetError):
        list(validate_campaign(write_screen(budget={"cells": 100})))


def test_a_file_of_no_kind_is_refused(tmp_path: Path) -> None:
    (tmp_path / "x.yaml").write_text("kind: dance\n")
    with pytest.raises(CampaignError, match="unknown kind 'dance'"):
        list(validate_campaign(tmp_path / "x.yaml"))
