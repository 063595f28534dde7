"""How large the error of a predicted effect is expected to be, gene by gene, before anything was measured.

The variance of the error is a sum of few terms, all known with the prediction, and none of them negative::

    σ² = a + b |effect| + c effect² [+ d expression] [+ e spread²]

Its coefficients are fitted to the squared residuals of some answered predictions, less the variance that is known
(sampling of the real cells, Monte Carlo). A few genes that are far off must not set the scale of all, so residuals
count by the inverse square of their expected size and are cut at ``CUT`` standard deviations. What the tails really are
is left to the conformal step (:mod:`lingshu_core.uncertainty`).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Self

import numpy as np
import numpy.typing as npt
from scipy.optimize import nnls

Array = npt.NDArray[np.float64]

TERMS = ("constant", "size", "size²", "expression", "spread²")
ROUNDS = 8
CUT = 3.5
LEAST_SHARE = 0.02
BOUND = 1.645
"""An error of the model far below the noise of the real cells can't be seen. The constant term is at least this share
of the noise, and of few values at least the 95 % bound of a variance estimated from them: wide, rather than sure."""
_LEAST_VARIANCE = 1e-12
_VALUES_PER_TERM = 20
"""With fewer residuals for each term only the constant is fitted: scores of a few conditions."""
_MOST_VALUES = 400_000


@dataclass(frozen=True)
class Residuals:
    """Errors of answered predictions, pooled, each (values,).

    Attributes
    ----------
    terms
        What the scale is made of, (values, terms), in the order of ``names``.
    names
        Terms that all predictions have; the first is the constant.
    square
        Squared differences of real and predicted effects.
    known
        Variance of them that is known: sampling error of the real cells and Monte Carlo error.
    weight
        Share of a value in its group: groups count the same, however many values they have.
    """

    terms: Array
    names: tuple[str, ...]
    square: Array
    known: Array
    weight: Array


@dataclass(frozen=True)
class ErrorScale:
    """Fitted coefficients of the terms, by name; terms that didn't help have none."""

    coefficients: dict[str, float]

    @classmethod
    def fit(cls, residuals: Residuals) -> Self:
        """Fit the scale by iteratively reweighted non-negative least squares."""
        residuals = _thinned(residuals)
        names = residuals.names
        if len(residuals.square) < _VALUES_PER_TERM * len(names):
            names = names[:1]
        design = residuals.terms[:, : len(names)]
        units = np.sqrt(np.square(design).mean(axis=0)) + _LEAST_VARIANCE
        found = _solve(design / units, residuals) / units
        return cls({name: float(value) for name, value in zip(names, found, strict=True) if value > 0})

    def variance(self, terms: Array, names: tuple[str, ...]) -> Array:
        """Return the expected variance of the model's error, (values,), for ``terms`` (values, names)."""
        return terms @ np.array([self.coefficients.get(name, 0.0) for name in names])


def scale_terms(effect: Array, expression: Array | None, spread: Array | None) -> tuple[Array, tuple[str, ...]]:
    """Return the terms of a prediction, (genes, terms), and their names."""
    size = np.abs(effect)
    columns = {"constant": np.ones_like(size), "size": size, "size²": size**2}
    if expression is not None:
        columns["expression"] = np.abs(expression)  # of a score it may be negative, and a variance can't be
    if spread is not None:
        columns["spread²"] = spread**2
    return np.stack(list(columns.values()), axis=1), tuple(columns)


def _solve(design: Array, residuals: Residuals) -> Array:
    noise = float(np.average(residuals.known, weights=residuals.weight))
    hidden = noise * max(LEAST_SHARE, BOUND * float(np.sqrt(2.0 / len(residuals.square))))
    # The constant is the first column, and one throughout but for its unit.
    least = (hidden + _LEAST_VARIANCE) / design[0, 0]
    found = np.zeros(design.shape[1])
    found[0] = max(float(np.average(residuals.square, weights=residuals.weight)) / design[0, 0], least)
    for _ in range(ROUNDS):
        expected = design @ found + residuals.known
        excess = np.minimum(residuals.square, CUT**2 * expected) - residuals.known
        weight = np.sqrt(residuals.weight) / expected
        found, _ = nnls(design * weight[:, None], excess * weight)
        found[0] = max(found[0], least)
    return found


def _thinned(residuals: Residuals) -> Residuals:
    """Keep a random part of very many residuals: five numbers are fitted."""
    if len(residuals.square) <= _MOST_VALUES:
        return residuals
    kept = np.random.default_rng(0).choice(len(residuals.square), _MOST_VALUES, replace=False)
    arrays = (residuals.square[kept], residuals.known[kept], residuals.weight[kept])
    return Residuals(residuals.terms[kept], residuals.names, *arrays)
