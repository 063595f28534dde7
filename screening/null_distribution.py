"""What scores are where nothing was done: the distribution of the scores of pseudo-perturbations in one context.

A pseudo-perturbation is a group of control cells under a label of its own, trained, predicted and scored as every
condition (`lingshu_core.pseudo_perturbations`). One of them in one context is a block: its cells are its own, while its
shards and the genes of its score are all one observation.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt
from scipy import special, stats

Array = npt.NDArray[np.float64]

LEAST_BLOCKS = 20
"""With fewer blocks the spread is known too badly, and no q-value is given."""
LEVEL = 0.95
"""One in twenty conditions without an effect is above the minimum effect."""


@dataclass(frozen=True)
class NullDistribution:
    """Scores of pseudo-perturbations in a context, summed up.

    Parameters
    ----------
    blocks
        How many there are.
    centre
        Their mean.
    sd
        Their standard deviation.
    robust_sd
        The same from the median absolute deviation: smaller where a few of them stand out.
    """

    blocks: int
    centre: float
    sd: float
    robust_sd: float

    @classmethod
    def of(cls, scores: Array) -> NullDistribution | None:
        """Sum up scores, (blocks,); None for fewer than two, which have no spread."""
        if len(scores) < 2:
            return None
        return cls(
            len(scores),
            float(scores.mean()),
            float(scores.std(ddof=1)) if np.ptp(scores) > 0 else 0.0,  # not what rounding leaves of equal ones
            float(stats.median_abs_deviation(scores, scale="normal")),
        )

    def of_combination(self, parts: int) -> NullDistribution:
        """Return the null of a combination: as many independent labels without an effect, added up.

        A combination is predicted from the sum of what was learned of its parts, so its noise is theirs together.
        """
        wider = float(np.sqrt(parts))
        return replace(self, centre=self.centre * parts, sd=self.sd * wider, robust_sd=self.robust_sd * wider)

    @property
    def spread(self) -> float:
        """The larger of the two standard deviations: of a null that looks narrow in one way, the other counts."""
        return max(self.sd, self.robust_sd)

    @property
    def is_usable(self) -> bool:
        """Whether there are blocks enough, and a spread, to judge a score by."""
        return self.blocks >= LEAST_BLOCKS and self.spread > 0

    @property
    def prediction_sd(self) -> float:
        """Standard deviation of one more score without an effect; centre and spread are estimates themselves."""
        return self.spread * float(np.sqrt(1.0 + 1.0 / self.blocks))

    @property
    def minimum_effect(self) -> float:
        """How far above the centre only 5 % of conditions without an effect are (Student t)."""
        return float(special.stdtrit(self.blocks - 1, LEVEL)) * self.prediction_sd

    def p_value(self, score: float) -> float | None:
        """Return the chance that a condition without an effect scores as high or higher; None if it can't be told.

        A one-sided Student t with blocks − 1 degrees of freedom, of one more draw from the same normal distribution.
        Ranks among the blocks would assume less and resolve nothing under 1 / (blocks + 1).
        """
        if not self.is_usable:
            return None
        # Not stats.t: a screen has a million of them, and that takes a hundred times as long for one number.
        return float(special.stdtr(self.blocks - 1, (self.centre - score) / self.prediction_sd))
