"""What scores are where nothing was done: the distribution of the scores of pseudo-perturbations in one context.

A pseudo-perturbation is a group of control cells under a label of its own, trained, predicted and scored as every
condition (`lingshu_core.pseudo_perturbations`). One of them in one context is a block: its cells are its own, while its
shards and the genes of its score are all one observation.

How far the score of nothing strays depends on how many cells it was learned from, and in which way depends on the
training: few cells are noisy, and what few cells say is held down. So the variance is fitted as a power of the number
of cells, log v(n) = α + β log n, by the likelihood of normal scores, with β ~ N(0, 1) to begin with. A mixture of few
and many cells in one pot would have heavy tails and no normal distribution.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from scipy import special, stats

Array = npt.NDArray[np.float64]

LEAST_BLOCKS = 20
"""With fewer blocks the spread is known too badly, and no q-value is given."""
LEVEL = 0.95
"""One in twenty conditions without an effect is above the minimum effect."""
MOST_FREEDOM = 10
"""Degrees of freedom of the Student t distribution at most, whatever the number of blocks: of a few dozen blocks
nobody knows how heavy the tails are, and hits are far out."""
_SLOPE_PRECISION = 1.0
_ROUNDS = 100


@dataclass(frozen=True)
class NullDistribution:
    """Scores of pseudo-perturbations in a context, summed up.

    Parameters
    ----------
    blocks
        How many there are.
    centre
        Their mean.
    sd, robust_sd
        Their standard deviation, and the same from the median absolute deviation; of all sizes together.
    level, slope
        α and β of the variance, at the mean ``middle`` of log n.
    middle, smallest, largest
        Mean, least and largest log n; beyond the sizes that there are the variance is that of the nearest.
    centre_variance
        Variance of the centre.
    floor
        The least standard deviation of a score of nothing; 0 where none is known beforehand.
    """

    blocks: int
    centre: float
    sd: float
    robust_sd: float
    level: float
    slope: float
    middle: float
    smallest: float
    largest: float
    centre_variance: float
    floor: float = 0.0

    @classmethod
    def of(cls, scores: Array, cells: Array, floor: float = 0.0) -> NullDistribution | None:
        """Sum up scores and training cells of blocks, each (blocks,); None for fewer than two, which have no spread.

        ``floor`` is a standard deviation that scores have even where all blocks came out the same
        (:func:`screening.objective.objectives.least_spread`).
        """
        if len(scores) < 2:
            return None
        centre, blocks = float(scores.mean()), len(scores)
        sizes = np.log(np.maximum(cells, 1.0))
        squares = np.square(scores - centre) * blocks / (blocks - 1)
        equal = not np.ptp(scores) > 0  # by rounding alone, their squares need not be zero
        level, slope = (-np.inf, 0.0) if equal else _fit(squares, sizes - sizes.mean())
        return cls(
            blocks,
            centre,
            0.0 if equal else float(scores.std(ddof=1)),
            float(stats.median_abs_deviation(scores, scale="normal")),
            level,
            slope,
            float(sizes.mean()),
            float(sizes.min()),
            float(sizes.max()),
            max(float(np.exp(level + slope * (sizes - sizes.mean())).mean()), floor**2) / blocks,
            floor,
        )

    @property
    def has_spread(self) -> bool:
        """Whether there is anything to judge by."""
        return self.sd > 0 or self.floor > 0

    @property
    def freedom(self) -> int:
        """Degrees of freedom of a score over its standard deviation."""
        return freedom(self.blocks)

    def variance(self, cells: float) -> float:
        """Return the variance of the score of nothing that was learned from so many cells."""
        size = min(max(float(np.log(max(cells, 1.0))), self.smallest), self.largest)
        return max(float(np.exp(self.level + self.slope * (size - self.middle))), self.floor**2)

    def centre_of(self, parts: int) -> float:
        """Return the centre for a combination of so many parts: it is predicted from the sum of what each is."""
        return self.centre * parts

    def sd_of(self, cells: Sequence[float]) -> float:
        """Return the standard deviation around the centre of one more score without an effect.

        ``cells`` has the training cells of every part of the combination: their noise adds up. The centre is an
        estimate too.
        """
        return float(np.sqrt(sum(map(self.variance, cells)) + len(cells) ** 2 * self.centre_variance))

    def minimum_effect(self, cells: Sequence[float]) -> float:
        """Return how far above the centre only 5 % of conditions without an effect are (Student t)."""
        return float(special.stdtrit(self.freedom, LEVEL)) * self.sd_of(cells)

    def standardised(self, scores: Array, cells: Array) -> Array:
        """Return the blocks in their own standard deviations, (blocks,); none where they are all equal."""
        if not self.has_spread:
            return np.empty(0)
        return (scores - self.centre) / np.sqrt([self.variance(each) for each in cells])


def freedom(blocks: int) -> int:
    """Return the degrees of freedom that so many blocks give: two are spent on level and slope of the variance."""
    return max(1, min(blocks - 2, MOST_FREEDOM))


def _fit(squares: Array, sizes: Array) -> tuple[float, float]:
    """Return α and β: the most likely ones for squared deviations at centred log sizes, by Fisher's scoring."""
    level, slope = float(np.log(squares.mean())), 0.0
    information = 0.5 * float(np.square(sizes).sum()) + _SLOPE_PRECISION
    for _ in range(_ROUNDS):
        excess = squares / np.exp(level + slope * sizes) - 1.0
        up = float(excess.mean())
        turn = (0.5 * float(excess @ sizes) - _SLOPE_PRECISION * slope) / information
        level, slope = level + float(np.clip(up, -1.0, 1.0)), slope + float(np.clip(turn, -0.5, 0.5))
        if abs(up) + abs(turn) < 1e-9:
            break
    return level, slope
