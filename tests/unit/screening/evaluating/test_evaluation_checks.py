from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from campaigns.errors import VocabularyError
from lingshu_core.errors import ConfigurationError, FeatureError, UnusableCells
from screening.errors import LeakError
from screening.evaluating.evaluation_checks import check_evaluation, look_for_leaks
from screening.evaluating.evaluation_plan import read_evaluation

Write = Callable[..., Path]


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        (
            {"metrics": ["cell_eval2"]},
            r"cell_eval2 needs a package that isn't installed: pip install 'lingshu-screen\[ev",
        ),
        ({"baselines": ["scvi"]}, r"pip install 'lingshu-screen\[scvi\]'"),
        ({"models": [{"name": "m", "model": {"kind": "scvi"}}]}, r"pip install 'lingshu-screen\[scvi\]'"),
    ],
)
def test_a_missing_package_is_told_first(
    write_evaluation: Write, monkeypatch: pytest.MonkeyPatch, changes: dict[str, Any], said: str
) -> None:
    monkeypatch.setattr("screening.evaluating.evaluation_checks.find_spec", lambda name: None)
    with pytest.raises(ConfigurationError, match=said):
        check_evaluation(read_evaluation(write_evaluation(**changes)))


def test_no_package_is_asked_for_that_is_not_needed(write_evaluation: Write, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("screening.evaluating.evaluation_checks.find_spec", lambda name: pytest.fail(name))
    check_evaluation(read_evaluation(write_evaluation()))


def test_settings_are_checked_before_cells_are_read(write_evaluation: Write) -> None:
    models = [{"name": "m", "model": {"overrides": {"condition_rang": 3}}}]
    with pytest.raises(ConfigurationError, match="condition_rang"):
        check_evaluation(read_evaluation(write_evaluation(models=models, data={"path": "no", "columns": COLUMNS})))
    features = {"genetic": [{"kind": "gene_sets", "file": "nowhere.gmt"}]}
    with pytest.raises(FeatureError, match=r"nowhere\.gmt"):
        check_evaluation(read_evaluation(write_evaluation(models=[{"name": "m", "features": features}])))


COLUMNS = {"perturbation": "perturbation", "cell_type": "cell_type", "donor": "donor"}


def test_a_prior_needs_a_model_that_has_one(write_evaluation: Write, tiny: Path) -> None:
    models = [{"name": "old", "checkpoint": str(tiny / "model"), "estimator": {"prior": "published"}}]
    evaluation = read_evaluation(write_evaluation(models=models))
    check_evaluation(evaluation)
    old = replace(evaluation, checkpoints={"old": replace(evaluation.checkpoints["old"], priors=None)})
    with pytest.raises(VocabularyError, match=r"evaluate\.yaml:\d+: models\[0\]: .* has no priors"):
        check_evaluation(old)


def test_a_model_of_other_genes_is_refused(plan_evaluation: Callable[..., Any], tiny: Path) -> None:
    planned = plan_evaluation(models=[{"name": "ready", "checkpoint": str(tiny / "model")}])
    fewer = replace(planned.cells, counts=planned.cells.counts[:, :-1], genes=planned.cells.genes[:-1])
    with pytest.raises(VocabularyError, match="the model has 40 genes and the cells have 39, 39 of them in common"):
        look_for_leaks(planned.evaluation, fewer, planned.split)


def test_a_split_that_asks_nothing_says_why(plan_evaluation: Callable[..., Any]) -> None:
    planned = plan_evaluation()
    empty = replace(planned.split, folds=(), notes=("8 conditions have fewer than 60 cells",))
    with pytest.raises(UnusableCells, match="asks nothing of these cells: 8 conditions have fewer"):
        look_for_leaks(planned.evaluation, planned.cells, empty)


def test_an_honest_evaluation_has_no_leak(plan_evaluation: Callable[..., Any]) -> None:
    planned = plan_evaluation()
    assert look_for_leaks(planned.evaluation, planned.cells, planned.split).leaks == ()


def test_a_model_that_was_trained_on_everything_leaks(plan_evaluation: Callable[..., Any], tiny: Path) -> None:
    planned = plan_evaluation(models=[{"name": "ready", "checkpoint": str(tiny / "model")}])
    with pytest.raises(LeakError, match="ready"):
        look_for_leaks(planned.evaluation, planned.cells, planned.split)
