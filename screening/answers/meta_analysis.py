"""One effect in several contexts: random-effects meta-analysis.

An effect y_i with variance v_i is θ_i and noise, and θ_i ~ N(μ, τ²) (DerSimonian and Laird 1986,
doi:10.1016/0197-2456(86)90046-2). Heterogeneity is Cochran's Q, and I² = (Q − (k − 1)) / Q its share of the variation
(Higgins and Thompson 2002, doi:10.1002/sim.1186). The interval for a new context is that of Higgins, Thompson and
Spiegelhalter 2009 (doi:10.1111/j.1467-985X.2008.00552.x), equation 12.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from scipy import special, stats

Array = npt.NDArray[np.float64]
VarianceOf = Callable[[Array], Array]

UPPER = 0.95
"""Of central 90 % intervals."""
LEAST_FOR_PREDICTION = 3


EXACT = 1e-12
"""Variance of what has no noise, such as the mean of a baseline: a weight has to be finite."""


@dataclass(frozen=True)
class Pooled:
    """Results of a meta-analysis for each perturbation, each (perturbations,); NaN where there is none.

    Attributes
    ----------
    number
        Contexts with an effect.
    effect, error, low, high
        μ with its standard error and 90 % interval.
    tau_squared, i_squared, q, q_p
        Heterogeneity: τ², I² in [0, 1], Cochran's Q and its p-value (χ², k − 1 degrees of freedom); of two or more.
    prediction_low, prediction_high
        90 % interval of the effect in a new context; of three or more.
    """

    number: npt.NDArray[np.int64]
    effect: Array
    error: Array
    low: Array
    high: Array
    tau_squared: Array
    i_squared: Array
    q: Array
    q_p: Array
    prediction_low: Array
    prediction_high: Array


def meta_analysis(effects: Array, variances: Array, variance_of: VarianceOf | None = None) -> Pooled:
    """Pool effects over contexts, for every perturbation by itself.

    Parameters
    ----------
    effects
        (perturbations, contexts), NaN where there is none.
    variances
        Of their noise, (perturbations, contexts), where there is an effect; 0 counts as `EXACT`.
    variance_of
        Weights (perturbations, contexts) → variance of the noise of that weighted sum, (perturbations,). Noise that
        contexts share doesn't average out. Without it the noise is independent.
    """
    there = np.isfinite(effects)
    values, noise = np.where(there, effects, 0.0), np.where(there, np.maximum(variances, EXACT), 1.0)
    number = there.sum(axis=1)
    tau_squared, q = _heterogeneity(values, np.where(there, 1.0 / noise, 0.0), number)
    weights = np.where(there, 1.0 / (noise + np.nan_to_num(tau_squared)[:, None]), 0.0)
    # No context, no effect; and over a Q of next to nothing the share is −∞, which counts as 0.
    with np.errstate(invalid="ignore", divide="ignore", over="ignore"):
        weights = weights / weights.sum(axis=1, keepdims=True)
        effect = np.where(number > 0, (weights * values).sum(axis=1), np.nan)
        excess = np.maximum(0.0, 1.0 - (number - 1) / q)
    shared = _independent(noise) if variance_of is None else variance_of
    between = np.nan_to_num(tau_squared)
    squared = shared(np.nan_to_num(weights)) + between * np.square(np.nan_to_num(weights)).sum(axis=1)
    error = np.where(number > 0, np.sqrt(squared), np.nan)
    margin = float(special.ndtri(UPPER)) * error
    wide = _prediction_margin(error, between, number)
    return Pooled(
        number,
        effect,
        error,
        effect - margin,
        effect + margin,
        tau_squared,
        np.where(number > 1, np.where(q > 0, excess, 0.0), np.nan),
        q,
        np.asarray(stats.chi2.sf(q, np.maximum(number - 1, 1)), dtype=np.float64),
        effect - wide,
        effect + wide,
    )


def _heterogeneity(values: Array, weights: Array, number: npt.NDArray[np.int64]) -> tuple[Array, Array]:
    """Return τ² and Q, each (perturbations,); NaN for fewer than two contexts."""
    total = weights.sum(axis=1)
    safe = np.where(total > 0, total, 1.0)
    centre = (weights * values).sum(axis=1) / safe
    q = (weights * np.square(values - centre[:, None])).sum(axis=1)
    scale = total - np.square(weights).sum(axis=1) / safe
    several = number > 1
    tau_squared = np.maximum(0.0, q - (number - 1)) / np.where(several, scale, 1.0)
    return np.where(several, tau_squared, np.nan), np.where(several, q, np.nan)


def _prediction_margin(error: Array, between: Array, number: npt.NDArray[np.int64]) -> Array:
    enough = number >= LEAST_FOR_PREDICTION
    quantile = special.stdtrit(np.where(enough, number - 2, 1), UPPER)
    return np.where(enough, quantile * np.sqrt(between + np.square(error)), np.nan)


def _independent(noise: Array) -> VarianceOf:
    return lambda weights: (np.square(weights) * noise).sum(axis=1)
