"""How far two groups of cells are apart, in six distances, and how far halves of one group are.

Everything that is fitted (variable genes, principal components, bandwidth, classifier) is fitted on both groups
together. Components of one of them would suit its own noise, and the other would look narrower; taken from both, real
cells beside real cells of the same kind have exactly the null distribution, and that can be drawn by exchanging them.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import scipy.sparse as sp
from scipy import stats

from lingshu_core.realism import log1p_per_10k, most_variable

STATISTICS = ("classifier", "mmd", "spread", "depth", "zeros", "correlation")
"""Names of the distances, in the order of every array of them."""
VARIABLE_GENES = 1_000
CORRELATED_GENES = 100
COMPONENTS = 30
FOLDS = 5
RIDGE = 1.0

Array = npt.NDArray[np.float64]


@dataclass(frozen=True)
class Pool:
    """Cells in pairs, one of each group, with all that does not depend on which of a pair is of which group.

    Attributes
    ----------
    kernel
        Gaussian kernel in the principal components, (cells, cells), bandwidth by the median distance.
    scores
        From labels (±1) to the scores that a classifier gives cells that it was not trained on, (cells, cells).
    components
        Principal components of log1p counts per 10k, (cells, components).
    log_depth, zeros
        Logarithm of the total UMIs and share of genes without a count, (cells,).
    variable
        log1p counts per 10k of the most variable genes, (cells, genes).

    Cell ``i`` of the first half and cell ``i`` of the second are a pair.
    """

    kernel: Array
    scores: Array
    components: Array
    log_depth: Array
    zeros: Array
    variable: Array

    @classmethod
    def of(cls, first: sp.csr_matrix, second: sp.csr_matrix) -> Pool:
        """Take two groups of equally many cells together; UMI counts, (cells, genes)."""
        counts = sp.vstack([first, second]).tocsr()
        depth = np.asarray(counts.sum(axis=1), dtype=float).ravel()
        log_depth, zeros = np.log(np.maximum(depth, 1.0)), 1.0 - counts.getnnz(axis=1) / counts.shape[1]
        scaled = log1p_per_10k(counts)
        variable = most_variable(scaled, VARIABLE_GENES)
        dense = scaled[:, variable].toarray()
        components = principal_components(dense)
        distance = squared_distances(components)
        return cls(
            kernel=np.exp(-distance / np.median(distance[distance > 0])) if distance.any() else np.ones_like(distance),
            scores=held_out_scores(_features(components, log_depth, zeros), first.shape[0]),
            components=components,
            log_depth=log_depth,
            zeros=zeros,
            variable=dense[:, :CORRELATED_GENES],
        )

    @property
    def pairs(self) -> int:
        """How many cells each group has."""
        return len(self.log_depth) // 2

    def distances(self, sign: Array | None = None) -> Array:
        """Return the six distances of the two groups, (splits, statistics).

        Parameters
        ----------
        sign
            −1 exchanges the two cells of a pair, (splits, pairs); None: as they were given.
        """
        signs = np.ones((1, self.pairs)) if sign is None else sign
        labels = np.concatenate([signs, -signs], axis=1)  # (splits, cells)
        return np.column_stack([self._classifier(labels), self._mmd(labels), *self._by_split(labels > 0)])

    def _classifier(self, labels: Array) -> Array:
        rank = stats.rankdata(labels @ self.scores.T, axis=1)
        k = self.pairs
        area = ((rank * (labels > 0)).sum(axis=1) - k * (k + 1) / 2) / k**2
        return discriminability(area, k)

    def _mmd(self, labels: Array) -> Array:
        # Groups of one size and labels ±1: all means of the unbiased estimate are sums of one quadratic form.
        k = self.pairs
        between = self.kernel - np.diag(np.diag(self.kernel))
        total, form = between.sum(), ((labels @ between) * labels).sum(axis=1)
        squared = (total + form) / (2 * k * (k - 1)) - (total - form) / (2 * k**2)
        return np.asarray(np.sign(squared) * np.sqrt(np.abs(squared)))

    def _by_split(self, is_first: npt.NDArray[np.bool_]) -> Iterator[Array]:
        pairs = [(np.flatnonzero(row), np.flatnonzero(~row)) for row in is_first]
        for of in (self._spread, self._depth, self._zeros, self._correlation):
            yield np.array([of(first, second) for first, second in pairs])

    def _spread(self, first: npt.NDArray[np.int64], second: npt.NDArray[np.int64]) -> float:
        variances = [self.components[rows].var(axis=0).sum() for rows in (first, second)]
        return float(abs(np.log(max(variances[0], 1e-12) / max(variances[1], 1e-12))))

    def _depth(self, first: npt.NDArray[np.int64], second: npt.NDArray[np.int64]) -> float:
        return float(np.abs(np.sort(self.log_depth[first]) - np.sort(self.log_depth[second])).mean())

    def _zeros(self, first: npt.NDArray[np.int64], second: npt.NDArray[np.int64]) -> float:
        return float(abs(self.zeros[first].mean() - self.zeros[second].mean()))

    def _correlation(self, first: npt.NDArray[np.int64], second: npt.NDArray[np.int64]) -> float:
        return correlation_error(self.variable[first], self.variable[second])


def principal_components(values: Array) -> Array:
    """Return the principal components of a few cells, (cells, components), from the products of the cells."""
    centred = values - values.mean(axis=0)
    size, vectors = np.linalg.eigh(centred @ centred.T)
    kept = min(COMPONENTS, len(values) - 1)
    return np.asarray(vectors[:, ::-1][:, :kept] * np.sqrt(np.maximum(size[::-1][:kept], 0.0)))


def squared_distances(points: Array) -> Array:
    """Return the squared Euclidean distances of points, (points, points)."""
    square = np.square(points).sum(axis=1)
    distance = np.maximum(square[:, None] + square[None, :] - 2 * points @ points.T, 0.0)
    np.fill_diagonal(distance, 0.0)
    return np.asarray(distance)


def _features(components: Array, log_depth: Array, zeros: Array) -> Array:
    """Return what the classifier sees: components, depth, zeros, and the squares of all, standardised."""
    values = np.column_stack([components, log_depth, zeros])
    values = (values - values.mean(axis=0)) / np.maximum(values.std(axis=0), 1e-12)
    both = np.column_stack([values, np.square(values)])
    return np.asarray((both - both.mean(axis=0)) / np.maximum(both.std(axis=0), 1e-12))


def held_out_scores(features: Array, pairs: int) -> Array:
    """Return the matrix from labels to held-out scores of a ridge classifier, (cells, cells).

    Least squares on labels ±1 is linear in them: one matrix serves all splits. Both cells of a pair are held out
    together, so that every fold has as many cells of either group.
    """
    fold = np.tile(np.arange(pairs) % FOLDS, 2)
    scores = np.zeros((2 * pairs, 2 * pairs))
    for held in range(FOLDS):
        out, rest = np.flatnonzero(fold == held), np.flatnonzero(fold != held)
        if len(out):
            products = features[rest].T @ features[rest] + RIDGE * features.shape[1] * np.eye(features.shape[1])
            scores[np.ix_(out, rest)] = features[out] @ np.linalg.solve(products, features[rest].T)
    return scores


def discriminability(area: Array, cells: int) -> Array:
    """Return d′ = √2 Φ⁻¹(area under the curve): how many standard deviations apart two groups lie.

    The area itself ends at 1: groups that are twice as far apart have hardly more of it.
    """
    margin = 0.5 / cells**2
    return np.asarray(np.sqrt(2.0) * stats.norm.ppf(np.clip(area, margin, 1.0 - margin)))


def area_of(discriminability: float) -> float:
    """Return the area under the curve that belongs to a d′."""
    return float(stats.norm.cdf(discriminability / np.sqrt(2.0)))


def correlation_error(first: Array, second: Array) -> float:
    """Return the root mean square difference of gene–gene correlations, (cells, genes) each; constant genes have 0."""
    difference = _correlations(first) - _correlations(second)
    genes = len(difference)
    return float(np.sqrt(np.square(difference).sum() / max(genes * (genes - 1), 1)))


def _correlations(values: Array) -> Array:
    centred = values - values.mean(axis=0)
    scale = np.sqrt(np.square(centred).sum(axis=0))
    standard = centred / np.where(scale > 0, scale, np.inf)
    found = standard.T @ standard
    np.fill_diagonal(found, 0.0)
    return np.asarray(found)
