"""E-values: evidence that stays valid when it was looked at before the sampling stopped.

An e-value is a number that is at most 1 in expectation where there is no effect. By Markov's inequality it is over
1/α at most with the chance α. Unlike a p-value it may be multiplied by the next one, and stopped at any time. e-BH
(Wang and Ramdas 2022, https://doi.org/10.1111/rssb.12489) turns e-values into hits whose false discovery rate is
within the promise however they depend on one another. The price is power.

What they are made from here is a p-value of the measured null (:func:`calibrated`): "this condition scores like a
pseudo-perturbation". If shards were added because scores looked good, the score has to be estimated on fresh ones, or
else it is too high by selection. Then the p-value of each condition is valid, and e-BH needs nothing of their
dependence.

Bets on the scores of shards, one by one, would need no fresh shards. They speak of another null: "what the model would
say after infinitely many shards is at most this", which holds none of the noise of the cells that the model learned
from. Such an e-value grows without bounds for a pseudo-perturbation, too, and the score of a shard has no bounds that
are known beforehand. What shards alone can tell has its own promise, in :mod:`screening.allocating.certified`.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

Array = npt.NDArray[np.float64]

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
