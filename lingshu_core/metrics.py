"""How well predicted effects and generated cells agree with real ones."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
from scipy import stats

Array = npt.NDArray[np.floating]


def pearson_delta(predicted: Array, real: Array) -> float:
    """Return the Pearson correlation of predicted and real effects over genes; NaN if one is constant."""
    if np.ptp(predicted) == 0 or np.ptp(real) == 0:
        return float("nan")
    return float(np.corrcoef(predicted, real)[0, 1])


def spearman(first: Array, second: Array) -> float:
    """Return the rank correlation of two lists of numbers; NaN if one is constant."""
    if np.ptp(first) == 0 or np.ptp(second) == 0:
        return float("nan")
    return float(stats.spearmanr(first, second).statistic)


def maximum_mean_discrepancy(first: Array, second: Array) -> float:
    """Return the squared MMD (biased V-statistic) of two clouds, (cells, dimensions), with a Gaussian kernel.

    The bandwidth is the median distance within the pooled cells (arXiv 0805.2368).
    """
    pooled = np.concatenate([first, second])
    distance = np.square(pooled[:, None, :] - pooled[None, :, :]).sum(axis=2)
    kernel = np.exp(-distance / np.median(distance[distance > 0]))
    n = len(first)
    return float(kernel[:n, :n].mean() + kernel[n:, n:].mean() - 2 * kernel[:n, n:].mean())


def recall_at_planted(scores: Array, planted: npt.NDArray[np.bool_]) -> float:
    """Return the share of planted hits among the k highest scores, k = number planted."""
    k = int(planted.sum())
    top = np.argsort(-scores, kind="stable")[:k]
    return float(planted[top].mean())
