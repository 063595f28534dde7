"""Contexts by the values of a factor, and the scores of every perturbation in each of these groups."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from scipy import stats

from screening.answers.context_scores import ContextScores

Array = npt.NDArray[np.float64]


@dataclass(frozen=True)
class ContextGroups:
    """Means over the contexts of each value of a factor.

    Attributes
    ----------
    scores
        Of single contexts.
    values
        Of the factor.
    value_of
        Which value each context has, (contexts,).
    above, variance, least
        Means of scores above the null, variances of their noise, minimum effects, (perturbations, values).
    p
        Chance of such a mean or a higher one without an effect, (perturbations, values).
    """

    scores: ContextScores
    values: tuple[str, ...]
    value_of: npt.NDArray[np.int64]
    above: Array
    variance: Array
    least: Array
    p: Array

    @classmethod
    def of(cls, scores: ContextScores, values: Sequence[str], minimum_effect: float) -> ContextGroups:
        """Average over the contexts of each value; ``values`` has that of every context of the scores."""
        names = tuple(sorted(set(values)))
        value_of = np.array([names.index(value) for value in values], dtype=np.int64)
        shape = (len(scores.perturbations), len(names))
        above, variance, least = np.empty(shape), np.empty(shape), np.empty(shape)
        for place in range(len(names)):  # one after the other: weights of all of them could fill a machine
            weights = scores.averaging(value_of == place)
            above[:, place], variance[:, place] = scores.mean(weights), scores.variance(weights)
            least[:, place] = scores.least(weights, minimum_effect)
        with np.errstate(invalid="ignore", divide="ignore"):  # without noise no p-value: told as an obstacle
            p = scores.p_values(above / np.sqrt(variance))
        return cls(scores, names, value_of, above, variance, least, p)

    @property
    def widened_variance(self) -> Array:
        """Variances for normal distributions, (perturbations, values)."""
        each = [self.scores.averaging(self.value_of == place) for place in range(len(self.values))]
        return np.stack([self.scores.variance(weights, widened=True) for weights in each], axis=1)

    def variance_of(self, weights: Array) -> Array:
        """Return the widened variance of the noise of weighted sums, (perturbations, values) → (perturbations,)."""
        there = self.scores.there
        number = np.stack([there[:, self.value_of == place].sum(axis=1) for place in range(len(self.values))], axis=1)
        # (perturbations, values) -> (perturbations, contexts)
        single = np.where(there, (weights / np.maximum(number, 1))[:, self.value_of], 0.0)
        return self.scores.variance(np.asarray(single, dtype=np.float64), widened=True)

    def obstacle(self, row: int) -> str:
        """Say why a perturbation can't be judged in all contexts; empty if it can."""
        reasons = zip(self.scores.contexts, self.scores.obstacles[row], strict=True)
        told = [(name, text) for name, text in reasons if text]
        if not told:
            return ""
        where, what = told[0]
        number = len(self.scores.contexts)
        return what if len({text for _, text in told}) == 1 and len(told) == number else f"in {where}: {what}"


def false_discoveries(p: Array) -> Array:
    """Adjust p-values of any shape by Benjamini and Hochberg 1995; NaN stays."""
    found, known = np.full(p.shape, np.nan), np.isfinite(p)
    if known.any():
        found[known] = stats.false_discovery_control(p[known], method="bh")
    return found
