"""Droplet sequencing of simulated cells: library sizes, counts, and what counts are on average.

A cell's library size D is log-normal around a median of its cell type. Its counts are one multinomial draw of D
transcripts from the cell's gene shares, multiplied by gamma noise for each gene and cell. Dropout is what follows from
so few draws: as in 10x data, there are no zeros beyond those of sampling.
"""

from __future__ import annotations

import dataclasses

import numpy as np
import scipy.sparse as sp
from numpy.typing import NDArray
from scipy.special import gammaln, ndtri

Array = NDArray[np.float64]

MIN_DEPTH = 50
MAX_DEPTH = int(np.iinfo(np.uint16).max)
"""So that any count fits ``uint16``."""

COUNTS_PER = 10_000.0
CELL_BLOCK = 4_096
"""Cells sequenced at a time, so that memory does not grow with the screen."""

EXACT_MEAN = 48.0
"""Up to this expected count, moments are sums over counts; above, a series is as good to 1e-3."""

LOG_SHARES = (-21.0, 0.0, 1_024)
"""Grid of log shares in the table of expectations: first, last, points."""


@dataclasses.dataclass(frozen=True)
class LibrarySizes:
    """Log-normal library sizes, in UMIs for a cell; `medians` has one entry for each cell type."""

    medians: Array
    sigma: float

    def quantile(self, cell_type: NDArray[np.intp] | int, level: Array) -> NDArray[np.int64]:
        """Library sizes at the given levels, in (0, 1), of each cell's type (same shapes)."""
        depth = self.medians[cell_type] * np.exp(self.sigma * ndtri(level))
        sizes: NDArray[np.int64] = np.clip(np.rint(depth), MIN_DEPTH, MAX_DEPTH).astype(np.int64)
        return sizes

    def draw(self, cell_type: NDArray[np.intp], rng: np.random.Generator) -> NDArray[np.int64]:
        """One library size for each cell (cells,)."""
        # 1 - u lies in (0, 1]; nextafter keeps the deepest cell finite.
        level = np.minimum(1.0 - rng.random(len(cell_type)), np.nextafter(1.0, 0.0))
        return self.quantile(cell_type, level)


def add_noise(shares: Array, noise: Array) -> Array:
    """Multiply gene shares by noise and normalise again.

    Parameters
    ----------
    shares, noise
        Arrays (cells, genes).

    Returns
    -------
    numpy.ndarray
        Array (cells, genes); rows sum to one.
    """
    noisy: Array = shares * noise
    noisy /= noisy.sum(axis=1, keepdims=True)
    return noisy


def draw_noise(shares: Array, overdispersion: float, rng: np.random.Generator) -> Array:
    """Gamma noise of mean 1 and variance `overdispersion`, of the shape of `shares`."""
    return rng.gamma(1.0 / overdispersion, overdispersion, size=shares.shape)


def draw_counts(shares: Array, depths: NDArray[np.int64], rng: np.random.Generator) -> sp.csr_matrix:
    """Multinomial counts of cells.

    Parameters
    ----------
    shares
        Each gene's share of a cell's transcripts (cells, genes); rows sum to one.
    depths
        Library size of each cell (cells,), in UMIs; every row of the result sums to it.
    rng
        Source of random numbers.

    Returns
    -------
    scipy.sparse.csr_matrix
        Counts (cells, genes), ``uint16``.
    """
    return sp.csr_matrix(rng.multinomial(depths, shares).astype(np.uint16))


def expected_log_counts(mean: Array, depth: int) -> Array:
    """Expectation of ``log1p(1e4 * K / depth)`` for a binomial count K, given its mean.

    Parameters
    ----------
    mean
        Expected counts, ``depth`` times the share of the gene (any shape, one-dimensional).
    depth
        Library size, in UMIs.

    Returns
    -------
    numpy.ndarray
        In ``log1p counts per 10k``, of the shape of `mean`. Exact sums up to a mean of `EXACT_MEAN`, a series of
        second order above.
    """
    unit = COUNTS_PER / depth
    share = np.minimum(mean / depth, 1.0)
    series: Array = np.log1p(unit * mean) - 0.5 * mean * (1.0 - share) * (unit / (1.0 + unit * mean)) ** 2
    small = mean <= EXACT_MEAN
    # Ten standard deviations above the mean; what lies beyond is lost in rounding.
    counts = np.arange(min(depth, int(EXACT_MEAN + 10 * np.sqrt(EXACT_MEAN))) + 1.0)
    odds = np.clip(share[small], 1e-300, 1.0 - 1e-12)[:, None]
    ways = gammaln(depth + 1.0) - gammaln(counts + 1.0) - gammaln(depth - counts + 1.0)
    # (means, counts)
    log_mass = ways + counts * np.log(odds) + (depth - counts) * np.log1p(-odds)
    series[small] = np.exp(log_mass) @ np.log1p(unit * counts)
    return series


class ExpectationTable:
    """Expected ``log1p counts per 10k`` by library size and gene share, tabulated once and interpolated.

    Parameters
    ----------
    depths
        The library sizes that will be asked for, in UMIs.
    """

    def __init__(self, depths: NDArray[np.int64]) -> None:
        self._depths = np.unique(depths)
        grid = np.exp(np.linspace(*LOG_SHARES))
        self._values = np.stack([expected_log_counts(grid * depth, int(depth)) for depth in self._depths])

    def __call__(self, shares: Array, depths: NDArray[np.int64]) -> Array:
        """Expectations (cells, genes) for gene shares (cells, genes) and library sizes (cells,)."""
        first, last, points = LOG_SHARES
        position = (np.log(np.maximum(shares, np.exp(first))) - first) * ((points - 1) / (last - first))
        left = np.minimum(position.astype(np.intp), points - 2)
        weight = position - left
        row = np.searchsorted(self._depths, depths)[:, None] * points
        flat = self._values.ravel()
        low: Array = flat[row + left]
        return low + weight * (flat[row + left + 1] - low)
