"""How well predicted effects and generated cells agree with real ones: single numbers from arrays.

Which of them are reported under which name, and which way is better, stands in `lingshu_core.metric_catalogue`.
"""

from __future__ import annotations

from typing import Literal

import numpy as np
import numpy.typing as npt
from scipy import stats
from scipy.spatial.distance import cdist

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


def replicate_scaled(value: float, baseline: float, replicate: float) -> float:
    """Return ``(value − baseline) / (replicate − baseline)``: 0 as good as the baseline, 1 as good as a replicate.

    It serves both directions: for an error, baseline and replicate lie the other way round. NaN where the replicate
    is no different from the baseline: then nothing could be won.
    """
    headroom = replicate - baseline
    if not np.isfinite(headroom) or abs(headroom) <= 1e-9 * max(abs(replicate), abs(baseline), 1e-12):
        return float("nan")
    return float((value - baseline) / headroom)


def discrimination(
    predicted: Array, candidates: Array, own: npt.NDArray[np.integer], distance: Literal["l1", "cosine"]
) -> npt.NDArray[np.float64]:
    """Return the perturbation discrimination score of each prediction, (predictions,).

    1 − rank / (n − 1), where rank counts the real effects that are nearer to the prediction than its own; equal
    distances count half, so that a prediction that is the same for all gets .5 on average.

    Parameters
    ----------
    predicted
        Predicted effects, (predictions, genes).
    candidates
        Real effects, (n, genes), n at least 2.
    own
        Row of each prediction's own real effect, (predictions,).
    distance
        ``l1``, or ``cosine`` (1 for an effect of nothing but zeros).
    """
    apart = (
        _cosine_distance(predicted, candidates) if distance == "cosine" else cdist(predicted, candidates, "cityblock")
    )
    to_own = np.take_along_axis(apart, own[:, None], axis=1)  # (predictions, 1)
    close = np.isclose(apart, to_own, rtol=1e-9, atol=1e-12)
    # The own effect is as near as itself, and counts nothing.
    rank = ((apart < to_own) & ~close).sum(axis=1) + 0.5 * (close.sum(axis=1) - 1)
    return np.asarray(1.0 - rank / (len(candidates) - 1))


def _cosine_distance(first: Array, second: Array) -> npt.NDArray[np.float64]:
    lengths = np.linalg.norm(first, axis=1)[:, None] * np.linalg.norm(second, axis=1)[None, :]
    return np.asarray(1.0 - np.divide(first @ second.T, lengths, out=np.zeros_like(lengths), where=lengths > 0))


def energy_distance(first: Array, second: Array) -> float:
    """Return the unbiased energy distance of two clouds, (cells, dimensions), with Euclidean distances.

    2 E‖X − Y‖ − E‖X − X′‖ − E‖Y − Y′‖ over pairs of different cells, so that two samples of one population give 0 on
    average whatever their sizes; it can be a little below 0. The square root is not taken. Székely and Rizzo, J Stat
    Plan Inference 143 (2013); for perturbations Peidli et al., Nat Methods 2024.
    """
    within = [cdist(cloud, cloud).sum() / (len(cloud) * (len(cloud) - 1)) for cloud in (first, second)]
    return float(2.0 * cdist(first, second).mean() - within[0] - within[1])


def maximum_mean_discrepancy(first: Array, second: Array) -> float:
    """Return the squared MMD (biased V-statistic) of two clouds, (cells, dimensions), with a Gaussian kernel.

    The bandwidth is the median distance within the pooled cells (arXiv 0805.2368).
    """
    kernel = _pooled_kernel(first, second)
    n = len(first)
    return float(kernel[:n, :n].mean() + kernel[n:, n:].mean() - 2 * kernel[:n, n:].mean())


def discrepancy_test(first: Array, second: Array, permutations: int = 199, seed: int = 0) -> tuple[float, float]:
    """Return the squared MMD of two clouds and how probable so large a one is if both are of one population.

    The probability is that of a permutation test of the cells' sides, (1 + larger ones) / (1 + permutations)
    (arXiv 0805.2368, section 4): small values tell the clouds apart.
    """
    kernel = _pooled_kernel(first, second)
    rng = np.random.default_rng(seed)
    sides = np.r_[np.full(len(first), 1 / len(first)), np.full(len(second), -1 / len(second))]
    shuffled = np.stack([sides, *(rng.permutation(sides) for _ in range(permutations))])  # (1 + permutations, cells)
    # With +1/n and −1/m as weights of the cells the statistic is a quadratic form in the kernel.
    found = np.einsum("ij,ij->i", shuffled @ kernel, shuffled)
    larger = int((found[1:] >= found[0] - 1e-12).sum())
    return float(found[0]), (1 + larger) / (1 + permutations)


def _pooled_kernel(first: Array, second: Array) -> npt.NDArray[np.float64]:
    """Return the Gaussian kernel of the pooled cells, (cells, cells)."""
    pooled = np.concatenate([first, second])
    distance = cdist(pooled, pooled, "sqeuclidean")
    apart = distance[distance > 0]
    return np.exp(-distance / (np.median(apart) if len(apart) else 1.0))


def recall_at_planted(scores: Array, planted: npt.NDArray[np.bool_]) -> float:
    """Return the share of planted hits among the k highest scores, k = number planted."""
    k = int(planted.sum())
    top = np.argsort(-scores, kind="stable")[:k]
    return float(planted[top].mean())
