"""Do intervals hold what they promise: how many real effects lie in them, with an interval of that share itself.

Every group counts the same, and groups are what is resampled: thousands of genes of one condition are one observation
of how well the model knows conditions.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from scipy import stats

from lingshu_core.errors import CalibrationError
from lingshu_core.uncertainty import Conformal, Prediction, Rule, fit_conformal

Array = npt.NDArray[np.float64]

LEVELS = (0.1, 0.25, 0.5, 0.75, 0.9, 0.95)
MOST_FOLDS = 10
RESAMPLES = 2_000
CONFIDENCE = 0.95


@dataclass(frozen=True)
class Coverage:
    """The share of real effects inside their intervals.

    Attributes
    ----------
    level
        What was asked for.
    value
        Mean over groups of the share inside.
    low, high
        95 % interval of ``value``: cluster bootstrap over groups, widened for few of them; NaN for a single one.
    groups
        How many groups there were.
    width
        Mean width of the intervals over groups, log1p counts per 10k.
    """

    level: float
    value: float
    low: float
    high: float
    groups: int
    width: float


def coverage(conformal: Conformal, predictions: Sequence[Prediction], level: float, *, seed: int = 0) -> Coverage:
    """Return how often intervals cover the real effects of other conditions.

    Parameters
    ----------
    conformal
        Calibrated on other groups.
    predictions
        Answered ones.
    level
        Of the intervals.
    seed
        Of the bootstrap.

    Raises
    ------
    CalibrationError
        If no prediction has an answer, or as in :meth:`Conformal.interval`.
    """
    return _summary(level, [_inside(conformal, each, level) for each in predictions], seed)


def cross_coverage(
    predictions: Sequence[Prediction], level: float, *, rule: Rule = "pooled", seed: int = 0
) -> Coverage:
    """Return the coverage where there is no calibration split: groups in up to ten folds, each calibrated on the rest.

    It tells how intervals do that are calibrated on all predictions but one fold; errors as in :func:`coverage` and
    :func:`lingshu_core.uncertainty.fit_conformal`.
    """
    return cross_table(predictions, (level,), rule=rule, seed=seed)[0]


def cross_table(
    predictions: Sequence[Prediction], levels: Iterable[float] = LEVELS, *, rule: Rule = "pooled", seed: int = 0
) -> list[Coverage]:
    """Return a row a level, as :func:`cross_coverage` does."""
    return paired_table(calibrated_apart(predictions, rule=rule), levels, seed=seed)


def calibrated_apart(
    predictions: Sequence[Prediction], *, rule: Rule = "pooled"
) -> list[tuple[Conformal, list[Prediction]]]:
    """Deal groups to up to ten folds and calibrate each on the rest; errors as in :func:`cross_coverage`."""
    groups = list(dict.fromkeys(each.group for each in predictions if each.counted.any()))
    fold_of = {group: place % MOST_FOLDS for place, group in enumerate(groups)}
    # Questions without an answer are in no fold.
    folds = [[each for each in predictions if fold_of.get(each.group) == fold] for fold in range(MOST_FOLDS)]
    return [
        (fit_conformal([each for other in folds if other is not fold for each in other], rule=rule), fold)
        for fold in folds
        if fold
    ]


def paired_table(
    pairs: Sequence[tuple[Conformal, Sequence[Prediction]]], levels: Iterable[float] = LEVELS, *, seed: int = 0
) -> list[Coverage]:
    """Return a row a level, where predictions have calibrations of their own, such as one a fold of a split."""
    return [
        _summary(level, [_inside(conformal, each, level) for conformal, asked in pairs for each in asked], seed)
        for level in levels
    ]


def calibration_table(
    conformal: Conformal, predictions: Sequence[Prediction], levels: Iterable[float] = LEVELS, *, seed: int = 0
) -> list[Coverage]:
    """Return a row a level: promised and observed coverage, and the width; errors as in :func:`coverage`."""
    return [coverage(conformal, predictions, level, seed=seed) for level in levels]


def stratum_coverage(conformal: Conformal, predictions: Sequence[Prediction], level: float) -> list[tuple[int, float]]:
    """Return number and covered share of the values of each stratum of expected error, smallest errors first.

    Good coverage of all values can hide poor coverage of the few that matter. Values count the same here.
    """
    inside: list[list[npt.NDArray[np.bool_]]] = [[] for _ in range(len(conformal.edges) + 1)]
    for each in predictions:
        covered = conformal.interval(each, level).covers(each.real)
        stratum = conformal.stratum(each)
        for number, found in enumerate(inside):
            found.append(covered[each.counted & (stratum == number)])
    joined = [np.concatenate(found) if found else np.empty(0, dtype=bool) for found in inside]
    return [(len(found), float(found.mean()) if len(found) else float("nan")) for found in joined]


@dataclass(frozen=True)
class _Inside:
    """What one prediction adds to its group: values, those inside, and the sum of their widths."""

    group: str
    values: int
    inside: int
    width: float


def _inside(conformal: Conformal, prediction: Prediction, level: float) -> _Inside:
    interval, counted = conformal.interval(prediction, level), prediction.counted
    inside = int(interval.covers(prediction.real)[counted].sum())
    return _Inside(prediction.group, int(counted.sum()), inside, float(interval.width[counted].sum()))


def _summary(level: float, found: Sequence[_Inside], seed: int) -> Coverage:
    groups: dict[str, list[_Inside]] = {}
    for each in found:
        if each.values:
            groups.setdefault(each.group, []).append(each)
    if not groups:
        raise CalibrationError("coverage needs predictions with an answer, and none has one")
    values = np.array([sum(each.values for each in group) for group in groups.values()])
    shares = np.array([sum(each.inside for each in group) for group in groups.values()]) / values
    widths = np.array([sum(each.width for each in group) for group in groups.values()]) / values
    low, high = bootstrap_interval(shares, seed)
    return Coverage(level, float(shares.mean()), low, high, len(groups), float(widths.mean()))


def bootstrap_interval(values: Array, seed: int = 0) -> tuple[float, float]:
    """Return the 95 % interval of the mean of some groups' values, (groups,); NaN for a single group.

    A percentile bootstrap, its percentiles moved outward so that a few groups give as wide an interval as Student's t
    would (the expanded percentile interval; Hesterberg 2015, doi:10.1080/00031305.2015.1089789).
    """
    count = len(values)
    if count < 2:
        return float("nan"), float("nan")
    drawn = np.random.default_rng(seed).integers(count, size=(RESAMPLES, count))
    low, high = np.quantile(values[drawn].mean(axis=1), tails(count))
    return float(low), float(high)


def tails(count: int) -> tuple[float, float]:
    """Return the percentiles of a 95 % bootstrap interval, moved outward for few groups; at least two are needed."""
    tail = float(stats.norm.cdf(stats.t.ppf((1 - CONFIDENCE) / 2, count - 1) * np.sqrt(count / (count - 1))))
    return tail, 1 - tail
