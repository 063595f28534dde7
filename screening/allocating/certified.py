"""The best k conditions with fixed confidence: in, out or undecided, after LUCB (Kalyanakrishnan et al. 2012).

With probability at least 1 − δ, at all times at once and for all conditions together,

- what is ``in`` is no more than ε below the k-th best condition,
- what is ``out`` is no more than ε above it.

Both follow from bounds on single conditions (`screening.allocating.time_uniform`, which says what they assume). A wrong
statement takes an upper bound that fails for one of the k best or a lower bound that fails for one of the others: one
side of each condition, so each bound may be wrong with probability δ / conditions.

A round waits for all of its shards. It samples the conditions that stand in the way: of the k that lead, those
whose lower bound is farthest down, and of the others those whose upper bound is highest. Rounds grow a condition's
shards by half, and stop at its cap; what is open then is undecided.
"""

from __future__ import annotations

from math import ceil

import numpy as np
import numpy.typing as npt

from screening.allocating.allocation import IN, OUT, UNDECIDED, Array, ShardScores, Verdict
from screening.allocating.time_uniform import SymmetricBounds

GROWTH = 1.5
"""A condition that is sampled again has so many times its shards afterwards."""

ROUND = 4
"""Challengers that a round samples at most, in multiples of `top`; fewer sample less in all, and take more rounds."""

Indices = npt.NDArray[np.int64]
Flags = npt.NDArray[np.bool_]


class Certified:
    """Rounds of sampling until the best ``top`` conditions are known to ``epsilon``, or nothing may be sampled.

    Parameters
    ----------
    conditions
        How many there are.
    top
        How many are looked for.
    epsilon
        Indifference, in the unit of the score.
    delta
        Chance that any statement is wrong.
    first
        Shards of every condition in the first round; rounded up to what a finite bound takes.
    most
        Cap of a condition.
    unit
        Shards are given in multiples of it.
    budget
        Shards that all conditions together may have; None for no limit.
    """

    def __init__(
        self,
        conditions: int,
        *,
        top: int,
        epsilon: float,
        delta: float,
        first: int,
        most: int,
        unit: int = 1,
        budget: int | None = None,
    ) -> None:
        self.top, self.epsilon, self.most = min(top, conditions), epsilon, most
        self.scores = ShardScores(conditions)
        self.bounds = SymmetricBounds(delta / max(conditions, 1), most)
        self.low, self.high = np.full(conditions, -np.inf), np.full(conditions, np.inf)
        self.finished = False
        self._unit, self._budget = unit, budget
        self._failed = np.zeros(conditions, dtype=np.bool_)
        self._known = np.zeros(conditions, dtype=np.int64)  # shards that the bounds are made of
        start = min(least_shards(conditions, first=first, most=most, delta=delta, unit=unit), most)
        self._wanted = np.full(conditions, start, dtype=np.int64)

    def observe(self, condition: int, scores: Array) -> None:
        """Take the scores of the next shards of a condition."""
        self.scores.add(condition, scores)

    def fail(self, condition: int) -> None:
        """Hear that a condition gets no further scores: it is no candidate any more."""
        self._failed[condition] = True

    def wanted(self) -> Indices:
        """Decide the next round once this one is complete, and return how many shards each condition is to have."""
        if not self.finished and bool(((self.scores.count >= self._wanted) | self._failed).all()):
            self._look()
            chosen = self._affordable(self._in_the_way())
            self._wanted[chosen] = self._more(chosen)
            self.finished = not len(chosen)
        return self._wanted

    def verdict(self, condition: int) -> Verdict | None:
        """Say what is certain of a condition by the rounds that are complete."""
        stop = int(self._known[condition])
        if stop == 0:
            return None
        return Verdict(
            word=str(self.words[condition]),
            first=0,
            stop=stop,
            drawn=int(self._wanted[condition]),
            estimate=self.scores.mean(condition, 0, stop),
            low=float(self.low[condition]),
            high=float(self.high[condition]),
        )

    @property
    def words(self) -> npt.NDArray[np.str_]:
        """``in``, ``out`` or ``undecided`` of each condition, (conditions,); never more than `top` are in."""
        above = _others_above(self.low + self.epsilon, self.high, self._alive)  # others that may be better by ε
        sure = _others_above(self.high - self.epsilon, self.low, self._alive, or_equal=True)
        inside, outside = self._alive & (above < self.top), self._alive & (sure >= self.top)
        first = np.lexsort((-self.estimates, ~inside))[: self.top]
        chosen = np.zeros(len(inside), dtype=np.bool_)
        chosen[first] = inside[first]
        return np.where(chosen, IN, np.where(outside, OUT, UNDECIDED))

    @property
    def estimates(self) -> Array:
        """Middle of each interval, or the mean where there is none yet, (conditions,)."""
        with np.errstate(invalid="ignore"):
            middle = 0.5 * (self.low + self.high)
        places = np.flatnonzero(~np.isfinite(middle))
        middle[places] = [self._mean(int(i)) for i in places]
        return middle

    def _mean(self, condition: int) -> float:
        known = int(self._known[condition])
        return self.scores.mean(condition, 0, known) if known else -np.inf

    @property
    def _alive(self) -> Flags:
        return ~(self._failed & (self.scores.count < self._wanted))

    def _look(self) -> None:
        """Bring the bounds up to the shards that are known; a bound only ever gets tighter."""
        places = np.flatnonzero(self.scores.count > self._known)
        low, high = self.bounds.intervals([self.scores.of(int(place)) for place in places])
        self.low[places] = np.maximum(self.low[places], low)
        self.high[places] = np.minimum(self.high[places], high)
        self._known[places] = self.scores.count[places]

    def _in_the_way(self) -> Indices:
        """Return the conditions whose bounds keep the others from being decided, most urgent first."""
        alive = self._alive
        order = np.lexsort((np.arange(len(alive)), -self.estimates, ~alive))
        leaders, others = order[: self.top], order[self.top : int(alive.sum())]
        if not len(others):
            return np.empty(0, dtype=np.int64)
        highest, lowest = self.high[others].max(), self.low[leaders].min()
        weak = leaders[self.low[leaders] < highest - self.epsilon]
        strong = others[self.high[others] > lowest + self.epsilon]
        weak = weak[np.argsort(self.low[weak], kind="stable")]
        strong = strong[np.argsort(-self.high[strong], kind="stable")]
        able = [each[self._wanted[each] < self.most] for each in (weak, strong)]
        return np.concatenate([each[: ROUND * self.top] for each in able])

    def _more(self, conditions: Indices) -> Indices:
        grown = np.ceil(self._wanted[conditions] * GROWTH / self._unit).astype(np.int64) * self._unit
        return np.minimum(grown, self.most)

    def _affordable(self, conditions: Indices) -> Indices:
        """Keep as many of the conditions, from the most urgent on, as the budget pays for."""
        if self._budget is None:
            return conditions
        cost = np.cumsum(self._more(conditions) - self._wanted[conditions])
        return conditions[cost <= self._budget - int(self._wanted.sum())]


def least_shards(conditions: int, *, first: int, most: int, delta: float, unit: int = 1) -> int:
    """Return the shards of the first round: ``first``, or what a finite bound takes if it is more."""
    least = SymmetricBounds(delta / max(conditions, 1), most).least
    return ceil(max(first, least) / unit) * unit


def _others_above(limits: Array, values: Array, alive: Flags, *, or_equal: bool = False) -> Indices:
    """Count for each condition the others whose value is above its limit (or equal), (conditions,)."""
    counted = np.sort(values[alive])
    above = len(counted) - np.searchsorted(counted, limits, side="left" if or_equal else "right")
    own = alive & ((values >= limits) if or_equal else (values > limits))
    return np.asarray(above - own, dtype=np.int64)
