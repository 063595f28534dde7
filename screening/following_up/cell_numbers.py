"""How many cells an experiment needs to see an effect."""

from __future__ import annotations

import math

from scipy import special

POWER = 0.8
SIGNIFICANCE = 0.05
MOST_CELLS = 1_000_000
"""An effect that needs more isn't worth a number."""


def cells_per_arm(effect: float, sd: float) -> int | None:
    """Return the cells of each of two equal arms with which an effect is seen with 80 % power at 5 %, two-sided.

    The two-sample formula n = 2 (z_{1−α/2} + z_{power})² (sd / effect)², with normal quantiles and one standard
    deviation pooled over both arms (Lehr 1992, https://doi.org/10.1002/sim.4780110811, rounds it to 16 (sd / effect)²).

    Parameters
    ----------
    effect
        Difference of the means.
    sd
        Standard deviation of a cell, in the same unit.

    Returns
    -------
    At least 2; None where there is no effect or no number of cells that anybody has.
    """
    if not (effect > 0 and sd > 0):
        return None
    quantiles = float(special.ndtri(1.0 - SIGNIFICANCE / 2) + special.ndtri(POWER))
    number = 2.0 * (quantiles * sd / effect) ** 2
    return max(2, math.ceil(number)) if number <= MOST_CELLS else None
