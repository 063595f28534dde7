"""Asynchronous successive halving on fixed rungs (Li et al. 2020, ASHA), made deterministic.

ASHA promotes whenever a result arrives, by what has arrived before. Here the order of arrival is replaced by an order
that is drawn from the seed: a decision waits for the results of a *prefix* of a rung, not for the rung, and there are
`STEPS` such prefixes. So

- the first conditions can climb before the last are known, and a straggler holds up only the decisions behind it;
- what is decided depends on scores alone, not on when they came.

A prefix promotes its share of the next rung, by the mean of all shards up to its own rung. Later prefixes know more, so
a little more than 1 / η is promoted in all; `SLACK` bounds it, and with it the cells of a campaign before it starts.

The estimate of a finalist is made of the shards of the last rung alone. None of them had a part in its promotion, so
there is no winner's curse in it; an estimate of a condition that was stopped has one, toward lower scores.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from math import ceil

import numpy as np
import numpy.typing as npt

from screening.allocating.allocation import FINALIST, STOPPED, Array, ShardScores, Verdict

STEPS = 8
"""Prefixes of a rung at whose ends is decided."""
SLACK = 0.25
"""By how much more conditions than planned a rung may get at most."""


@dataclass(frozen=True)
class Rung:
    """Conditions of a rung are given ``shards`` in all; about ``planned`` get there, at most ``most``."""

    shards: int
    planned: int
    most: int


@dataclass(frozen=True)
class Ladder:
    """Rungs of a screen, and whether a budget has cut them.

    Attributes
    ----------
    rungs
        From the bottom up, each with more shards and fewer conditions.
    cut
        Whether rungs are missing or narrower than they would be without the budget.
    """

    rungs: tuple[Rung, ...]
    cut: bool = False

    @property
    def shards(self) -> int:
        """Shards that all conditions together can have at most."""
        return sum(increment * rung.most for increment, rung in zip(self.increments, self.rungs, strict=True))

    @property
    def increments(self) -> tuple[int, ...]:
        """Shards that a condition gets on arriving at each rung."""
        shards = [0, *(rung.shards for rung in self.rungs)]
        return tuple(high - low for low, high in itertools.pairwise(shards))


def build_ladder(
    conditions: int, top: int, first: int, most: int, factor: int = 4, budget: int | None = None
) -> Ladder:
    """Plan the rungs: ``first`` shards for all, ``factor`` times as many for one in ``factor``, up to ``most``.

    Parameters
    ----------
    conditions
        How many there are.
    top
        How many are looked for; a rung never has fewer than twice as many, so that a good one is seldom lost.
    first, most
        Shards of the lowest and of the highest rung.
    factor
        η of the method.
    budget
        Shards that all conditions together may have. The lower rungs are served first; a rung that could not hold
        ``top`` conditions is left out, and those above it.
    """
    rungs = [Rung(min(first, most), conditions, conditions)]
    while rungs[-1].shards < most:
        planned = max(min(conditions, 2 * top), ceil(rungs[-1].planned / factor))
        shards = min(rungs[-1].shards * factor, most)
        if planned >= rungs[-1].planned:  # nothing is selected here: straight to the top
            rungs[-1] = Rung(most, rungs[-1].planned, rungs[-1].most)
        else:
            rungs.append(Rung(shards, planned, min(rungs[-1].most, ceil((1 + SLACK) * planned))))
    whole = Ladder(tuple(rungs))
    return whole if budget is None or whole.shards <= budget else _within(whole, budget, top)


def _within(ladder: Ladder, budget: int, top: int) -> Ladder:
    kept: list[Rung] = []
    for increment, rung in zip(ladder.increments, ladder.rungs, strict=True):
        most = min(rung.most, max(budget, 0) // increment)
        if kept and most < top:
            break
        most = most if kept else rung.most  # the lowest rung is checked when the campaign is planned
        kept.append(Rung(rung.shards, min(rung.planned, most), most))
        budget -= most * increment
    return Ladder(tuple(kept), cut=True)


class Halving:
    """Asynchronous successive halving of ``conditions`` on a ladder.

    Parameters
    ----------
    conditions
        How many there are.
    ladder
        Of :func:`build_ladder`.
    seed
        Of the order in which conditions are looked at.
    """

    def __init__(self, conditions: int, ladder: Ladder, seed: int) -> None:
        self.ladder = ladder
        self.scores = ShardScores(conditions)
        self._order = np.random.default_rng([seed, conditions]).permutation(conditions)
        self._failed = np.zeros(conditions, dtype=np.bool_)
        self._wanted = np.full(conditions, ladder.rungs[0].shards, dtype=np.int64)
        self._rungs = [_Standing(rung) for rung in ladder.rungs]
        self._rungs[0].arrive(self._order.tolist())
        self._rungs[0].closed = True

    def observe(self, condition: int, scores: Array) -> None:
        """Take the scores of the next shards of a condition."""
        self.scores.add(condition, scores)

    def fail(self, condition: int) -> None:
        """Hear that a condition gets no further scores: it is never promoted, and nobody waits for it."""
        self._failed[condition] = True

    def wanted(self) -> npt.NDArray[np.int64]:
        """Decide what can be decided, and return how many shards each condition is to have."""
        for low, high in zip(self._rungs[:-1], self._rungs[1:], strict=True):
            low.look(self._score)
            for stop, is_all in low.due():
                promoted = low.promote(stop, high.rung, is_all=is_all)
                high.arrive(promoted)
                self._wanted[promoted] = high.rung.shards
            high.closed = low.finished
        return self._wanted

    def verdict(self, condition: int) -> Verdict | None:
        """Say at which rung a condition stands whose scores are complete."""
        known = int(self.scores.count[condition])
        reached = [place for place, rung in enumerate(self.ladder.rungs) if rung.shards <= known]
        reached = [place for place in reached if self.ladder.rungs[place].shards <= self._wanted[condition]]
        if not reached:
            return None
        place = reached[-1]
        stop, last = self.ladder.rungs[place].shards, len(self.ladder.rungs) - 1
        only_the_budget = self.ladder.cut and last == 0
        finalist = place == last and not only_the_budget
        first = self.ladder.rungs[place - 1].shards if finalist and last > 0 else 0
        word = FINALIST if finalist else f"{STOPPED} {place + 1}"
        return Verdict(word, first, stop, int(self._wanted[condition]), self.scores.mean(condition, first, stop))

    def _score(self, condition: int, shards: int) -> float | None:
        """Return the mean of the first shards of a condition; None as long as they aren't known."""
        if self.scores.count[condition] >= shards:
            return self.scores.mean(condition, 0, shards)
        return -np.inf if self._failed[condition] else None


class _Standing:
    """The conditions of one rung, in the order in which they came to it."""

    def __init__(self, rung: Rung) -> None:
        self.rung = rung
        self.arrived: list[int] = []
        self.scores: list[float] = []
        self.closed = False
        self.finished = False
        self._decided = 0
        self._promoted: set[int] = set()

    def arrive(self, conditions: Sequence[int]) -> None:
        """Take conditions, behind those that are here."""
        self.arrived += conditions

    def look(self, score: Callable[[int, int], float | None]) -> None:
        """Take the results as far as they reach without a gap."""
        while len(self.scores) < len(self.arrived):
            found = score(self.arrived[len(self.scores)], self.rung.shards)
            if found is None:
                return
            self.scores.append(found)

    def due(self) -> list[tuple[int, bool]]:
        """Return the lengths of the prefixes that can be decided now and have not been; True with the last one."""
        known = len(self.scores)
        ends = [ceil(step * self.rung.planned / STEPS) for step in range(1, STEPS)]
        due = [(end, False) for end in dict.fromkeys(ends) if self._decided < end <= known]
        self._decided = max([self._decided, *(end for end, _ in due)])
        if self.closed and known == len(self.arrived) and not self.finished:
            self.finished = True
            due.append((known, True))
        return due

    def promote(self, stop: int, above: Rung, *, is_all: bool) -> list[int]:
        """Choose the best of a prefix that are not above yet."""
        share = 1.0 if is_all else min(stop / self.rung.planned, 1.0)
        room = int(above.most * share) - len(self._promoted)
        scores = np.array(self.scores[:stop])
        best = np.argsort(-scores, kind="stable")[: int(above.planned * share)]
        chosen = [self.arrived[place] for place in best if np.isfinite(scores[place])]
        promoted = [each for each in chosen if each not in self._promoted][: max(room, 0)]
        self._promoted.update(promoted)
        return promoted
