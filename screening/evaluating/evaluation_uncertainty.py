"""Do the intervals of predicted effects hold what they promise, and is error lower where a model is more certain?

Intervals are calibrated on conditions that were held out beside the questions (``split.calibration``). Where a split
has none, the questions themselves are dealt to parts, each calibrated on the others: that tells how such intervals
would do, and needs no cell more.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence

import numpy as np
import polars as pl

from lingshu_core.abstention import abstention_curve
from lingshu_core.cells import Cells
from lingshu_core.effect_scores import Truth
from lingshu_core.errors import CalibrationError, UnusableCells
from lingshu_core.interval_coverage import calibrated_apart, paired_table
from lingshu_core.measured_effect import MeasuredEffect, measured_effect
from lingshu_core.splits import Question, Split
from lingshu_core.uncertainty import LEAST_GROUPS, Conformal, Prediction, fit_conformal
from screening.evaluating.evaluation_store import UnitResult
from screening.evaluating.evaluation_tables import Run

LEAST_VALUES = 3
LEVELS = (0.5, 0.75, 0.9, 0.95)
COVERAGE = {
    "model": pl.String,
    "rule": pl.String,
    "level": pl.Float64,
    "coverage": pl.Float64,
    "low": pl.Float64,
    "high": pl.Float64,
    "groups": pl.Int64,
    "width": pl.Float64,
    "reason": pl.String,
}
ABSTENTION = {
    "model": pl.String,
    **dict.fromkeys(("share", "error", "random", "oracle", "gain", "gain_low", "gain_high"), pl.Float64),
}
Pairs = list[tuple[Conformal, list[Prediction]]]
OfFolds = Mapping[str, Sequence[Prediction]]


class Measurements:
    """Measured effects of all questions of a split, each measured once for all models."""

    def __init__(self, cells: Cells, split: Split, truths: Mapping[str, Truth], by_perturbation: bool) -> None:
        self._cells = cells
        self._group = group_by(split, by_perturbation)
        self.folds = {fold.name: fold for fold in split.folds}
        self._truths = truths
        self._known: dict[tuple[str, str], MeasuredEffect | None] = {}

    def prediction(self, fold: str, question: Question, results: Sequence[UnitResult]) -> Prediction | None:
        """Put what a model says with all its seeds beside what was measured; None where one of the two is missing."""
        measured = self._measured(fold, question)
        answers = [result for result in results if question.label in result.labels]
        if measured is None or not answers:
            return None
        effects = np.stack([result.effect(question.label) for result in answers])  # (seeds, genes)
        errors = np.stack([result.error(question.label) for result in answers])
        found = Prediction(
            label=question.label,
            group=self._group(question),
            effect=effects.mean(axis=0),
            real=measured.effect,
            real_se=measured.standard_error,
            spread=effects.std(axis=0, ddof=1) if len(effects) > 1 else None,
            mc_se=np.sqrt(np.square(errors).sum(axis=0)) / len(errors),
            expression=measured.expression,
        )
        return found.without(np.flatnonzero(~self._truths[fold].used(question)))

    def _measured(self, fold: str, question: Question) -> MeasuredEffect | None:
        key = (fold, question.label)
        if key not in self._known:
            try:
                self._known[key] = measured_effect(self._cells, question.perturbed, question.controls)
            except UnusableCells:  # no cells of equal depth on both sides: nothing to be right about
                self._known[key] = None
        return self._known[key]


def group_by(split: Split, by_perturbation: bool) -> Callable[[Question], str]:
    """Return how to name what was held out as one: a perturbation, else a value of the split's factor, else a question.

    Errors of one perturbation in two contexts go together, and so do those in the donors of one cell type.
    """
    if by_perturbation:
        return lambda question: question.perturbation
    factor = str(split.options.get("factor", ""))
    values = {question.context.get(factor) for fold in split.folds for question in fold.questions}
    if None in values or len(values) < LEAST_VALUES:
        return lambda question: question.label
    return lambda question: question.context[factor]


def coverage_tables(runs: Iterable[Run], measurements: Measurements) -> tuple[pl.DataFrame, pl.DataFrame]:
    """Return coverage and error against abstention, of every model.

    A model of which nothing can be said has a row without values and with the reason.
    """
    of_models: dict[str, dict[str, list[UnitResult]]] = {}
    for run in runs:
        if run.contender.role == "model" and run.result is not None:
            of_models.setdefault(run.contender.name, {}).setdefault(run.unit.fold, []).append(run.result)
    rows: list[dict[str, object]] = []
    curves: list[dict[str, object]] = []
    for name, results in of_models.items():
        try:
            rule, pairs = _calibrated(results, measurements)
            rows += _coverage_rows(name, rule, pairs)
            curves += _abstention_rows(name, pairs)
        except CalibrationError as error:
            rows.append({"model": name, "reason": str(error)})
    return pl.DataFrame(rows, schema=COVERAGE), pl.DataFrame(curves, schema=ABSTENTION)


def _calibrated(results: Mapping[str, Sequence[UnitResult]], measurements: Measurements) -> tuple[str, Pairs]:
    asked: dict[str, list[Prediction]] = {}
    held: dict[str, list[Prediction]] = {}
    for fold, found in results.items():
        questions = measurements.folds[fold]
        asked[fold] = list(_predictions(fold, questions.questions, found, measurements))
        held[fold] = list(_predictions(fold, questions.calibration, found, measurements))
    if all(len({each.group for each in held[fold]}) >= LEAST_GROUPS for fold in asked if asked[fold]):
        return "calibration split", [(fit_conformal(held[fold]), asked[fold]) for fold in asked if asked[fold]]
    return "the other questions", calibrated_apart([each for fold in asked.values() for each in fold])


def _predictions(
    fold: str, questions: Iterable[Question], results: Sequence[UnitResult], measurements: Measurements
) -> Iterator[Prediction]:
    for question in questions:
        found = measurements.prediction(fold, question, results)
        if found is not None and found.counted.any():
            yield found


def _coverage_rows(name: str, rule: str, pairs: Pairs) -> Iterator[dict[str, object]]:
    for row in paired_table(pairs, LEVELS):
        yield {
            "model": name,
            "rule": rule,
            "level": row.level,
            "coverage": row.value,
            "low": row.low,
            "high": row.high,
            "groups": row.groups,
            "width": row.width,
            "reason": "",
        }


def _abstention_rows(name: str, pairs: Pairs) -> Iterator[dict[str, object]]:
    predictions = [each for _, asked in pairs for each in asked]
    uncertainty = [conformal.model_error(each) for conformal, asked in pairs for each in asked]
    curve = abstention_curve(predictions, uncertainty)
    for share, error, random, oracle in zip(curve.answered, curve.error, curve.random, curve.oracle, strict=True):
        gain = {"gain": curve.gain, "gain_low": curve.gain_low, "gain_high": curve.gain_high}
        yield {"model": name, "share": share, "error": error, "random": random, "oracle": oracle, **gain}
