"""How much generated cells look like real ones: the published figures, and the questions that they leave open.

Means of genes are easy to get right (Pearson, Spearman). Whether *cells* are right is asked in the principal
components of both together (MMD, iLISI, a classifier that tries to tell them apart) and by what no component shows:
depth, zeros, and how genes go together. Real cells that were held out give the floor of every figure.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass

import numpy as np
import numpy.typing as npt
import scipy.sparse as sp
from scipy import stats
from scipy.spatial import KDTree
from sklearn.decomposition import PCA
from sklearn.ensemble import HistGradientBoostingClassifier
from sklearn.metrics import roc_auc_score
from sklearn.model_selection import StratifiedKFold, cross_val_predict
from threadpoolctl import threadpool_limits

from lingshu_core.metrics import maximum_mean_discrepancy

COMPONENTS = 30
VARIABLE_GENES = 2_000
CORRELATED_GENES = 200
PERPLEXITY = 30
FOLDS = 3
GENES_AT_A_TIME = 512

Array = npt.NDArray[np.float64]


@dataclass(frozen=True)
class Realism:
    """Agreement of generated and real cells.

    Attributes
    ----------
    pearson, spearman
        Correlation of the genes' means, log1p counts per 10k.
    ilisi
        Integration LISI (arXiv 1811.07246), from 0, apart, to 1, perfectly mixed.
    mmd
        Squared maximum mean discrepancy in the principal components.
    wasserstein
        1-Wasserstein distance of a gene's distribution, log1p counts per 10k, mean over genes.
    classifier_auc
        Cross-validated area under the curve of gradient boosting on components and depth; 0.5 is chance.
    depth_mean_error, depth_sd_error
        Relative error of mean and standard deviation of the total UMIs.
    zeros_error
        Generated minus real share of zeros.
    correlation_error
        Root mean square difference of the gene–gene correlations of the most variable genes.
    """

    pearson: float
    spearman: float
    ilisi: float
    mmd: float
    wasserstein: float
    classifier_auc: float
    depth_mean_error: float
    depth_sd_error: float
    zeros_error: float
    correlation_error: float

    def as_dict(self) -> dict[str, float]:
        """Return the figures by name."""
        return asdict(self)


def realism(generated: sp.csr_matrix, real: sp.csr_matrix, reference: sp.csr_matrix, seed: int = 0) -> Realism:
    """Compare generated cells with real ones.

    Parameters
    ----------
    generated, real
        UMI counts, (cells, genes); the figures are fairest with equal numbers of cells.
    reference
        Real cells that choose the variable genes, such as the training cells, (cells, genes).
    seed
        Seed of the classifier's folds.
    """
    scaled = [log1p_per_10k(counts) for counts in (generated, real, reference)]
    means = [np.asarray(each.mean(axis=0)).ravel() for each in scaled]
    variable = most_variable(scaled[2], VARIABLE_GENES)
    made, found = shared_components(*(each[:, variable].toarray() for each in scaled[:2]))
    depth = [np.asarray(counts.sum(axis=1)).ravel().astype(float) for counts in (generated, real)]
    together = variable[:CORRELATED_GENES]
    return Realism(
        pearson=float(stats.pearsonr(means[0], means[1]).statistic),
        spearman=float(stats.spearmanr(means[0], means[1]).statistic),
        ilisi=integration_lisi(made, found),
        mmd=maximum_mean_discrepancy(made, found),
        wasserstein=gene_wasserstein(scaled[0], scaled[1]),
        classifier_auc=classifier_auc(np.c_[made, np.log(depth[0] + 1)], np.c_[found, np.log(depth[1] + 1)], seed),
        depth_mean_error=float(depth[0].mean() / depth[1].mean() - 1),
        depth_sd_error=float(depth[0].std() / depth[1].std() - 1),
        zeros_error=float(generated.nnz / np.prod(generated.shape) * -1 + real.nnz / np.prod(real.shape)),
        correlation_error=correlation_error(scaled[0][:, together].toarray(), scaled[1][:, together].toarray()),
    )


def log1p_per_10k(counts: sp.csr_matrix) -> sp.csr_matrix:
    """Return log1p counts per 10k of UMI counts, (cells, genes); a cell without counts stays without."""
    depth = np.asarray(counts.sum(axis=1)).ravel()
    return sp.csr_matrix(sp.diags(1e4 / np.maximum(depth, 1)) @ counts).log1p()


def shared_components(first: Array, second: Array) -> tuple[Array, Array]:
    """Return both clouds, (cells, genes), in the principal components of the two together, (cells, components).

    Components of one side would suit its own noise: with more genes than cells it would look wider than the other.
    """
    pooled = np.concatenate([first, second])
    found = PCA(min(COMPONENTS, *(n - 1 for n in pooled.shape)), random_state=0).fit_transform(pooled)
    return found[: len(first)], found[len(first) :]


def most_variable(scaled: sp.csr_matrix, number: int) -> npt.NDArray[np.int64]:
    """Return the genes with the largest variance of log1p counts per 10k, most variable first, (genes,)."""
    mean = np.asarray(scaled.mean(axis=0)).ravel()
    variance = np.asarray(scaled.multiply(scaled).mean(axis=0)).ravel() - mean**2
    return np.argsort(-variance, kind="stable")[:number]


def gene_wasserstein(first: sp.csr_matrix, second: sp.csr_matrix) -> float:
    """Return the 1-Wasserstein distance between the genes' distributions, mean over genes."""
    columns, others = first.tocsc(), second.tocsc()
    if first.shape[0] == second.shape[0]:  # between as many values it is the mean difference of the sorted ones
        blocks = range(0, first.shape[1], GENES_AT_A_TIME)
        return sum(_sorted_difference(columns, others, start) for start in blocks) / first.shape[1]
    return float(
        np.mean(
            [
                stats.wasserstein_distance(columns[:, [g]].toarray().ravel(), others[:, [g]].toarray().ravel())
                for g in np.flatnonzero(columns.getnnz(axis=0) + others.getnnz(axis=0))
            ]
        )
        * np.mean(columns.getnnz(axis=0) + others.getnnz(axis=0) > 0)  # genes without a count differ by nothing
    )


def _sorted_difference(first: sp.csc_matrix, second: sp.csc_matrix, start: int) -> float:
    """Return the summed distances of some genes, those from ``start`` on."""
    some = slice(start, start + GENES_AT_A_TIME)
    values = [np.sort(each[:, some].toarray(), axis=0) for each in (first, second)]
    return float(np.abs(values[0] - values[1]).mean(axis=0).sum())


def integration_lisi(first: Array, second: Array) -> float:
    """Return the mean integration LISI of two clouds, (cells, dimensions), scaled to 0 … 1.

    The inverse Simpson index of the clouds among a cell's neighbours, weighted by a Gaussian kernel of fixed
    perplexity; 1 (only one cloud) becomes 0 and 2 (both alike) becomes 1.
    """
    pooled = np.concatenate([first, second])
    of_first = np.arange(len(pooled)) < len(first)
    neighbours = min(3 * PERPLEXITY, len(pooled) - 1)
    distance, index = KDTree(pooled).query(pooled, k=neighbours + 1)
    weights = perplexity_weights(distance[:, 1:], min(PERPLEXITY, neighbours / 3))
    share = (weights * of_first[index[:, 1:]]).sum(axis=1)
    return float(np.mean(1.0 / (share**2 + (1 - share) ** 2)) - 1.0)


def perplexity_weights(distance: Array, perplexity: float) -> Array:
    """Return Gaussian weights of neighbours, (cells, neighbours), rows sum to 1, each of the wanted perplexity."""
    low, high = np.zeros(len(distance)), np.full(len(distance), np.inf)
    precision = 1.0 / np.maximum(distance.mean(axis=1), 1e-12)
    for _ in range(60):
        weights = np.exp(-(distance - distance[:, :1]) * precision[:, None])
        weights /= weights.sum(axis=1, keepdims=True)
        entropy = -(weights * np.log(np.maximum(weights, 1e-300))).sum(axis=1)
        wide = entropy > np.log(perplexity)
        low, high = np.where(wide, precision, low), np.where(wide, high, precision)
        precision = np.where(np.isinf(high), 2 * precision, (low + np.minimum(high, 1e300)) / 2)
    return weights


def classifier_auc(first: Array, second: Array, seed: int = 0) -> float:
    """Return how well a classifier tells two clouds, (cells, dimensions), apart: 0.5 not at all, 1 always."""
    cells = np.concatenate([first, second])
    label = np.r_[np.zeros(len(first)), np.ones(len(second))]
    folds = StratifiedKFold(FOLDS, shuffle=True, random_state=seed)
    model = HistGradientBoostingClassifier(max_iter=60, random_state=seed)
    with threadpool_limits(1):  # with so few cells threads only wait for each other, for minutes on a busy machine
        score = cross_val_predict(model, cells, label, cv=folds, method="predict_proba")[:, 1]
    return float(roc_auc_score(label, score))


def correlation_error(first: Array, second: Array) -> float:
    """Return the root mean square difference of gene–gene correlations, (cells, genes) each.

    NaN where fewer than two genes vary on both sides.
    """
    varying = (first.std(axis=0) > 0) & (second.std(axis=0) > 0)
    if varying.sum() < 2:
        return float("nan")
    matrices = [np.atleast_2d(np.corrcoef(each[:, varying].T)) for each in (first, second)]
    upper = np.triu_indices(int(varying.sum()), k=1)
    return float(np.sqrt(np.mean((matrices[0][upper] - matrices[1][upper]) ** 2)))


def total_variation(first: npt.NDArray[np.str_], second: npt.NDArray[np.str_]) -> float:
    """Return half the summed differences of the shares of labels: 0 alike, 1 nothing in common."""
    labels = np.union1d(first, second)
    return float(0.5 * sum(abs((first == label).mean() - (second == label).mean()) for label in labels))
