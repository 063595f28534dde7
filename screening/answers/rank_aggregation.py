"""Robust rank aggregation: is a perturbation higher up in several rankings than chance puts it?

Kolde, Laur, Adler and Vilo 2012 (doi:10.1093/bioinformatics/btr709): where rankings say nothing, the normalised ranks
of an item are uniform, and the k-th smallest of n is Beta(k, n − k + 1). ρ is the smallest of these probabilities, and
n ρ, at most 1, bounds its p-value. A few rankings in which the item is low don't spoil it.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
from scipy import special, stats

Array = npt.NDArray[np.float64]


def normalised_ranks(scores: Array) -> Array:
    """Return ranks over the number ranked, best first, in every context by itself; ties share the mean.

    Parameters
    ----------
    scores
        (perturbations, contexts), NaN where there is none.
    """
    ranks = stats.rankdata(-scores, axis=0, nan_policy="omit")
    number = np.maximum(np.isfinite(scores).sum(axis=0), 1)
    return np.asarray(np.where(np.isfinite(scores), ranks / number, np.nan), dtype=np.float64)


def rank_aggregation(ranks: Array) -> tuple[Array, Array]:
    """Return ρ and the bound of its p-value for each item; NaN where nothing ranks it.

    Parameters
    ----------
    ranks
        Normalised ranks, (items, rankings), NaN where a ranking doesn't have the item.
    """
    ordered = np.sort(ranks, axis=1)  # NaN last
    number = np.isfinite(ordered).sum(axis=1)
    place = np.arange(1, ranks.shape[1] + 1)[None, :]
    last = np.maximum(number[:, None] - place + 1, 1)
    chances = np.where(np.isfinite(ordered), special.betainc(place, last, np.nan_to_num(ordered)), np.inf)
    rho = np.where(number > 0, chances.min(axis=1, initial=np.inf), np.nan)
    return rho, np.minimum(1.0, rho * number)
