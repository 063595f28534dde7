"""E-values: evidence that stays valid when it was looked at before the sampling stopped.

An e-value is a number that is at most 1 in expectation where there is no effect. By Markov's inequality it is over
1/α at most with the chance α. Unlike a p-value it may be multiplied by the next one, and stopped at any time. e-BH
(Wang and Ramdas 2022, https://doi.org/10.1111/rssb.12489) turns e-values into hits whose false discovery rate is
within the promise however they depend on one another. The price is power.

Which null an e-value speaks of is decided by what it is made from:

- :func:`calibrated`, from a p-value of the measured null: "this condition scores like a pseudo-perturbation". If shards
  were added because scores looked good, the score has to be estimated on fresh ones, or else it is too high by
  selection. Then the p-value of each condition is valid, and e-BH needs nothing of their dependence.
- :func:`betting_e_values`, from bounded scores of independent shards: "what the model would say after infinitely many
  shards is at most this". That is about the computation alone, and says nothing of the cells that the model learned
  from. It needs no fresh shards: shards may be looked at one by one.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from screening.errors import ObjectiveError

Array = npt.NDArray[np.float64]

MOST_AT_STAKE = 0.5
"""Share of the wealth that a bet may lose on one shard."""
_NEAR_ONE = 1e-4


def calibrated(p_values: Array) -> Array:
    """Turn p-values into e-values, (conditions,): (1 − p + p ln p) / (p (ln p)²).

    The mean over κ ∈ (0, 1) of the calibrators κ p^(κ − 1) (Vovk and Wang 2021, https://doi.org/10.1214/20-AOS2020,
    section 2), which needs no κ to be chosen.
    """
    p = np.clip(p_values, np.finfo(float).tiny, 1.0)
    log = np.log(np.minimum(p, 1.0 - _NEAR_ONE))
    found = (1.0 - p + p * log) / (p * np.square(log))
    return np.asarray(np.where(p > 1.0 - _NEAR_ONE, 0.5, found), dtype=np.float64)


def betting_e_values(scores: Array, low: float, high: float, threshold: float) -> Array:
    """Return the e-value of each condition against a mean score of ``threshold`` or less, (conditions,).

    The wealth of a gambler who bets on every shard that its score is above the threshold, and stakes what the shards
    before it advise (Waudby-Smith and Ramdas 2024, https://doi.org/10.1093/jrsssb/qkad009, "approximate GRAPA").

    Parameters
    ----------
    scores
        Score of every shard in the order in which they were drawn, (conditions, shards); NaN after the last one.
    low, high
        Bounds of a score of one shard, known beforehand.
    threshold
        The largest mean score that counts as none, between them.

    Raises
    ------
    ObjectiveError
        If the threshold or a score isn't within the bounds; then there is no such bet.
    """
    seen = scores[np.isfinite(scores)]
    if not low < threshold < high or (seen.size and not low <= seen.min() <= seen.max() <= high):
        raise ObjectiveError(
            f"scores and their threshold {threshold:g} have to be within the bounds {low:g} and {high:g}; e-values of"
            " shards are for bounded scores"
        )
    scaled, middle = (scores - low) / (high - low), (threshold - low) / (high - low)
    wealth = np.ones(len(scores))
    # A shard at the threshold, with the largest variance there is, comes first: nothing is known of the scale.
    count, total, squares = np.ones(len(scores)), np.full(len(scores), middle), np.full(len(scores), 0.25)
    for column in scaled.T:
        there = np.isfinite(column)
        mean, variance = total / count, squares / count
        stake = np.clip((mean - middle) / (variance + np.square(mean - middle)), 0.0, MOST_AT_STAKE / middle)
        own = np.where(there, column, middle)
        wealth *= 1.0 + stake * (own - middle)
        count, total = count + there, total + np.where(there, own, 0.0)
        squares = squares + np.where(there, np.square(own - total / count), 0.0)
    return wealth


def e_benjamini_hochberg(e_values: Array) -> Array:
    """Return the lowest false discovery rate at which e-BH would take each condition, (conditions,), 1 at most.

    The k conditions with the largest e-values are taken at the rate α if the least of them is n / (α k) or more.
    """
    number = len(e_values)
    order = np.argsort(-e_values, kind="stable")
    with np.errstate(divide="ignore", over="ignore"):  # no evidence at all needs a rate without bounds
        needed = number / (np.arange(1, number + 1) * e_values[order])
    # A condition is taken as soon as any larger set is.
    found = np.minimum.accumulate(needed[::-1])[::-1]
    rates = np.empty(number)
    rates[order] = np.minimum(found, 1.0)
    return rates
