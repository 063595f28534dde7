"""Error against abstention: if the least certain predictions are left unanswered, how wrong are the others?

An uncertainty is worth something if the error of what is answered falls faster than it does at random. Beside the curve
stand random abstention, which changes nothing but by luck, and an oracle that knows the errors. Errors are against
measured effects, so a part of them is noise of the real cells, which a good uncertainty may foresee and no model can
mend: compare uncertainties with one another, with the size of the effect first of all.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal, Self

import numpy as np
import numpy.typing as npt

from lingshu_core.errors import CalibrationError
from lingshu_core.interval_coverage import tails
from lingshu_core.uncertainty import Prediction

Array = npt.NDArray[np.float64]
Unit = Literal["gene", "condition"]

ANSWERED = tuple(np.round(np.arange(1.0, 0.0, -0.05), 2).tolist())
"""Shares that are answered: all, then less and less."""
RANDOM_ORDERS = 200
RESAMPLES = 400


@dataclass(frozen=True)
class AbstentionCurve:
    """Mean absolute error of what is answered, log1p counts per 10k.

    Attributes
    ----------
    answered
        Shares that are answered, (points,), falling from 1.
    error
        Error of the most certain part, (points,).
    random, random_low, random_high
        Error of a random part: median and 90 % band over random orders, (points,).
    oracle
        Error of the part with the smallest errors, (points,).
    area, random_area, oracle_area
        Means of the curves over ``answered``.
    gain
        (random − area) / (random − oracle): 1 as good as knowing the errors, 0 no better than chance, below 0 worse.
    gain_low, gain_high
        95 % interval of ``gain``, groups bootstrapped; NaN for a single group.
    """

    answered: Array
    error: Array
    random: Array
    random_low: Array
    random_high: Array
    oracle: Array
    area: float
    random_area: float
    oracle_area: float
    gain: float
    gain_low: float
    gain_high: float


def abstention_curve(
    predictions: Sequence[Prediction], uncertainty: Sequence[Array], unit: Unit = "gene", *, seed: int = 0
) -> AbstentionCurve:
    """Return how the error falls as the least certain predictions are left unanswered.

    Parameters
    ----------
    predictions
        Answered ones.
    uncertainty
        Of each prediction, (genes,), larger is less certain: ``Conformal.model_error``, half widths, spreads, sizes.
    unit
        What is left unanswered: single genes, or whole conditions, by their mean uncertainty.
    seed
        Of random orders and bootstrap.

    Raises
    ------
    CalibrationError
        If there is not one uncertainty a prediction, or fewer than two values are answered.
    """
    values = _values(predictions, uncertainty, unit)
    if len(values.error) < 2:
        raise CalibrationError(f"a curve needs at least two answered {unit}s; there are {len(values.error)}")
    rng = np.random.default_rng(seed)
    ones = np.ones(values.groups)
    error, oracle = _Ranked.by(values.uncertainty, values), _Ranked.by(values.error, values)
    orders = [_Ranked.by(rng.random(len(values.error)), values).curve(ones) for _ in range(RANDOM_ORDERS)]
    middle, lower, upper = np.quantile(orders, (0.5, 0.05, 0.95), axis=0)
    curve, best, flat = error.curve(ones), oracle.curve(ones), error.mean(ones)
    low, high = _gain_interval(error, oracle, values.groups, rng)
    return AbstentionCurve(
        answered=np.array(ANSWERED),
        error=curve,
        random=middle,
        random_low=lower,
        random_high=upper,
        oracle=best,
        area=float(curve.mean()),
        random_area=flat,
        oracle_area=float(best.mean()),
        gain=_gain(error, oracle, ones),
        gain_low=low,
        gain_high=high,
    )


@dataclass(frozen=True)
class _Values:
    """Errors and uncertainties of all units, each (units,), and the number of groups."""

    error: Array
    uncertainty: Array
    weight: Array
    group: npt.NDArray[np.intp]
    groups: int


def _values(predictions: Sequence[Prediction], uncertainty: Sequence[Array], unit: Unit) -> _Values:
    if len(predictions) != len(uncertainty):
        raise CalibrationError(
            f"{len(predictions)} predictions have {len(uncertainty)} uncertainties; one each is needed"
        )
    errors, sizes, groups = [], [], []
    for each, size in zip(predictions, uncertainty, strict=True):
        if np.shape(size) != each.effect.shape:
            text = f"has shape {np.shape(size)}, and its effect {each.effect.shape}"
            raise CalibrationError(f"the uncertainty of {each.label} {text}")
        counted = each.counted
        if counted.any():
            error = np.abs(each.real - each.effect)[counted]
            errors.append(error if unit == "gene" else error.mean(keepdims=True))
            sizes.append(size[counted] if unit == "gene" else size[counted].mean(keepdims=True))
            groups.append(each.group)
    if not errors:
        raise CalibrationError("a curve needs predictions with an answer, and none has one")
    names = list(dict.fromkeys(groups))
    group = np.concatenate([np.full(len(e), names.index(name)) for e, name in zip(errors, groups, strict=True)])
    weight = 1.0 / np.bincount(group)[group]
    return _Values(np.concatenate(errors), np.concatenate(sizes), weight, group, len(names))


@dataclass(frozen=True)
class _Ranked:
    """Units in the order of a score, equal ones in one block: their order among themselves is nobody's knowledge."""

    error: Array
    weight: Array
    group: npt.NDArray[np.intp]
    last: npt.NDArray[np.intp]
    """Where each block ends, (blocks,)."""

    @classmethod
    def by(cls, score: Array, values: _Values) -> Self:
        """Sort the units, smallest score first."""
        order = np.argsort(score, kind="stable")
        ends = np.flatnonzero(np.append(np.diff(score[order]) > 0, True))
        return cls(values.error[order], values.weight[order], values.group[order], ends)

    def curve(self, times: Array) -> Array:
        """Return the mean error of the first units, (points,), every group counted so many times, (groups,)."""
        weight = self.weight * times[self.group]
        reached = np.append(0.0, np.cumsum(weight)[self.last])
        summed = np.append(0.0, np.cumsum(weight * self.error)[self.last])
        wanted = np.array(ANSWERED) * reached[-1]
        return np.asarray(np.interp(wanted, reached, summed) / wanted)

    def mean(self, times: Array) -> float:
        """Return the mean error of all units."""
        return float(np.average(self.error, weights=self.weight * times[self.group]))


def _gain(error: _Ranked, oracle: _Ranked, times: Array) -> float:
    flat, area, best = error.mean(times), error.curve(times).mean(), oracle.curve(times).mean()
    return float((flat - area) / (flat - best)) if flat > best else 0.0


def _gain_interval(error: _Ranked, oracle: _Ranked, groups: int, rng: np.random.Generator) -> tuple[float, float]:
    if groups < 2:
        return float("nan"), float("nan")
    drawn = rng.integers(groups, size=(RESAMPLES, groups))
    gains = [_gain(error, oracle, np.bincount(one, minlength=groups).astype(float)) for one in drawn]
    low, high = np.quantile(gains, tails(groups))
    return float(low), float(high)
