"""What scores say of the effects behind them, all conditions of a screen together: empirical Bayes.

The score of a condition is its effect and noise whose size is known. Effects come from a mixture of normal
distributions around zero, from very narrow to very wide, as in adaptive shrinkage (Stephens 2017,
https://doi.org/10.1093/biostatistics/kxw041). How much of each there is, the scores themselves tell: where most
conditions do nothing, small scores shrink to nothing, and the few that stand out are left where they are.

The weights of the mixture are drawn too, by Gibbs sampling, so that a screen of few conditions is as unsure of them as
it has to be. Ranks are those of the drawn effects.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

Array = npt.NDArray[np.float64]

DRAWS = 1000
LEAST_DRAWS = 100
MOST_NUMBERS = 20_000_000
"""Draws x conditions that are kept; of very many conditions the weights are known well, and fewer draws do."""
CHUNK = 10_000
"""Conditions whose quantiles are taken at once."""
BURN_IN = 50
NARROWEST = 0.1
"""The narrowest normal distribution, in units of the smallest noise."""
LEVELS = (0.5, 0.9)


@dataclass(frozen=True)
class ScorePosterior:
    """Posterior of the effect of every condition, each (conditions,), in the unit of the score.

    ``low`` and ``high`` have the ends of the central interval of each of ``LEVELS``; ``rank_low`` and ``rank_high``
    those of the 90 % interval of the rank, 1 is best.
    """

    mean: Array
    low: dict[float, Array]
    high: dict[float, Array]
    rank_low: npt.NDArray[np.int64]
    rank_high: npt.NDArray[np.int64]


def score_posterior(scores: Array, noise: Array, seed: int) -> ScorePosterior:
    """Draw the effects of all conditions from what their scores say.

    Parameters
    ----------
    scores
        Scores less what they are without an effect, (conditions,).
    noise
        Standard deviation of each score around its effect, (conditions,), positive.
    seed
        Of the draws.
    """
    draws = _draw(scores, noise, np.random.default_rng([seed, 5_003]))  # (draws, conditions)
    mean = draws.mean(axis=0, dtype=np.float64)
    ends = {level: _ends(draws, level) for level in LEVELS}
    first, last = _ends(_ranks(draws), 0.9)
    return ScorePosterior(
        mean,
        {level: low for level, (low, _) in ends.items()},
        {level: high for level, (_, high) in ends.items()},
        np.floor(first).astype(np.int64),
        np.ceil(last).astype(np.int64),
    )


def _ranks(draws: npt.NDArray[np.float32]) -> npt.NDArray[np.int32]:
    """Return the rank of every condition in every draw, (draws, conditions); the largest effect is the first."""
    ranks = np.empty(draws.shape, dtype=np.int32)
    for own, drawn in zip(ranks, draws, strict=True):
        own[np.argsort(-drawn, kind="stable")] = np.arange(1, len(drawn) + 1, dtype=np.int32)
    return ranks


def _ends(draws: npt.NDArray[Any], level: float) -> tuple[Array, Array]:
    """Return the ends of the central interval of every condition, each (conditions,)."""
    ends: Array = np.empty((2, draws.shape[1]), dtype=np.float64)
    for first in range(0, draws.shape[1], CHUNK):
        part = slice(first, first + CHUNK)
        ends[:, part] = np.quantile(draws[:, part], (0.5 - level / 2, 0.5 + level / 2), axis=0)
    return ends[0], ends[1]


def prior_scales(scores: Array, noise: Array) -> Array:
    """Return the standard deviations of the mixture's components: doubling, up to what holds the largest score."""
    narrowest = NARROWEST * float(noise.min())
    widest = max(2.0 * float(np.abs(scores).max()), 2.0 * float(noise.max()))
    doublings = int(np.ceil(np.log2(widest / narrowest)))
    return np.asarray(narrowest * np.exp2(np.arange(doublings + 1)), dtype=np.float64)


def _draw(scores: Array, noise: Array, random: np.random.Generator) -> npt.NDArray[np.float32]:
    """Return draws of the effects by Gibbs sampling, (draws, conditions)."""
    scales = prior_scales(scores, noise)
    total = np.square(noise)[:, None] + np.square(scales)[None, :]  # variance of a score, (conditions, components)
    likelihood = -0.5 * (np.log(total) + np.square(scores)[:, None] / total)
    likelihood = np.exp(likelihood - likelihood.max(axis=1, keepdims=True))
    shrinkage = np.square(scales)[None, :] / total
    weights = np.full(len(scales), 1.0 / len(scales))
    number = int(np.clip(MOST_NUMBERS // max(len(scores), 1), LEAST_DRAWS, DRAWS))
    draws = np.empty((number, len(scores)), dtype=np.float32)
    rows = np.arange(len(scores))
    for turn in range(-BURN_IN, number):
        share = np.cumsum(likelihood * weights, axis=1)
        chosen = (share < random.random(len(scores))[:, None] * share[:, -1:]).sum(axis=1)
        weights = random.dirichlet(1.0 + np.bincount(chosen, minlength=len(scales)))
        if turn >= 0:
            kept = shrinkage[rows, chosen]
            draws[turn] = random.normal(scores * kept, noise * np.sqrt(kept))
    return draws
