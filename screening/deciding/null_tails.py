"""How far out scores of nothing may be: the tails of the null, of which a few dozen blocks say little.

A normal distribution and a Student t with 3 degrees of freedom look alike in twenty blocks, and differ a hundredfold
where hits are. So none is taken for granted. Every shape of `SHAPES` gets the weight that the blocks of all contexts
leave it, equal weights to begin with, and a p-value is the weighted mean of theirs. Of few blocks that is as cautious
as the heaviest of them allow; many blocks tell which it is, and the caution goes.

The p-value of a shape is a predictive one: the chance that one more draw, less the mean of as many blocks and over
their standard deviation, is as far out. Both are estimates, and bad ones where tails are heavy. That chance is averaged
over simulated sets of blocks, with the tail of the last draw exact.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from typing import Literal

import numpy as np
import numpy.typing as npt
from scipy import special

from screening.deciding.null_distribution import LEAST_BLOCKS

Array = npt.NDArray[np.float64]

Tails = Literal["learned", "heaviest", "normal", "empirical"]
"""What a campaign can ask for under `hits.tails`."""
SHAPES = ("t3", "t5", "t10", "gumbel", "normal")
"""Student t with 3, 5 and 10 degrees of freedom, the Gumbel distribution, which is skewed to the right, and the normal
one. All have a variance."""
_FREEDOM = {"t3": 3.0, "t5": 5.0, "t10": 10.0}
CAUTION = 0.3
"""Each block counts as so much of one. The truth is none of `SHAPES`, and blocks share cells, guides and batches;
evidence that is counted in full settles on one shape too soon (a coarsened posterior: Miller and Dunson 2019,
https://doi.org/10.1080/01621459.2018.1469995). Chosen by `benchmarks.hit_calling`."""
_SIMULATED = 4000
_MOST_SIMULATED = 400
"""More blocks than these know mean and standard deviation no better, as far as p-values go."""
_GRID: Array = np.linspace(-7.0, 7.0, 141)
"""In sinh⁻¹ of standard deviations: up to 548 of them, closely spaced near zero."""


@dataclass(frozen=True)
class NullTails:
    """Weights of `SHAPES`, adding up to 1, and the number of independent blocks that they come from."""

    weights: tuple[float, ...]
    blocks: float

    @classmethod
    def of(cls, blocks: Array) -> NullTails:
        """Weigh the shapes by blocks of one or several contexts.

        Parameters
        ----------
        blocks
            Standardised blocks, (contexts, labels), with NaN where a label was not computed. Contexts with few of them
            say nothing.

        Notes
        -----
        Location and scale of every context are integrated out. A label is one thing in all contexts, so its scores may
        go together; the evidence is counted as that of as many independent blocks as the correlation leaves.
        """
        matrix = blocks[np.isfinite(blocks).sum(axis=1) >= LEAST_BLOCKS]  # (contexts, labels)
        if not matrix.size:
            return cls((1.0 / len(SHAPES),) * len(SHAPES), 0.0)
        evidence = np.sum([_evidence(row[np.isfinite(row)]) for row in matrix], axis=0)
        share = _independent_share(matrix)
        weights = np.exp(CAUTION * share * (evidence - evidence.max()))
        return cls(tuple((weights / weights.sum()).tolist()), share * float(np.isfinite(matrix).sum()))

    def p_values(self, z: Array, blocks: npt.NDArray[np.integer]) -> Array:
        """Return the chance of a score so far out or farther without an effect, (conditions,).

        Parameters
        ----------
        z
            Score less the null's centre, over the null's standard deviation, (conditions,).
        blocks
            How many blocks these are estimated from, (conditions,).
        """
        found = np.empty(len(z))
        for number in np.unique(blocks):
            own = blocks == number
            found[own] = sum(
                weight * predictive_tail(z[own], int(number), shape)
                for weight, shape in zip(self.weights, SHAPES, strict=True)
            )
        return found

    @property
    def heavy(self) -> float:
        """Weight of all shapes but the normal one."""
        return 1.0 - self.weights[-1]


def heaviest_p_values(z: Array, blocks: npt.NDArray[np.integer]) -> Array:
    """Return the largest chance that any of `SHAPES` gives, whatever the blocks say of them, (conditions,).

    Parameters as for :meth:`NullTails.p_values`. A few dozen blocks from a Student t with 3 degrees of freedom mostly
    look lighter than they are, so that weighing the shapes by them is too bold there.
    """
    found = np.empty(len(z))
    for number in np.unique(blocks):
        own = blocks == number
        found[own] = np.max([predictive_tail(z[own], int(number), shape) for shape in SHAPES], axis=0)
    return found


def predictive_tail(z: Array, blocks: int, shape: str) -> Array:
    """Return the chance that one more draw is beyond ``z`` estimated standard deviations, (conditions,)."""
    # Level and slope of the variance are both fitted (see `null_distribution`): one block is spent on the slope.
    spent = max(min(blocks, _MOST_SIMULATED + 1) - 1, 2)
    if shape == "normal":
        return np.asarray(special.stdtr(spent - 1, -z), dtype=np.float64)
    return np.exp(np.interp(np.arcsinh(z), _GRID, _log_tail(spent, shape)))


@lru_cache(maxsize=256)
def _log_tail(blocks: int, shape: str) -> Array:
    """Return log p on the grid, (points,), averaged over simulated sets of blocks."""
    draws = _draws(shape, blocks)
    centre, sd = draws.mean(axis=1), draws.std(axis=1, ddof=1) * np.sqrt(1.0 + 1.0 / blocks)
    # (points, sets)
    beyond = _tail(shape, centre[None, :] + np.sinh(_GRID)[:, None] * sd[None, :])
    return np.asarray(np.log(beyond.mean(axis=1)), dtype=np.float64)


def _evidence(blocks: Array) -> Array:
    """Return the log marginal likelihood of every shape, (shapes,), for the blocks of one context.

    With a flat prior on location and log scale, on a grid around the standardised blocks.
    """
    step = 1.0 / np.sqrt(len(blocks))
    centres = np.linspace(-4.0 * step, 4.0 * step, 17)
    scales = np.arange(-1.5, 0.8, min(0.5 * step, 0.05))
    # (scales, centres, blocks)
    z = (blocks[None, None, :] - centres[None, :, None]) * np.exp(-scales)[:, None, None]
    # (scales, centres)
    found = [_log_density(shape, z).sum(axis=2) - len(blocks) * scales[:, None] for shape in SHAPES]
    return np.array([special.logsumexp(each) for each in found])


def _draws(shape: str, blocks: int) -> Array:
    """Draw sets of blocks, (sets, blocks)."""
    random = np.random.default_rng([blocks, 6_007])
    if shape in _FREEDOM:
        return random.standard_t(_FREEDOM[shape], (_SIMULATED, blocks))
    return random.gumbel(-np.euler_gamma, 1.0, (_SIMULATED, blocks))


def _tail(shape: str, z: Array) -> Array:
    """Return the chance of more than ``z``, for a distribution whose mean is 0."""
    if shape in _FREEDOM:
        return np.asarray(special.stdtr(_FREEDOM[shape], -z), dtype=np.float64)
    return np.asarray(-np.expm1(-np.exp(-np.maximum(z + np.euler_gamma, -50.0))), dtype=np.float64)


def _log_density(shape: str, z: Array) -> Array:
    if shape == "normal":
        return -0.5 * np.square(z) - 0.5 * np.log(2 * np.pi)
    if shape == "gumbel":
        shifted = np.maximum(z + np.euler_gamma, -50.0)
        return np.asarray(-shifted - np.exp(-shifted), dtype=np.float64)
    freedom = _FREEDOM[shape]
    constant = special.gammaln((freedom + 1) / 2) - special.gammaln(freedom / 2) - 0.5 * np.log(freedom * np.pi)
    return np.asarray(constant - (freedom + 1) / 2 * np.log1p(np.square(z) / freedom), dtype=np.float64)


def _independent_share(matrix: Array) -> float:
    """Return the share of blocks that are as good as independent, by the correlation of a label across contexts.

    ``matrix`` is (contexts, labels). Means of independent standardised blocks over C contexts have the variance 1/C.
    """
    contexts = np.isfinite(matrix).sum(axis=0)
    sums = np.nansum(matrix, axis=0)[contexts > 1]
    if len(sums) < 2:
        return 1.0
    expected, found = float(contexts[contexts > 1].mean()), float(np.square(sums).mean())
    return float(np.clip(expected / found, 1.0 / expected, 1.0)) if found > 0 else 1.0
