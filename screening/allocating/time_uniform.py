"""Bounds on the centre of a condition's shard scores that hold at all times at once, whatever the tails.

**Assumption.** The scores of one condition's shards are independent and symmetric around their centre. Nothing is
assumed of their variance, range or tails (a Student t with 3 degrees of freedom is as good as a normal one), and
nothing about how conditions depend on one another: they share random numbers.

**Why they hold.** If y is symmetric around 0 or lower, 2 / (1 + exp(−2 λ y)) = 1 + tanh(λ y) has an expectation of
at most 1 for every λ that was fixed before y was seen: the two signs of a distance add up to 2. So the product over
shards, with y the score less m, is a test supermartingale of "the centre is no more than m"; by Ville's inequality
it ever exceeds 1 / α with probability at most α (Ville 1939; betting, as Waudby-Smith and Ramdas 2024; symmetry, as
de la Peña 1999 and Howard et al. 2020). Each factor falls with m, so what is rejected is a half-line, and its end is
the bound.

λ is mixed over a fixed grid in units of the condition's own scale, which is measured on its first shards; those are
not used again. An outlier costs at most one factor of 2 in favour and a factor linear in its exponent against, as a
Huber loss does. Means of shards are symmetric too: late shards come in groups, which bounds the work.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property, lru_cache

import numpy as np
import numpy.typing as npt

Array = npt.NDArray[np.float64]
Indices = npt.NDArray[np.int64]

SCALE_SHARDS = 8
"""Shards that the scale is measured on."""
SINGLE_SHARDS = 64
"""Shards that are used one by one; later ones in groups of 2, 4, 8 and so on, the size doubling with their number."""
_FINEST = 24
"""Number of shards for which the boldest bet of the grid is the best one; it doubles down by 4."""
_STEPS = 16
"""Halvings of the interval in which a bound is looked for."""
_ROUNDING = 2.4e-7
"""By how much a factor in single precision can be too large; it is taken off."""


@dataclass(frozen=True)
class SymmetricBounds:
    """One-sided time-uniform bounds of symmetric scores, each wrong with probability at most ``alpha``.

    Parameters
    ----------
    alpha
        Chance that the lower bound is ever above the centre; the same for the upper one.
    most
        Shards that a condition can have at most; the grid of bets reaches so far.
    """

    alpha: float
    most: int

    @cached_property
    def bets(self) -> Array:
        """Grid of λ in units of 1 / scale, (bets,)."""
        planned = [_FINEST]
        while planned[-1] < self.most:
            planned.append(4 * planned[-1])
        return np.sqrt(2.0 * np.log(len(planned) / self.alpha) / np.array(planned, dtype=np.float64))

    @property
    def least(self) -> int:
        """Shards from which on a bound can be finite: each of them at most doubles the evidence."""
        return SCALE_SHARDS + int(np.ceil(np.log2(len(self.bets) / self.alpha)))

    def intervals(self, scores: Sequence[Array]) -> tuple[Array, Array]:
        """Return lower and upper bounds of some conditions, (conditions,); infinite where shards are too few.

        ``scores`` has the shards of each condition in their order.
        """
        low = np.full(len(scores), -np.inf)
        high = np.full(len(scores), np.inf)
        enough = np.array([place for place, each in enumerate(scores) if len(each) >= self.least], dtype=np.int64)
        for places in _alike(enough, scores):
            values, weights = _grouped(np.stack([scores[place] for place in places]))
            scale = _scale(np.stack([scores[place][:SCALE_SHARDS] for place in places]))
            low[places] = self._lower(values, weights, scale)
            high[places] = -self._lower(-values, weights, scale)
        return low, high

    def _lower(self, values: Array, weights: Array, scale: Array) -> Array:
        """Find the end of what is rejected by bisection; of the last interval the end that is rejected for certain."""
        low = values.min(axis=1) - 10.0 * scale / self.bets[0]
        high = values.max(axis=1)
        low = np.where(self._rejected(values, weights, scale, low), low, -np.inf)
        below = np.where(np.isfinite(low), low, high)
        for _ in range(_STEPS):
            middle = 0.5 * (below + high)
            rejected = self._rejected(values, weights, scale, middle)
            below, high = np.where(rejected, middle, below), np.where(rejected, high, middle)
        return np.asarray(np.where(np.isfinite(low), below, -np.inf))

    def _rejected(self, values: Array, weights: Array, scale: Array, centre: Array) -> npt.NDArray[np.bool_]:
        # (groups, conditions) in single precision: ten times as fast, and what that rounds up is taken off
        distance = (weights * (values - centre[:, None]) / scale[:, None]).T.astype(np.float32, order="C")
        evidence = np.zeros(len(values))
        for bet in self.bets.astype(np.float32):
            factors = np.maximum(np.tanh(bet * distance) + np.float32(1.0 - _ROUNDING), 0.0)
            evidence += np.prod(factors, axis=0, dtype=np.float64)
        return np.asarray(evidence >= len(self.bets) / self.alpha)


def _alike(places: Indices, scores: Sequence[Array]) -> list[Indices]:
    """Put conditions with the same number of shards together."""
    lengths = np.array([len(scores[place]) for place in places], dtype=np.int64)
    return [places[lengths == length] for length in np.unique(lengths)]


def _grouped(scores: Array) -> tuple[Array, Array]:
    """Return the means of the groups of shards behind the scale's, (conditions, groups), and their sizes (groups,)."""
    edges = _edges(scores.shape[1])
    sums = np.add.reduceat(scores[:, : edges[-1]], edges[:-1], axis=1)
    sizes = np.diff(edges).astype(np.float64)
    return sums / sizes, sizes


@lru_cache(maxsize=4096)
def _edges(shards: int) -> Indices:
    """Where groups begin, and where the last complete one ends; what there is already never changes with more."""
    edges, size, double_at = [SCALE_SHARDS], 1, SINGLE_SHARDS
    while edges[-1] + size <= shards:
        edges.append(edges[-1] + size)
        if edges[-1] >= double_at:
            size, double_at = 2 * size, 2 * double_at
    return np.array(edges, dtype=np.int64)


def _scale(first: Array) -> Array:
    """Return the median absolute deviation of the first shards as a standard deviation, (conditions,), never 0."""
    spread = 1.4826 * np.median(np.abs(first - np.median(first, axis=1, keepdims=True)), axis=1)
    smallest = 1e-9 * np.maximum(np.abs(first).max(axis=1), 1e-9)
    return np.asarray(np.maximum(spread, smallest))
