"""Intervals around predicted effects, calibrated on answered predictions that training never saw.

A residual is divided by the size that it was expected to have (:mod:`lingshu_core.error_scale`), and the quantiles of
these normalised residuals over held-out conditions set the width: split-conformal prediction with a normalised score
(Lei et al. 2018, arXiv 1604.04173), in three strata of expected size, so that large and small effects are each covered.

Genes of one condition are wrong together, so what is exchangeable is the *group*: the perturbation or the context that
was held out, never the gene. Two rules make a quantile out of grouped residuals:

``pooled``
    Average the groups' distribution functions (CDF pooling; Dunn, Wasserman and Ramdas 2022, arXiv 1809.07441). Near
    the level asked for, without a guarantee for a finite number of groups.
``hierarchical``
    The same with a mass of 1 / (groups + 1) at infinity (Lee, Barber and Willett 2023, arXiv 2306.06342): the share of
    a new group that is covered is at least the level on average, whatever the distribution. It is infinite where there
    are too few groups, 9 of them at 90 %. With one number a group it is plain split-conformal prediction.

What is covered is the effect that will be *measured*, with the sampling error ``real_se`` of so many real cells. With
an error of 0 the interval is one for the true effect. It is promised only if calibrated against true effects, which
only a simulation has; calibrated against measured ones, the known noise is taken out of the scale and the quantile is
kept, which is an assumption: too wide for genes, and for a few scores at times too narrow (docs/benchmarks.md).
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Literal, Self, get_args

import numpy as np
import numpy.typing as npt

from lingshu_core.error_scale import ErrorScale, Residuals, scale_terms
from lingshu_core.errors import CalibrationError
from lingshu_core.measured_effect import MeasuredEffect

Array = npt.NDArray[np.float64]
Mask = npt.NDArray[np.bool_]
Rule = Literal["pooled", "hierarchical"]

STRATA = (0.75, 0.95)
"""Strata of expected size end at these shares of all values: most genes do little, a few do much."""
STEPS = 200
"""Levels at which quantiles are kept; a level in between is rounded up."""
LEAST_GROUPS = 2
FEW_GROUPS = 20
_LEAST_IN_STRATUM = 50
_FORMAT = 1


@dataclass(frozen=True)
class Prediction:
    """The predicted effects of one condition, and what real cells say where they were asked.

    A score of a condition is a prediction with one value.

    Attributes
    ----------
    label
        The condition, for humans.
    group
        What was held out as one: the perturbation, or the context. Predictions of a group count as one.
    effect
        Predicted effects, (genes,), log1p counts per 10k.
    real
        Real effects, (genes,); NaN for genes that are left out (own targets) and where nothing was measured.
    real_se
        Sampling error that ``real`` has or will have, (genes,), anticipated rather than estimated from the same cells
        (:mod:`lingshu_core.measured_effect`); 0: ``real`` is the true effect.
    spread
        Standard deviation between the members of an ensemble, (genes,); None for a single model.
    mc_se
        Monte Carlo standard error of ``effect``, (genes,) or one for all.
    expression
        Mean of the control cells, (genes,), log1p counts per 10k; None where it isn't known.

    Raises
    ------
    CalibrationError
        If lengths differ, or an error is negative.
    """

    label: str
    group: str
    effect: Array
    real: Array
    real_se: Array
    spread: Array | None = None
    mc_se: Array | float = 0.0
    expression: Array | None = None

    def __post_init__(self) -> None:
        """Check what would be broadcast or squared in silence."""
        for name in ("real", "real_se", "spread", "mc_se", "expression"):
            value = getattr(self, name)
            allowed = (self.effect.shape, ()) if name == "mc_se" else (self.effect.shape,)
            if value is not None and np.shape(value) not in allowed:
                text = f"{name} has shape {np.shape(value)} and effect {self.effect.shape}; one value a gene is needed"
                raise CalibrationError(f"prediction of {self.label}: {text}")
            if name in ("real_se", "spread", "mc_se") and value is not None and np.any(np.asarray(value) < 0):
                raise CalibrationError(
                    f"prediction of {self.label}: {name} has negative values; it is a size of errors"
                )

    @classmethod
    def of_shards(cls, label: str, group: str, shards: Array, measured: MeasuredEffect) -> Self:
        """Combine paired differences of one model or of the members of an ensemble, (members, shards, genes)."""
        by_member = shards.mean(axis=1)
        paired = shards.mean(axis=0)  # members share their random numbers, so a shard of all of them is one replicate
        return cls(
            label=label,
            group=group,
            effect=by_member.mean(axis=0),
            real=measured.effect,
            real_se=measured.standard_error,
            spread=by_member.std(axis=0, ddof=1) if len(shards) > 1 else None,
            mc_se=paired.std(axis=0, ddof=1) / math.sqrt(len(paired)) if len(paired) > 1 else 0.0,
            expression=measured.expression,
        )

    @property
    def counted(self) -> Mask:
        """Which values are answered and not left out, (genes,)."""
        return np.isfinite(self.effect) & np.isfinite(self.real) & np.isfinite(self.real_se)

    @property
    def known_variance(self) -> Array:
        """Variance of ``real − effect`` that isn't the model's fault: sampling and Monte Carlo, (genes,)."""
        return np.square(self.real_se) + np.square(self.mc_se)

    def of_truth(self, true: Array | None = None) -> Prediction:
        """Ask for the true effect: a sampling error of 0, and the ``true`` effects as the answer where given."""
        return replace(self, real=self.real if true is None else true, real_se=np.zeros_like(self.real_se))

    def without(self, genes: npt.NDArray[np.integer] | Sequence[int]) -> Prediction:
        """Leave genes out, by position: own targets, pre-filled ones."""
        real = self.real.copy()
        real[np.asarray(genes, dtype=np.int64)] = np.nan
        return replace(self, real=real)


@dataclass(frozen=True)
class Interval:
    """An interval for every gene of a condition, each (genes,), log1p counts per 10k."""

    low: Array
    high: Array

    @property
    def width(self) -> Array:
        """High less low, (genes,)."""
        return self.high - self.low

    def covers(self, real: Array) -> Mask:
        """Tell which real effects are inside, (genes,)."""
        return (self.low <= real) & (real <= self.high)


@dataclass(frozen=True)
class Conformal:
    """Widths of intervals, from answered predictions.

    Attributes
    ----------
    scale
        The size of error to expect.
    names
        Terms of the scale that predictions have to have.
    edges
        Upper ends of the strata but the last, variance of the model's error, (strata − 1,).
    quantiles
        Normalised residuals at the levels 0, 1 / STEPS, …, 1, (strata, STEPS + 1).
    groups
        Groups behind the quantiles.
    rule
        How they were pooled.
    split
        Whether the scale comes from other predictions than the quantiles, as split-conformal prediction has it.
    """

    scale: ErrorScale
    names: tuple[str, ...]
    edges: Array
    quantiles: Array
    groups: int
    rule: Rule
    split: bool

    def interval(self, prediction: Prediction, level: float) -> Interval:
        """Return the interval of every gene's effect as it will be measured with the error ``real_se``.

        ``real`` isn't looked at. The interval is NaN where ``real_se`` is, and infinite where the rule is hierarchical
        and the groups are too few.

        Raises
        ------
        CalibrationError
            If the level isn't between 0 and 1, or the prediction lacks what the scale is made of.
        """
        half = self.half_width(prediction, level)
        return Interval(prediction.effect - half, prediction.effect + half)

    def half_width(self, prediction: Prediction, level: float) -> Array:
        """Return half the width of the interval, (genes,); errors as in :meth:`interval`."""
        column = self._column(level)
        variance = self._model_variance(prediction)
        if column > STEPS:
            return np.full_like(variance, np.inf)
        quantile = self.quantiles[self.stratum(prediction), column]
        return np.asarray(quantile * np.sqrt(variance + prediction.known_variance))

    def model_error(self, prediction: Prediction) -> Array:
        """Return the error that the model is expected to make, noise of real cells left out, (genes,).

        It says on which genes to abstain; see :mod:`lingshu_core.abstention`.
        """
        return np.sqrt(self._model_variance(prediction) + np.square(prediction.mc_se))

    def stratum(self, prediction: Prediction) -> npt.NDArray[np.int64]:
        """Return the stratum of expected error of every gene, 0 the smallest, (genes,)."""
        return np.searchsorted(self.edges, self._model_variance(prediction)).astype(np.int64)

    def promise(self, level: float) -> str:
        """Say in words what is promised at a level with so many groups; errors as in :meth:`interval`."""
        share, many = f"{level:.0%}", f"{self.groups} held-out groups"
        if self.rule == "pooled":
            weak = "; so few make it a rough figure" if self.groups < FEW_GROUPS else ""
            return f"about {share} of a new condition's values on average, no guarantee (pooled over {many}{weak})"
        if self._column(level) > STEPS:
            return f"nothing: a guarantee at {share} takes {_groups_needed(level)} groups, and there are {self.groups}"
        fitted = "" if self.split else ", up to the fit of the scale to the same groups"
        return f"at least {share} of a new condition's values on average, if it is like the {many}{fitted}"

    def to_json(self) -> dict[str, Any]:
        """Return plain data, for a model card."""
        return {
            "format": _FORMAT,
            "scale": dict(self.scale.coefficients),
            "terms": list(self.names),
            "edges": self.edges.tolist(),
            "quantiles": self.quantiles.tolist(),
            "groups": self.groups,
            "rule": self.rule,
            "split": self.split,
        }

    @classmethod
    def from_json(cls, content: Mapping[str, Any]) -> Self:
        """Read what :meth:`to_json` gave.

        Raises
        ------
        CalibrationError
            If the format is another or a part is missing.
        """
        if content.get("format") != _FORMAT:
            raise CalibrationError(f"intervals of format {content.get('format')!r}; this version reads {_FORMAT}")
        try:
            found = cls(
                scale=ErrorScale(dict(content["scale"])),
                names=tuple(content["terms"]),
                edges=np.array(content["edges"], dtype=float),
                quantiles=np.array(content["quantiles"], dtype=float),
                groups=int(content["groups"]),
                rule=content["rule"],
                split=bool(content["split"]),
            )
        except (KeyError, TypeError, ValueError) as error:
            raise CalibrationError(f"damaged intervals: {error!r}; calibrate again") from error
        if found.quantiles.shape != (len(found.edges) + 1, STEPS + 1) or not np.isfinite(found.quantiles).all():
            raise CalibrationError("damaged intervals: the quantiles are not those of the strata; calibrate again")
        return found

    def _column(self, level: float) -> int:
        if not 0 < level < 1:
            raise CalibrationError(f"an interval needs a level between 0 and 1, such as 0.9; got {level!r}")
        if self.rule == "hierarchical":
            level *= (self.groups + 1) / self.groups
        return math.ceil(level * STEPS - 1e-9)

    def _model_variance(self, prediction: Prediction) -> Array:
        terms, names = scale_terms(prediction.effect, prediction.expression, prediction.spread)
        missing = [name for name in self.names if name not in names]
        if missing:
            text = f"lacks {', '.join(missing)}, which the predictions had that the intervals were calibrated on"
            raise CalibrationError(f"prediction of {prediction.label}: {text}")
        return self.scale.variance(terms, names)


def fit_conformal(
    calibration: Sequence[Prediction], *, scaling: Sequence[Prediction] | None = None, rule: Rule = "pooled"
) -> Conformal:
    """Calibrate intervals on answered predictions.

    Parameters
    ----------
    calibration
        Predictions of conditions that were held out of training, with their real effects.
    scaling
        Others, of other groups, to which the scale of the errors is fitted; None takes the calibration ones, which
        wastes none and bends the guarantee by the fit of five numbers.
    rule
        How groups are pooled, see above.

    Raises
    ------
    CalibrationError
        If there are fewer than two groups with an answer, if some have a spread or an expression and others have not,
        or if a group is in both.
    """
    if rule not in get_args(Rule):
        raise CalibrationError(f"unknown rule {rule!r}; there are {' and '.join(get_args(Rule))}")
    residuals, groups = _residuals(calibration)
    if len(groups) < LEAST_GROUPS:
        text = f"have answers of {len(groups)} group(s); intervals take at least {LEAST_GROUPS}, held out one by one"
        raise CalibrationError(f"the calibration predictions {text}")
    scale = ErrorScale.fit(residuals if scaling is None else _other(scaling, groups, residuals.names))
    variance = scale.variance(residuals.terms, residuals.names)
    normalised = np.sqrt(residuals.square / (variance + residuals.known))
    # Several strata would each need the guarantee's number of groups.
    edges = _edges(variance) if rule == "pooled" else np.empty(0)
    stratum = np.searchsorted(edges, variance)
    quantiles = [_quantiles(normalised[stratum == k], residuals.weight[stratum == k]) for k in range(len(edges) + 1)]
    return Conformal(scale, residuals.names, edges, np.stack(quantiles), len(groups), rule, scaling is not None)


def _residuals(predictions: Sequence[Prediction]) -> tuple[Residuals, frozenset[str]]:
    """Pool the answered values of some predictions; also the groups that have any."""
    answered = [each for each in predictions if each.counted.any()]
    if not answered:
        return Residuals(np.empty((0, 1)), ("constant",), *(np.empty(0) for _ in range(3))), frozenset()
    found = [scale_terms(each.effect, each.expression, each.spread) for each in answered]
    names = found[0][1]
    for each, (_, others) in zip(answered, found, strict=True):
        if others != names:
            text = f"{answered[0].label} has {', '.join(names)}, and {each.label} {', '.join(others)}"
            raise CalibrationError(f"predictions to calibrate on have to be of a kind: {text}")
    return Residuals(
        terms=np.concatenate([terms[each.counted] for each, (terms, _) in zip(answered, found, strict=True)]),
        names=names,
        square=np.concatenate([np.square(each.real - each.effect)[each.counted] for each in answered]),
        known=np.concatenate([each.known_variance[each.counted] for each in answered]),
        weight=_weights(answered),
    ), frozenset(each.group for each in answered)


def _weights(answered: Sequence[Prediction]) -> Array:
    """Return the share of every value in its group, (values,)."""
    sizes: dict[str, int] = {}
    for each in answered:
        sizes[each.group] = sizes.get(each.group, 0) + int(each.counted.sum())
    return np.concatenate([np.full(int(each.counted.sum()), 1.0 / sizes[each.group]) for each in answered])


def _other(scaling: Sequence[Prediction], groups: frozenset[str], names: tuple[str, ...]) -> Residuals:
    residuals, others = _residuals(scaling)
    shared = sorted(groups & others)
    if shared or not others or residuals.names != names:
        what = f"share {shared[0]} with" if shared else "have no answer, or are of another kind than"
        raise CalibrationError(f"the predictions for the scale {what} the calibration ones")
    return residuals


def _edges(variance: Array) -> Array:
    """Return the ends of the strata; none where one would have too few values."""
    if len(variance) * (1.0 - STRATA[-1]) < _LEAST_IN_STRATUM:
        return np.empty(0)
    edges = np.unique(np.quantile(variance, STRATA, method="lower"))
    return np.asarray(edges[edges < variance.max()])


def _quantiles(values: Array, weights: Array) -> Array:
    """Return weighted quantiles at all levels, rounded up to a value that occurs, (STEPS + 1,)."""
    order = np.argsort(values, kind="stable")
    reached = np.cumsum(weights[order]) / weights.sum()
    levels = np.arange(STEPS + 1) / STEPS
    return np.asarray(values[order][np.minimum(np.searchsorted(reached, levels - 1e-9), len(values) - 1)])


def _groups_needed(level: float) -> int:
    return math.ceil(level / (1.0 - level) - 1e-9)
