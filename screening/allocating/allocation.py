"""Allocation: which conditions of a screen get more shards, from the scores of those that they have.

An allocation is a fold over shard scores. It holds nothing else, draws nothing but the order of conditions (from the
campaign's seed), and looks at no clock: the same scores give the same decisions, in whatever order they come, so a run
that was interrupted replays them from the blocks that are committed.

Shards are the replicates: independent given the condition, a shard never counts half. Conditions are numbers here, in
the order of the plan.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np
import numpy.typing as npt

Array = npt.NDArray[np.float64]

FINALIST, STOPPED = "finalist", "stopped at rung"
IN, OUT, UNDECIDED = "in", "out", "undecided"
WITHIN_PRECISION, OVER_PRECISION = "within precision", "over precision"


@dataclass(frozen=True)
class Verdict:
    """What an allocation has come to for one condition.

    Attributes
    ----------
    word
        ``finalist`` or ``stopped at rung 2``; or ``in``, ``out`` or ``undecided``; or ``within precision``, or
        ``over precision`` with the reason.
    first, stop
        Shards that its estimate is made of; those before ``first`` served to select it.
    drawn
        Shards that were asked for, those that served to select it among them.
    estimate
        Mean score of the shards of its estimate.
    low, high
        Simultaneous time-uniform interval of its score; None where there is none.
    """

    word: str
    first: int
    stop: int
    drawn: int
    estimate: float
    low: float | None = None
    high: float | None = None


class Allocation(Protocol):
    """Decides how many shards each condition gets."""

    @property
    def scores(self) -> ShardScores:
        """All scores that it was told."""
        ...

    def observe(self, condition: int, scores: Array) -> None:
        """Take the scores of the next shards of a condition, in the order of its shards."""
        ...

    def fail(self, condition: int) -> None:
        """Hear that a condition gets no further scores."""
        ...

    def wanted(self) -> npt.NDArray[np.int64]:
        """Return how many shards each condition is to have, by what is known now, (conditions,); it never falls."""
        ...

    def verdict(self, condition: int) -> Verdict | None:
        """Return what is made of a condition; None where it has too few scores for anything."""
        ...


class ShardScores:
    """Scores of the shards of every condition, as far as they are known."""

    def __init__(self, conditions: int) -> None:
        self._parts: list[list[Array]] = [[] for _ in range(conditions)]
        self.count = np.zeros(conditions, dtype=np.int64)

    def add(self, condition: int, scores: Array) -> None:
        """Append the scores of the next shards."""
        self._parts[condition].append(np.asarray(scores, dtype=np.float64))
        self.count[condition] += len(scores)

    def of(self, condition: int) -> Array:
        """Return all scores of a condition in the order of its shards, (shards,)."""
        parts = self._parts[condition]
        if len(parts) > 1:
            self._parts[condition] = parts = [np.concatenate(parts)]
        return parts[0] if parts else np.empty(0)

    def mean(self, condition: int, first: int, stop: int) -> float:
        """Return the mean score of the shards ``first … stop - 1``."""
        return float(self.of(condition)[first:stop].mean())


def tier(word: str | None) -> int:
    """Return the place of a verdict in the ranked table: lower ones come first, scores order those of one tier."""
    if word is None or word in (FINALIST, IN, WITHIN_PRECISION) or word.startswith(OVER_PRECISION):
        return 0
    if word in (UNDECIDED, OUT):
        return 1 if word == UNDECIDED else 2
    rung = re.fullmatch(rf"{STOPPED} (\d+)", word)
    return 1_000 - int(rung[1]) if rung else 1_000


def describe(verdicts: Sequence[Verdict | None]) -> str:
    """Count verdicts by their words."""
    words = [verdict.word for verdict in verdicts if verdict is not None]
    counts = {word: words.count(word) for word in sorted(set(words), key=lambda word: (tier(word), word))}
    return ", ".join(f"{number:,} {word}" for word, number in counts.items())
