"""What real cells say about a question: its effect, which genes respond, and what any perturbation does there.

Everything is in ``log1p counts per 10k`` with the library size that the data name. Genes that respond are found with
Welch's t-test; it serves to weigh and choose genes of the *truth*, not to call them (`differential_expression` does).
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import pandas as pd
import scipy.sparse as sp
from scipy import stats

from lingshu_core.cells import Cells
from lingshu_core.differences import STRATA, depth_strata

Array = npt.NDArray[np.float64]
Mask = npt.NDArray[np.bool_]

FALSE_DISCOVERIES = 0.05
_BLOCK = 20_000
"""Cells that are scaled at a time: a copy of all of them might not fit."""


@dataclass(frozen=True)
class GroupMoments:
    """Mean and variance of a group's ``log1p counts per 10k``, (genes,) each, and its number of cells."""

    mean: Array
    variance: Array
    cells: int


@dataclass(frozen=True)
class GroupSums:
    """Sums and sums of squares of a group's ``log1p counts per 10k``, (genes,) each, and its number of cells."""

    total: Array
    squares: Array
    cells: int

    def without(self, part: GroupSums) -> GroupSums:
        """Return the sums of the group without some of its cells."""
        return GroupSums(self.total - part.total, self.squares - part.squares, self.cells - part.cells)

    def moments(self) -> GroupMoments:
        """Return mean and variance; the variance with n − 1, zero for a single cell."""
        mean = self.total / self.cells
        variance = np.maximum(self.squares - self.cells * mean**2, 0.0) / max(self.cells - 1, 1)
        return GroupMoments(mean, variance, self.cells)


def group_sums(cells: Cells, group: Mask) -> GroupSums:
    """Add up a group of cells."""
    total, squares = np.zeros(len(cells.genes)), np.zeros(len(cells.genes))
    for scaled, _ in _scaled_blocks(cells, group):
        total += np.asarray(scaled.sum(axis=0)).ravel()
        squares += np.asarray(scaled.multiply(scaled).sum(axis=0)).ravel()
    return GroupSums(total, squares, int(group.sum()))


def matched_effects(cells: Cells, controls: Mask, groups: Sequence[Mask]) -> list[Array | str]:
    """Return the depth-matched effect of each group, (genes,), or the reason why it has none.

    `lingshu_core.differences.matched_effect` for many groups beside the same controls, in one pass over them.
    """
    stratum = np.zeros(len(cells), dtype=np.int64)
    for number, here in enumerate(depth_strata(cells, controls, STRATA)):
        stratum[here] = number
    size = np.bincount(stratum[controls], minlength=STRATA)
    numbers = np.stack([np.bincount(stratum[group], minlength=STRATA) for group in groups])  # (groups, strata)
    kept = (numbers > 0) & (size > 0)
    # With the controls' shares as weights, the mean over strata of the controls is that over the cells of the strata.
    rows = kept[:, stratum[controls]] / np.maximum((kept * size).sum(axis=1, keepdims=True), 1)
    distinct, which = np.unique(rows, axis=0, return_inverse=True)
    means = weighted_means(cells, controls, distinct)
    found: list[Array | str] = []
    for group, row, at in zip(groups, kept * size / np.maximum(numbers, 1), which, strict=True):
        if not row.any():
            found.append("no stratum of depth has both perturbed and control cells")
            continue
        weights = row[stratum[group]] / row[stratum[group]].sum()
        found.append(weighted_means(cells, group, weights[None])[0] - means[at])
    return found


def weighted_means(cells: Cells, group: Mask, weights: Array) -> Array:
    """Return weighted sums of ``log1p counts per 10k`` of a group, (draws, genes); weights are (draws, its cells)."""
    total = np.zeros((len(weights), len(cells.genes)))
    for scaled, position in _scaled_blocks(cells, group):
        total += (scaled.T @ weights[:, position].T).T
    return total


def _scaled_blocks(cells: Cells, group: Mask) -> Iterator[tuple[sp.csr_matrix, slice]]:
    rows = np.flatnonzero(group)
    for start in range(0, len(rows), _BLOCK):
        some = rows[start : start + _BLOCK]
        scaled = sp.csr_matrix(sp.diags(1e4 / cells.depth[some]) @ cells.counts[some]).log1p()
        yield scaled, slice(start, start + len(some))


def welch_t(first: GroupMoments, second: GroupMoments) -> tuple[Array, Array]:
    """Return Welch's t of ``first`` − ``second`` and its two-sided p-values, (genes,) each; t is 0 without variance."""
    parts = [moments.variance / moments.cells for moments in (first, second)]
    error = parts[0] + parts[1]
    certain = error > 0
    t = np.divide(first.mean - second.mean, np.sqrt(error), out=np.zeros_like(error), where=certain)
    spread = sum(part**2 / max(moments.cells - 1, 1) for part, moments in zip(parts, (first, second), strict=True))
    freedom = np.divide(error**2, spread, out=np.ones_like(error), where=certain)
    return t, np.where(certain, 2.0 * stats.t.sf(np.abs(t), freedom), 1.0)


def response_weights(t: Array) -> Array:
    """Return how much each gene weighs in a weighted error, (genes,), summing to 1.

    |t| is brought to 0 … 1 by its smallest and largest value and squared: genes that respond count, and noise in the
    thousands that don't is not rewarded (Mejia et al., "Diversity by Design", arXiv 2506.22641). Equal where nothing
    responds.
    """
    size = np.abs(t)
    spread = np.ptp(size)
    weights = np.square((size - size.min()) / spread) if spread > 0 else np.ones_like(size)
    return np.asarray(weights / weights.sum())


def responding(p_values: Array, among: Mask) -> Mask:
    """Return which genes respond at a false discovery rate of 5 % (Benjamini–Hochberg) among some genes, (genes,)."""
    found = np.zeros(len(p_values), dtype=bool)
    if among.any():
        found[among] = stats.false_discovery_control(p_values[among]) < FALSE_DISCOVERIES
    return found


@dataclass(frozen=True)
class MeanPerturbation:
    """The mean effect of training perturbations, (genes,), one vote each, and how many different ones there were."""

    effect: Array
    perturbations: int


def mean_perturbation(cells: Cells, train: Mask, context: Mapping[str, str]) -> MeanPerturbation | None:
    """Return what perturbations do on average: in a context, or in all of them where it has fewer than two.

    Parameters
    ----------
    cells
        All cells.
    train
        Training cells, (cells,); the controls among them are what effects are measured against.
    context
        Role → value; may name fewer roles than the data have.

    Returns
    -------
    MeanPerturbation or None
        None where training has no perturbed cells beside controls.
    """
    here = _mean_of_groups(cells, train & in_context(cells, context))
    if here is not None and here.perturbations > 1:
        return here
    return _mean_of_groups(cells, train) or here


def in_context(cells: Cells, context: Mapping[str, str]) -> Mask:
    """Return which cells are of a context, (cells,)."""
    found = np.ones(len(cells), dtype=bool)
    for role, value in context.items():
        found &= np.asarray(cells.obs[role] == value)
    return found


def _mean_of_groups(cells: Cells, some: Mask) -> MeanPerturbation | None:
    """Average effects over all pairs of context and perturbation that have controls in the same context."""
    rows = np.flatnonzero(some)
    contexts, labels = _context_codes(cells, rows), pd.factorize(cells.obs["perturbation"].to_numpy()[rows])[0]
    control = cells.is_control[rows]
    covered = np.isin(contexts, contexts[control]) & ~control
    if not covered.any():
        return None
    pair = np.unique(np.stack([contexts, labels]), axis=1, return_inverse=True)[1]
    pairs = len(np.unique(pair[covered]))
    weights = np.zeros(len(rows))
    weights[covered] = 1.0 / (pairs * np.bincount(pair)[pair[covered]])
    for context in np.unique(contexts[covered]):  # the controls of a context stand against each of its perturbations
        here = control & (contexts == context)
        weights[here] = -weights[covered & (contexts == context)].sum() / here.sum()
    effect = weighted_means(cells, some, weights[None, :])[0]
    return MeanPerturbation(effect, len(set(labels[covered])))


def _context_codes(cells: Cells, rows: npt.NDArray[np.int64]) -> npt.NDArray[np.int64]:
    """Number the data's own contexts, (rows,), whatever a question pools: controls are of an effect's own kind."""
    if not cells.context_roles:
        return np.zeros(len(rows), dtype=np.int64)
    return cells.obs.iloc[rows].groupby(list(cells.context_roles), observed=True).ngroup().to_numpy()
