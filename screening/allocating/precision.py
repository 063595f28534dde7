"""Shards until the standard error of every condition's effect is small enough, each by its own scatter.

A condition has enough once the upper 90 % bound of its standard error is no more than what was asked for:
√(ν / χ²₀.₁(ν)) · s / √n, with s the standard deviation of its n shards and ν = n − 1. The plain s / √n would do for
half of all conditions by luck of a low s alone, and stopping on it looks for that luck; the bound takes it off.

What stops a condition is the scatter of its shards, never their mean. Of normal shards the two are independent, so an
effect is no better and no worse for being stopped (Stein 1945, https://doi.org/10.1214/aoms/1177731088; Starr and
Woodroofe 1969, https://doi.org/10.1073/pnas.63.2.285). s itself is a little low where it stopped; what it comes to is
in docs/allocation.md.

The number of shards that a condition seems to need follows from s at every look; it gets them, but never more than
`GROWTH` times what it has, so that a scatter of eight shards decides nothing large. Conditions know nothing of one
another, so a condition waits for its own blocks alone. Only where a budget can bind do all look together, in rounds:
those that lack least are served first, as more of them get there.
"""

from __future__ import annotations

from functools import lru_cache
from typing import Any

import numpy as np
import numpy.typing as npt
from scipy import stats

from screening.allocating.allocation import OVER_PRECISION, WITHIN_PRECISION, Array, ShardScores, Verdict

CONFIDENCE = 0.9
"""Of the bound of a standard error, one-sided."""
GROWTH = 4
"""A condition that is sampled again has at most so many times its shards afterwards."""
CAP, BUDGET, ENDED = "estimator.shards", "budget", "the run ended"
"""Why a condition did not get there."""

Indices = npt.NDArray[np.int64]


class Precision:
    """Gives every condition shards until its standard error is known to be ``precision`` or less.

    Parameters
    ----------
    conditions
        How many there are.
    precision
        Standard error that is asked for, in the unit of the effects.
    first
        Shards of every condition before anything is decided.
    most
        Cap of a condition.
    unit
        Shards are given in multiples of it.
    budget
        Shards that all conditions together may have; None for no limit.
    """

    def __init__(
        self, conditions: int, *, precision: float, first: int, most: int, unit: int = 1, budget: int | None = None
    ) -> None:
        self.precision, self.most = precision, most
        self.scores, self.effects = ShardScores(conditions), ShardScores(conditions)
        self.standard_error = np.full(conditions, np.inf)
        self._budget = None if budget is None or budget >= conditions * most else budget
        self._failed = np.zeros(conditions, dtype=np.bool_)
        self._wanted = np.full(conditions, min(first, most), dtype=np.int64)
        self._needed = self._wanted.copy()
        self._heard: set[int] = set()
        self._is_spent = False
        self._sizes = np.minimum(np.arange(unit, most + unit, unit, dtype=np.int64), most)
        self._least_errors = _bound(self._sizes) / np.sqrt(self._sizes)  # bound of the error for a scatter of 1

    def observe(self, condition: int, scores: Array, effects: Array | None = None) -> None:
        """Take the scores of the next shards of a condition, and their effects where these are not the same."""
        self.scores.add(condition, scores)
        self.effects.add(condition, scores if effects is None else effects)
        self._heard.add(condition)

    def fail(self, condition: int) -> None:
        """Hear that a condition gets no further scores: nobody waits for it."""
        self._failed[condition] = True

    def wanted(self) -> Indices:
        """Look at what is complete, and return how many shards each condition is to have."""
        complete = (self.scores.count >= self._wanted) | self._failed
        if self._budget is None:
            self._look([each for each in self._heard if complete[each]])
            self._wanted = np.maximum(self._wanted, self._needed)
        elif bool(complete.all()):
            self._look(list(self._heard))
            chosen = self._affordable()
            self._wanted[chosen] = self._needed[chosen]
            self._is_spent = not len(chosen)
        return self._wanted

    def verdict(self, condition: int) -> Verdict | None:
        """Say whether a condition is precise enough, and if it is not, why."""
        stop = int(self.scores.count[condition])
        if stop == 0:
            return None
        word = WITHIN_PRECISION if self.is_within(condition) else f"{OVER_PRECISION}: {self._why(condition)}"
        estimate = self.scores.mean(condition, 0, stop)
        return Verdict(word=word, first=0, stop=stop, drawn=int(self._wanted[condition]), estimate=estimate)

    def is_within(self, condition: int) -> bool:
        """Tell whether the bound of a condition's standard error is as small as was asked."""
        place = int(np.searchsorted(self._sizes, self.effects.count[condition]))
        return bool(self._scatter(condition) * self._least_errors[place] <= self.precision)

    def facts(self, conditions: Indices) -> dict[str, Any]:
        """Return what a manifest says of some conditions: the standard errors that they came to."""
        known = [self._scatter(each) / np.sqrt(self.effects.count[each]) for each in conditions.tolist()]
        known = [each for each in known if np.isfinite(each)]
        if not known:
            return {}
        return {"standard_error": {"median": float(np.median(known)), "largest": float(np.max(known))}}

    def _look(self, conditions: list[int]) -> None:
        """Say how many shards some conditions need, by the scatter of those that they have."""
        for condition in conditions:
            self._heard.discard(condition)
            scatter = self._scatter(condition)
            known = int(self.effects.count[condition])
            enough = np.flatnonzero(scatter * self._least_errors <= self.precision)
            needed = int(self._sizes[enough[0]]) if len(enough) else self.most
            within = scatter * self._least_errors[int(np.searchsorted(self._sizes, known))] <= self.precision
            self._needed[condition] = known if within else min(max(needed, known), GROWTH * known, self.most)

    def _affordable(self) -> Indices:
        """Return the conditions that get more, those that lack least first, as far as the budget goes."""
        lack = np.where(self._failed, 0, self._needed - self._wanted)
        order = np.argsort(lack, kind="stable")
        order = order[lack[order] > 0]
        left = (self._budget or 0) - int(self._wanted.sum())
        return order[np.cumsum(lack[order]) <= left]

    def _scatter(self, condition: int) -> float:
        effects = self.effects.of(condition)
        return float(effects.std(ddof=1)) if len(effects) > 1 else np.inf

    def _why(self, condition: int) -> str:
        if self.scores.count[condition] >= self.most:
            return CAP
        return BUDGET if self._is_spent else ENDED


@lru_cache(maxsize=8)
def _of_sizes(sizes: tuple[int, ...]) -> Array:
    freedom = np.maximum(np.array(sizes, dtype=np.float64) - 1.0, 1.0)
    return np.asarray(np.sqrt(freedom / stats.chi2.ppf(1.0 - CONFIDENCE, freedom)), dtype=np.float64)


def _bound(sizes: Indices) -> Array:
    """Return by how much the bound of a standard deviation is above that of so many shards, (sizes,)."""
    return _of_sizes(tuple(sizes.tolist()))
