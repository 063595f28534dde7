"""How far two rankings of the same conditions agree: over all of them, at the top, and in what is called a hit."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from scipy import stats

Array = npt.NDArray[np.float64]
TOPS = (5, 10, 20, 50, 100, 200, 500, 1000)
PERSISTENCE = 0.95
"""Of rank-biased overlap: a reader goes on to the next row with this chance, so sees 20 rows on average."""
FEWEST = 3
"""Conditions under which no correlation says anything."""


@dataclass(frozen=True)
class Agreement:
    """Agreement of two rankings of the same conditions.

    Attributes
    ----------
    conditions
        How many are compared.
    spearman
        Rank correlation; None of fewer than 3 conditions, or where all scores of one are the same.
    weighted_tau
        Kendall's τ with hyperbolic weights, so that the top counts most (Vigna 2015); None like `spearman`.
    rank_biased_overlap
        Extrapolated rank-biased overlap (Webber, Moffat and Zobel 2010, equation 32) at `PERSISTENCE`.
    tops
        k → share of the conditions in either top k that are in both (Jaccard).
    """

    conditions: int
    spearman: float | None
    weighted_tau: float | None
    rank_biased_overlap: float | None
    tops: dict[int, float]


def agreement(scores_a: Array, scores_b: Array, order_a: Sequence[int], order_b: Sequence[int]) -> Agreement:
    """Compare two rankings.

    Parameters
    ----------
    scores_a, scores_b
        Scores of the same conditions, (conditions,).
    order_a, order_b
        The conditions best first, as positions, (conditions,); ties are broken as the tables break them.
    """
    n = len(scores_a)
    varies = n >= FEWEST and bool(np.ptp(scores_a)) and bool(np.ptp(scores_b))
    shared = shared_at_depth(order_a, order_b)
    return Agreement(
        conditions=n,
        spearman=float(stats.spearmanr(scores_a, scores_b).statistic) if varies else None,
        weighted_tau=float(stats.weightedtau(scores_a, scores_b).statistic) if varies else None,
        rank_biased_overlap=rank_biased_overlap(shared) if n else None,
        tops={k: jaccard(int(shared[k - 1]), k, k) for k in TOPS if k < n},
    )


def jaccard(both: int, a: int, b: int) -> float:
    """Return the share of two sets' union that is in both; 1 for two empty ones."""
    return both / (a + b - both) if a + b else 1.0


def shared_at_depth(order_a: Sequence[int], order_b: Sequence[int]) -> npt.NDArray[np.int64]:
    """Return how many conditions the first 1, 2, … of both orders share, (conditions,)."""
    n = len(order_a)
    place_a, place_b = np.empty(n, dtype=np.int64), np.empty(n, dtype=np.int64)
    place_a[np.asarray(order_a, dtype=np.int64)] = np.arange(n)
    place_b[np.asarray(order_b, dtype=np.int64)] = np.arange(n)
    # A condition is shared from the deeper of its two places on.
    return np.cumsum(np.bincount(np.maximum(place_a, place_b), minlength=n))


def rank_biased_overlap(shared: npt.NDArray[np.int64], persistence: float = PERSISTENCE) -> float:
    """Return the extrapolated rank-biased overlap of two rankings, from what they share at each depth."""
    depth = np.arange(1, len(shared) + 1)
    agreed = shared / depth
    weights = persistence**depth
    return float(agreed[-1] * weights[-1] + (1 - persistence) / persistence * (agreed * weights).sum())
