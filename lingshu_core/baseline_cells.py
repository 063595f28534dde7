"""Cells of a baseline: real control cells, thinned where the mean falls and topped up where it rises.

A baseline predicts moments and has no cells of its own. Where cells are asked for, control cells of the context are
taken, spread evenly over their depths. A gene whose mean count is to fall keeps each molecule with the probability
that it takes (binomial thinning); one whose mean is to rise gets a Poisson number more, in proportion to the cell's
depth. So the mean counts are those predicted, and everything else about the cells is as real as the controls are.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import scipy.sparse as sp
from scipy import stats

from lingshu_core.baseline_statistics import Array, Population, Rows, count_blocks
from lingshu_core.cells import Cells
from lingshu_core.randomness import RandomRoot, stratified_quantiles
from lingshu_core.vocabulary import Vocabulary

MOST_CONTROLS = 512
"""Control cells that are kept of a context; of more, as many are chosen evenly over their depths."""


@dataclass(frozen=True)
class ControlCells:
    """Control cells that were kept.

    ``counts`` is CSR, (kept, genes); ``depth`` (kept,); ``contexts`` number of each cell's context, (kept,);
    ``stands_for`` how many control cells of the context each of them stands for, (kept,).
    """

    counts: sp.csr_matrix
    depth: Array
    contexts: Rows
    stands_for: Array

    def spread(self, contexts: Rows, levels: Array) -> Rows:
        """Return the cell at each quantile level of the depths of some contexts; of all where these have no cell."""
        rows = np.flatnonzero(np.isin(self.contexts, contexts))
        rows = rows if len(rows) else np.arange(len(self.contexts))
        ordered = rows[np.argsort(self.depth[rows], kind="stable")]
        reached = np.cumsum(self.stands_for[ordered])
        return ordered[np.minimum(np.searchsorted(reached, levels * reached[-1]), len(ordered) - 1)]

    def to_arrays(self) -> dict[str, npt.NDArray[np.generic]]:
        """Return plain arrays."""
        return {
            "data": self.counts.data.astype(np.int32),
            "indices": self.counts.indices.astype(np.int32),
            "indptr": self.counts.indptr.astype(np.int64),
            "depth": self.depth,
            "contexts": self.contexts,
            "stands_for": self.stands_for,
        }

    @classmethod
    def from_arrays(cls, arrays: Mapping[str, npt.NDArray[np.generic]], genes: int) -> ControlCells:
        """Read what :meth:`to_arrays` returned.

        Raises
        ------
        KeyError, ValueError, TypeError
            If an array is missing or they don't fit together.
        """
        shape = (len(arrays["indptr"]) - 1, genes)
        counts = sp.csr_matrix((arrays["data"], arrays["indices"], arrays["indptr"]), shape=shape)
        depth, contexts, stands_for = arrays["depth"], arrays["contexts"], arrays["stands_for"]
        if not len(depth) == len(contexts) == len(stands_for) == shape[0]:
            raise ValueError(f"{shape[0]} control cells with {len(depth)} depths and {len(contexts)} contexts")
        return cls(counts, depth.astype(np.float64), contexts.astype(np.int64), stands_for.astype(np.float64))


def keep_controls(cells: Cells, vocabulary: Vocabulary, most: int = MOST_CONTROLS) -> ControlCells:
    """Choose control cells of every context, evenly over their depths."""
    positions, contexts, stands_for = [], [], []
    for number, context in enumerate(vocabulary.contexts):
        here = np.flatnonzero(cells.is_control & cells.matching(context.factors))
        taken = here
        if len(here) > most:
            middle = ((np.arange(most) + 0.5) / most * len(here)).astype(np.int64)
            taken = here[np.argsort(cells.depth[here], kind="stable")][middle]
        positions.append(taken)
        contexts.append(np.full(len(taken), number))
        stands_for.append(np.full(len(taken), len(here) / max(len(taken), 1)))
    where = np.concatenate(positions)
    order = np.argsort(where, kind="stable")
    counts = sp.vstack([found for _, found in count_blocks(cells, where[order])], format="csr")
    return ControlCells(
        counts.astype(np.int32),
        cells.depth[where[order]],
        np.concatenate(contexts)[order],
        np.concatenate(stands_for)[order],
    )


def draw_cells(
    controls: ControlCells,
    contexts: Rows,
    known: Population,
    wanted: npt.NDArray[np.floating],
    root: RandomRoot,
    shard: int,
    cells: int,
) -> tuple[npt.NDArray[np.float32], Array]:
    """Draw the cells of one shard.

    Random numbers don't depend on what is wanted: a condition and its control are the same control cells, and a gene
    that changes little changes in few of them.

    Parameters
    ----------
    controls, contexts
        The control cells, and of which contexts to take.
    known
        Moments of the controls that the prediction started from.
    wanted
        Mean counts that were predicted, (genes,).
    root, shard, cells
        As in :class:`lingshu_core.estimator.ShardRequest`.

    Returns
    -------
    Counts (cells, genes) and depths (cells,).
    """
    rows = controls.spread(contexts, stratified_quantiles(root, shard, cells))
    counts = controls.counts[rows].toarray().astype(np.float32)
    depth = controls.depth[rows]
    before, after = known.moments[2], wanted.astype(np.float64)
    kept = np.divide(after, before, out=np.ones_like(before), where=after < before)
    added = np.maximum(after - before, 0.0) / known.depth
    for cell in range(cells):
        uniforms = root.generator(shard, cell, "counts").random(len(before))
        _thin(counts[cell], kept, uniforms)
        _top_up(counts[cell], added * depth[cell], uniforms)
    return counts, depth


def _thin(counts: npt.NDArray[np.float32], kept: Array, uniforms: Array) -> None:
    """Keep each molecule with a probability, in place; (genes,) each."""
    genes = np.flatnonzero((counts > 0) & (kept < 1))
    counts[genes] = stats.binom.ppf(uniforms[genes], counts[genes], kept[genes])


def _top_up(counts: npt.NDArray[np.float32], mean: Array, uniforms: Array) -> None:
    """Add Poisson numbers of molecules, in place; (genes,) each."""
    genes = np.flatnonzero((mean > 0) & (uniforms > np.exp(-mean)))  # the others get none
    counts[genes] += stats.poisson.ppf(uniforms[genes], mean[genes]).astype(np.float32)
