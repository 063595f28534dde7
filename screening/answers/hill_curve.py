"""Hill curves of a score over doses, fitted with bounds, without luck, and without ever failing.

score(d) = emax · d^h / (d^h + k^h), with k the EC50 and h the slope (Hill 1910; Gesztelyi et al. 2012, doi
10.1007/s00407-012-0098-5). Without a dose the score is 0: it is the paired difference from the control. For a given k
and h the best emax is linear in the scores, so only two numbers are searched (variable projection, Golub and Pereyra
1973): on a grid, which can't miss the deepest valley, then by bounded least squares (`scipy.optimize`).

Three or four doses hardly tell a slope. A weak prior holds it near 1, a factor of two either way, as far as the errors
of the scores leave room for it.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
import numpy.typing as npt
from scipy import optimize, stats

Array = npt.NDArray[np.float64]

REACH = 2.0
"""Decades beyond the doses in which an EC50 is looked for; farther out all curves look the same at the doses."""
SLOPES = (0.3, 5.0)
SLOPE_SIGMA = math.log(2.0)
"""Standard deviation of the prior on the log of the slope, whose mean is 0."""
EMAX_SIGMA = 2.0
"""Standard deviation of the prior on emax of drawn curves, in units of the largest score."""
_PER_DECADE, _SLOPE_STEPS = 16, 9


@dataclass(frozen=True)
class HillCurves:
    """Curves of the same doses; all fields (curves,).

    ``emax`` is in the unit of the scores, ``ec50`` in that of the doses.
    """

    emax: Array
    ec50: Array
    slope: Array

    def at(self, dose: float) -> Array:
        """Return the scores at a dose, (curves,)."""
        return np.asarray(self.emax * _reached(math.log(dose), np.log(self.ec50), self.slope))


def fit_hill(doses: Array, scores: Array, errors: Array) -> HillCurves:
    """Fit one curve.

    Parameters
    ----------
    doses
        More than 0, each once, (doses,).
    scores, errors
        At these doses, and their standard errors, more than 0, (doses,).

    Returns
    -------
    HillCurves
        Of one curve. An EC50 outside the doses says no more than that it lies there.
    """
    rough = fit_draws(doses, scores[None], errors)
    log_doses = np.log(doses)
    low, high = _log_ec50_bounds(doses)
    start = np.array([math.log(rough.ec50[0]), math.log(rough.slope[0])])
    bounds = (np.array([low, math.log(SLOPES[0])]), np.array([high, math.log(SLOPES[1])]))

    def residuals(at: Array) -> Array:
        reached = _reached(log_doses, at[0], math.exp(at[1]))
        emax = _best_emax(reached, scores, errors)
        return np.append((scores - emax * reached) / errors, at[1] / SLOPE_SIGMA)

    found = optimize.least_squares(residuals, np.clip(start, *bounds), bounds=bounds, max_nfev=200).x
    reached = _reached(log_doses, found[0], math.exp(found[1]))
    emax = _best_emax(reached, scores, errors)
    return HillCurves(np.array([emax]), np.exp(found[:1]), np.exp(found[1:]))


def fit_draws(doses: Array, draws: Array, errors: Array) -> HillCurves:
    """Fit many curves of the same doses and errors on the grid alone, whose steps are a sixth of an EC50.

    Parameters
    ----------
    doses, errors
        As for :func:`fit_hill`.
    draws
        Scores, (curves, doses).
    """
    low, high = _log_ec50_bounds(doses)
    steps = round((high - low) / math.log(10.0) * _PER_DECADE) + 1
    log_ec50, log_slope, reached = _grid(tuple(np.log(doses).tolist()), low, high, steps)
    weighted = reached / errors  # (points, doses)
    size = np.square(weighted).sum(axis=1)
    along = (draws / errors) @ weighted.T  # (curves, doses) @ (doses, points)
    # What is left of the sum of squares once emax is the best one, up to a constant of the curve.
    left = np.square(log_slope / SLOPE_SIGMA) - np.square(along) / size
    best = left.argmin(axis=1)
    emax = along[np.arange(len(draws)), best] / size[best]
    return HillCurves(emax, np.exp(log_ec50[best]), np.exp(log_slope[best]))


def posterior_draws(doses: Array, scores: Array, errors: Array, number: int, random: np.random.Generator) -> HillCurves:
    """Draw curves from what scores and their errors leave open.

    The likelihood is normal. On the grid of EC50 and slope, emax is integrated out exactly, with the prior
    N(0, (`EMAX_SIGMA` · the largest score)²), without which an EC50 that no dose comes near would be the likeliest of
    all. The EC50 is log-uniform over the grid, and drawn between its points.

    Parameters
    ----------
    doses, scores, errors
        As for :func:`fit_hill`.
    number
        Of curves.
    random
        Where they are drawn from.
    """
    low, high = _log_ec50_bounds(doses)
    steps = round((high - low) / math.log(10.0) * _PER_DECADE) + 1
    log_ec50, log_slope, reached = _grid(tuple(np.log(doses).tolist()), low, high, steps)
    weighted = reached / errors  # (points, doses)
    held = EMAX_SIGMA * max(float(np.abs(scores).max()), float(errors.min()))
    precision = np.square(weighted).sum(axis=1) + held**-2  # (points,)
    along = weighted @ (scores / errors)
    log_weight = 0.5 * (np.square(along) / precision - np.log(precision) - np.square(log_slope / SLOPE_SIGMA))
    weight = np.exp(log_weight - log_weight.max())
    chosen = random.choice(len(weight), number, p=weight / weight.sum())
    emax = random.normal(along[chosen] / precision[chosen], 1.0 / np.sqrt(precision[chosen]))
    between = random.uniform(-0.5, 0.5, number) * (high - low) / (steps - 1)
    ec50 = np.clip(log_ec50[chosen] + between, low, high)
    return HillCurves(emax, np.exp(ec50), np.exp(log_slope[chosen]))


def monotonicity(scores: Array, errors: Array) -> float:
    """Return the chance that noise alone makes scores stray so far from any monotone curve through 0 at no dose.

    Isotonic regression (`scipy.optimize.isotonic_regression`), rising or falling, whichever fits better; what it
    leaves, in squared errors, beside a chi-square with as many degrees of freedom as doses. The exact reference is a
    mixture of chi-squares with fewer (Barlow et al. 1972), so this is an upper bound: few are called so by chance.

    Parameters
    ----------
    scores, errors
        By rising dose, (doses,); errors are more than 0.
    """
    weights = 1.0 / np.square(errors)
    values, held = np.append(0.0, scores), np.append(1e6 * weights.sum(), weights)
    fits = [optimize.isotonic_regression(values, weights=held, increasing=rising).x for rising in (True, False)]
    misfit = min(float((held * np.square(values - fit)).sum()) for fit in fits)
    return float(stats.chi2.sf(misfit, len(scores)))


def flatness(scores: Array, errors: Array) -> float:
    """Return the chance that noise alone makes scores stray so far from 0 (chi-square over the doses)."""
    return float(stats.chi2.sf(np.square(scores / errors).sum(), len(scores)))


def _log_ec50_bounds(doses: Array) -> tuple[float, float]:
    beyond = REACH * math.log(10.0)
    return math.log(doses.min()) - beyond, math.log(doses.max()) + beyond


@lru_cache(maxsize=64)
def _grid(log_doses: tuple[float, ...], low: float, high: float, steps: int) -> tuple[Array, Array, Array]:
    """Log EC50 and log slope of every point, (points,), and what a curve there reaches, (points, doses)."""
    ec50, slope = np.linspace(low, high, steps), np.linspace(math.log(SLOPES[0]), math.log(SLOPES[1]), _SLOPE_STEPS)
    log_ec50, log_slope = (axis.ravel() for axis in np.meshgrid(ec50, slope))
    reached = _reached(np.array(log_doses)[None], log_ec50[:, None], np.exp(log_slope)[:, None])
    return log_ec50, log_slope, reached


def _reached(log_dose: Array | float, log_ec50: Array | float, slope: Array | float) -> Array:
    """Return d^h / (d^h + k^h) by way of logs, which no power of a dose can overflow."""
    return np.asarray(0.5 * (1.0 + np.tanh(0.5 * slope * (np.asarray(log_dose) - log_ec50))))


def _best_emax(reached: Array, scores: Array, errors: Array) -> float:
    weighted = reached / errors
    return float(weighted @ (scores / errors) / (weighted @ weighted))
