"""Screens of 5,000 conditions of which the 50 best are looked for, as numbers: hard ones for an allocation.

A tenth of the conditions act. The unit is the score's; shards scatter by .35 (root mean square) around their centre.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType

import numpy as np
import numpy.typing as npt

CONDITIONS, TOP, ACTIVE = 5_000, 50, 500
NOISE = 0.35
"""Root mean square over conditions of the standard deviation of a shard's score."""

Array = npt.NDArray[np.float64]


@dataclass(frozen=True)
class Case:
    """What makes a screen hard.

    Attributes
    ----------
    tails
        ``normal``, or ``t3``: Student t with 3 degrees of freedom, scaled to the same variance.
    spread
        Standard deviation of the logarithm of the conditions' own standard deviations; 0 where all are alike.
    ties
        Whether those that act are near ties: effects of .6 to 1, instead of the half of a normal distribution.
    """

    tails: str = "normal"
    spread: float = 0.0
    ties: bool = False


CASES: Mapping[str, Case] = MappingProxyType(
    {
        "normal": Case(),
        "unequal variances": Case(spread=0.5),
        "heavy tails": Case(tails="t3"),
        "heavy tails, unequal variances": Case(tails="t3", spread=0.5),
        "heavy tails, near ties": Case(tails="t3", ties=True),
    }
)


class SimulatedScreen:
    """Conditions with known centres, and shards that are drawn when somebody asks.

    Attributes
    ----------
    centres
        True scores, (conditions,).
    """

    def __init__(self, case: Case, seed: list[int]) -> None:
        self.rng = np.random.default_rng(seed)
        self.centres = np.zeros(CONDITIONS)
        acting = self.rng.choice(CONDITIONS, ACTIVE, replace=False)
        half_normal = np.abs(self.rng.normal(0, 0.5, ACTIVE))
        self.centres[acting] = self.rng.uniform(0.6, 1.0, ACTIVE) if case.ties else half_normal
        deviations = np.exp(case.spread * self.rng.normal(size=CONDITIONS))
        self._deviations = NOISE * deviations / np.sqrt(np.square(deviations).mean())
        self._tails = case.tails

    @property
    def best(self) -> npt.NDArray[np.int64]:
        """The conditions that are looked for."""
        return np.argsort(-self.centres, kind="stable")[:TOP]

    @property
    def kth(self) -> float:
        """True score of the last of them."""
        return float(self.centres[self.best[-1]])

    def recall(self, found: npt.NDArray[np.int64]) -> float:
        """Return the share of the best that was found."""
        return len(np.intersect1d(found, self.best)) / TOP

    def draw(self, conditions: npt.NDArray[np.int64], shards: int) -> Array:
        """Draw further shards, (conditions, shards)."""
        shape = (len(conditions), shards)
        noise = self.rng.normal(size=shape) if self._tails == "normal" else self.rng.standard_t(3, shape) / np.sqrt(3)
        return np.asarray(self.centres[conditions, None] + self._deviations[conditions, None] * noise)
