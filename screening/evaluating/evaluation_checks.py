"""What is checked of an evaluation before anything is trained: settings, packages, and whether an answer leaks."""

from __future__ import annotations

from collections.abc import Iterator
from importlib.util import find_spec

from campaigns.errors import VocabularyError
from campaigns.evaluation_spec import CheckpointEntry, TrainedEntry
from campaigns.feature_spec import FeaturesSpec
from lingshu_core.cells import Cells
from lingshu_core.errors import ConfigurationError, UnusableCells
from lingshu_core.splits import Split
from lingshu_core.vocabulary import split_label
from screening.evaluating.evaluation_plan import Evaluation
from screening.evaluating.evaluation_training import Place, training_spec
from screening.evaluating.leak_checker import LeakReport, check_leaks
from screening.evaluating.splitting import relations_of
from screening.training.training_run import check_settings, training_config

PACKAGES = {"cell_eval": ("cell_eval", "evaluate"), "cell_eval2": ("cell_eval2", "evaluate")}
"""Group of metrics → module, and the extra that brings it."""
SCVI = ("scvi", "scvi")


def check_evaluation(evaluation: Evaluation) -> None:
    """Find mistakes that need no cell, before files are read and models are trained.

    Raises
    ------
    ConfigurationError
        If a package is missing, or a model has no such setting.
    VocabularyError
        If a prior is asked of a model that has none.
    """
    _check_packages(evaluation)
    problems = []
    for index, entry in enumerate(evaluation.spec.models):
        if isinstance(entry, TrainedEntry):
            content = {"model": entry.model, "training": entry.training, "features": entry.features}
            plain = {key: block.as_data() if block else None for key, block in content.items()}
            spec = training_spec(plain, entry.name, "unused", evaluation.spec.data, Place(""))
            check_settings(spec, training_config(spec, {"device": "cpu"}))
        elif isinstance(entry, CheckpointEntry):
            wanted = evaluation.spec.estimator_of(entry).prior != "none"
            if wanted and evaluation.checkpoints[entry.name].priors is None:
                where = evaluation.source.where(("models", index))
                problems.append(where.problem(f"{entry.checkpoint} has no priors; train it again, or set prior: none"))
    if problems:
        raise VocabularyError(problems)


def _check_packages(evaluation: Evaluation) -> None:
    needed: dict[str, tuple[str, str]] = {
        group: PACKAGES[group] for group in evaluation.spec.metrics if group in PACKAGES
    }
    kinds = {entry.model.kind for entry in evaluation.spec.models if isinstance(entry, TrainedEntry)}
    if "scvi" in {*evaluation.spec.chosen_baselines, *kinds}:
        needed["scvi"] = SCVI
    for what, (module, extra) in needed.items():
        if find_spec(module) is None:
            raise ConfigurationError(
                f"{what} needs a package that isn't installed: pip install 'lingshu-screen[{extra}]', or leave it out"
            )


def look_for_leaks(evaluation: Evaluation, cells: Cells, split: Split) -> LeakReport:
    """Look for answers in what models will learn from, or have learned from.

    Raises
    ------
    UnusableCells
        If the split asks nothing of these cells.
    VocabularyError
        If a model has other genes than the cells, or nobody could answer anything.
    LeakError
        If there is a leak.
    """
    _check_genes(evaluation, cells)
    if not any(fold.questions for fold in split.folds):
        why = "; ".join(split.notes) or "no condition is held out"
        raise UnusableCells(f"{cells.source}: the split asks nothing of these cells: {why}")
    _check_answerable(evaluation, cells, split)
    report = check_leaks(
        split,
        cells,
        relations=relations_of(evaluation.spec.split),
        features=dict(_features(evaluation)),
        checkpoints=evaluation.checkpoints,
    )
    report.fail()
    return report


def _check_genes(evaluation: Evaluation, cells: Cells) -> None:
    problems = []
    for index, entry in enumerate(evaluation.spec.models):
        if isinstance(entry, CheckpointEntry) and evaluation.checkpoints[entry.name].vocabulary.genes != cells.genes:
            genes = evaluation.checkpoints[entry.name].vocabulary.genes
            shared = len(set(genes) & set(cells.genes))
            problems.append(
                evaluation.source.where(("models", index, "checkpoint")).problem(
                    f"the model has {len(genes):,} genes and the cells have {len(cells.genes):,}, {shared:,} of them in"
                    " common; it has to be the same genes in the same order: choose the model's genes from the cells"
                )
            )
    if problems:
        raise VocabularyError(problems)


def _check_answerable(evaluation: Evaluation, cells: Cells, split: Split) -> None:
    """Refuse to train models of which none will have a word for anything that is asked."""
    spec = evaluation.spec
    if spec.features or any(not isinstance(entry, TrainedEntry) or entry.features for entry in spec.models):
        return
    labels = cells.obs["perturbation"].to_numpy()
    for fold in split.folds:
        known = {part for label in set(labels[fold.train]) for part in split_label(label)}
        if any(known.issuperset(name for name, _ in question.parts) for question in fold.questions):
            return
    problem = evaluation.source.where(("split",)).problem(
        "every question is about a perturbation that no training cell has, and nothing describes perturbations: no"
        " model could answer; give `features` (docs/features.md), or choose another split"
    )
    raise VocabularyError([problem])


def _features(evaluation: Evaluation) -> Iterator[tuple[str, FeaturesSpec]]:
    spec = evaluation.spec
    for entry in spec.models:
        features = (entry.features or spec.features) if isinstance(entry, TrainedEntry) else None
        if features is not None:
            yield entry.name, features
    if spec.features is not None:
        yield "baselines", spec.features
