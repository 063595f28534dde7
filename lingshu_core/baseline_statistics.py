"""Summary statistics of training cells: what every baseline is made of.

Of each context the moments of its control cells, and of each group of perturbed cells (context × perturbation × dose)
the *change* of the moments from those controls. Controls of another context never stand in, unless a context has none.

Moments are the four of :data:`lingshu_core.estimator.Moments`. Their changes are kept on one scale, that of log1p
counts per 10k (:meth:`Population.scaled`), so that the effect of another context can be added, where a gene is ten
times as abundant: the mean; the root of the mean square; log1p of 10⁴ times the mean count per unit of depth; and the
same of the root of the factorial mean square, E[c (c − 1)] / D². Counts per unit of depth make effects depth-matched,
as those of the model are; the factorial part scales with the square of the depth when cells are sequenced deeper or
thinned, and E[c²] doesn't.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import numpy.typing as npt
import pandas as pd
import scipy.sparse as sp

from lingshu_core.cell_store import StoredCells
from lingshu_core.cells import Cells
from lingshu_core.errors import UnusableCells
from lingshu_core.estimator import Moments
from lingshu_core.vocabulary import Vocabulary

Array = npt.NDArray[np.float64]
Rows = npt.NDArray[np.int64]

BLOCK_CELLS = 4096
"""Cells whose counts are looked at together."""


@dataclass(frozen=True)
class Population:
    """Moments of some cells, (4, genes), their mean depth and their number."""

    moments: Array
    depth: float
    cells: int

    def scaled(self) -> Array:
        """Return the moments on the scale of log1p counts per 10k, (4, genes)."""
        log1p, log1p_square, count, count_square = self.moments
        factorial = np.maximum(count_square - count, 0.0)
        return np.stack(
            [
                log1p,
                np.sqrt(log1p_square),
                np.log1p(1e4 * count / self.depth),
                np.log1p(1e4 * np.sqrt(factorial) / self.depth),
            ]
        )

    def changed(self, change: Array) -> Moments:
        """Add a change on that scale, and keep the moments possible.

        A mean is at least 0, a mean square at least the square of the mean, and that of counts at least the mean, for
        counts are whole.
        """
        log1p, root, count, factorial_root = np.maximum(self.scaled() + change, 0.0)
        count = np.expm1(count) * self.depth / 1e4
        count_square = np.square(np.expm1(factorial_root) * self.depth / 1e4) + count
        found = np.stack([log1p, np.square(root), count, count_square])
        same = change == 0
        same[3] &= same[2]  # the mean square of counts has their mean in it
        found = np.where(same, self.moments, found)  # no rounding where nothing changes
        found[1] = np.maximum(found[1], np.square(found[0]))
        found[3] = np.maximum(found[3], np.maximum(np.square(found[2]), found[2]))
        return found.astype(np.float32)


@dataclass(frozen=True)
class GroupStatistics:
    """What was measured of training cells.

    Parameters
    ----------
    control_moments, control_depth, control_cells
        Of each context of the vocabulary, (contexts, 4, genes), (contexts,) and (contexts,); zeros where it has no
        control cells.
    changes
        Change of the scaled moments (:meth:`Population.scaled`) of each group, (groups, 4, genes).
    contexts, labels, doses, cells
        Of each group: number of its context, number of its perturbation's label (:func:`label_order`), dose (NaN: none)
        and perturbed cells, (groups,) each.
    """

    control_moments: npt.NDArray[np.float32]
    control_depth: Array
    control_cells: Rows
    changes: npt.NDArray[np.float32]
    contexts: Rows
    labels: Rows
    doses: Array
    cells: Rows

    @cached_property
    def precision(self) -> Array:
        """Cells behind each group's change: n m / (n + m) of n perturbed and m control cells, (groups,).

        Where the context has no controls, the mean of the others stands in and only the perturbed cells count.
        """
        controls = self.control_cells[self.contexts].astype(float)
        return np.where(controls > 0, self.cells * controls / np.maximum(self.cells + controls, 1.0), self.cells)

    @cached_property
    def has_own_controls(self) -> npt.NDArray[np.bool_]:
        """Which groups were compared with controls of their own context, (groups,)."""
        return self.control_cells[self.contexts] > 0

    def controls(self, contexts: Rows) -> Population:
        """Pool the control cells of some contexts; of all that have any where these have none."""
        chosen = contexts[self.control_cells[contexts] > 0]
        if not len(chosen):
            chosen = np.flatnonzero(self.control_cells)
        return pooled(self.control_moments[chosen], self.control_depth[chosen], self.control_cells[chosen])


def pooled(moments: npt.NDArray[np.floating], depth: Array, cells: Rows) -> Population:
    """Join populations as if their cells had been measured together: (n, 4, genes), (n,) and (n,)."""
    share = cells / cells.sum()
    return Population(np.tensordot(share, moments.astype(np.float64), axes=1), float(share @ depth), int(cells.sum()))


def measure_groups(cells: Cells, vocabulary: Vocabulary, *, changes: bool = True) -> GroupStatistics:
    """Measure training cells in one pass.

    Parameters
    ----------
    cells
        Training cells only, in memory or on disk.
    vocabulary
        Made of these cells.
    changes
        Whether to keep the changes of the perturbed groups; without them only the controls are measured.

    Raises
    ------
    UnusableCells
        If the genes aren't the vocabulary's or there are no controls.
    """
    if cells.genes != vocabulary.genes:
        raise UnusableCells(f"{cells.source}: the genes are not those of the vocabulary")
    if not cells.is_control.any():
        raise UnusableCells(f"{cells.source}: there are no control cells, which every baseline starts from")
    groups = _groups(cells, vocabulary)
    if not changes:
        groups.rows[groups.table["label"].to_numpy()[groups.rows] >= 0] = -1
    sums, depth, sizes = _sums(cells, groups)
    table = groups.table
    is_control = table["label"].to_numpy() < 0
    count = len(vocabulary.contexts)
    control_moments = np.zeros((count, 4, len(cells.genes)), dtype=np.float32)
    control_depth, control_cells = np.zeros(count), np.zeros(count, dtype=np.int64)
    at = table["context"].to_numpy()[is_control]
    control_moments[at] = sums[is_control]
    control_depth[at], control_cells[at] = depth[is_control], sizes[is_control]
    controls = GroupStatistics(control_moments, control_depth, control_cells, *_no_groups(len(cells.genes)))
    kept = np.flatnonzero(~is_control) if changes else np.empty(0, dtype=np.int64)
    return GroupStatistics(
        control_moments,
        control_depth,
        control_cells,
        changes=_changes(controls, sums, depth, sizes, table["context"].to_numpy(), kept),
        contexts=table["context"].to_numpy()[kept].astype(np.int64),
        labels=table["label"].to_numpy()[kept].astype(np.int64),
        doses=table["dose"].to_numpy(dtype=np.float64)[kept],
        cells=sizes[kept],
    )


def _no_groups(genes: int) -> tuple[npt.NDArray[np.float32], Rows, Rows, Array, Rows]:
    none = np.empty(0, dtype=np.int64)
    return np.empty((0, 4, genes), dtype=np.float32), none, none, np.empty(0), none


def _changes(
    controls: GroupStatistics, sums: Array, depth: Array, sizes: Rows, contexts: Rows, kept: Rows
) -> npt.NDArray[np.float32]:
    """Subtract the controls of each kept group's context, (kept, 4, genes)."""
    changes = np.empty((len(kept), *sums.shape[1:]), dtype=np.float32)
    # Groups are in the order of their contexts: one reference at a time is enough.
    reference, of = np.empty(0), -1
    for row, group in enumerate(kept):
        if contexts[group] != of:
            of = int(contexts[group])
            reference = controls.controls(np.array([of])).scaled()
        changes[row] = Population(sums[group], float(depth[group]), int(sizes[group])).scaled() - reference
    return changes


@dataclass(frozen=True)
class _Groups:
    """``table`` has context, label (−1: control) and dose of each group; ``rows`` the group of each cell, (cells,)."""

    table: pd.DataFrame
    rows: Rows


def label_order(vocabulary: Vocabulary) -> tuple[str, ...]:
    """Return the labels of a vocabulary in the order of their numbers here, however the vocabulary was written."""
    return tuple(sorted(vocabulary.perturbations))


def _groups(cells: Cells, vocabulary: Vocabulary) -> _Groups:
    roles = list(vocabulary.factors)
    context_of = {tuple(seen.factors[role] for role in roles): i for i, seen in enumerate(vocabulary.contexts)}
    named = list(zip(*(cells.obs[role] for role in roles), strict=True)) if roles else [()] * len(cells)
    label_of = {label: i for i, label in enumerate(label_order(vocabulary))} | {vocabulary.control: -1}
    is_control = cells.is_control
    frame = pd.DataFrame(
        {
            "context": [context_of[key] for key in named],
            "label": cells.obs["perturbation"].map(label_of).to_numpy(),
            "dose": np.where(is_control, np.nan, cells.obs["dose"].to_numpy(dtype=float)),
        }
    )
    grouped = frame.groupby(["context", "label", "dose"], dropna=False, sort=True)
    rows = grouped.ngroup().to_numpy(dtype=np.int64)
    first = pd.Series(np.arange(len(rows))).groupby(rows).first().to_numpy()
    return _Groups(frame.iloc[first].reset_index(drop=True), rows)


def _sums(cells: Cells, groups: _Groups) -> tuple[Array, Array, Rows]:
    """Return mean moments (groups, 4, genes), mean depths (groups,) and sizes (groups,); zeros for groups left out."""
    count = len(groups.table)
    total = np.zeros((count, 4, len(cells.genes)))
    chosen = groups.rows >= 0
    sizes = np.bincount(groups.rows[chosen], minlength=count)
    depth = np.bincount(groups.rows[chosen], weights=cells.depth[chosen], minlength=count)
    for positions, counts in count_blocks(cells, np.flatnonzero(chosen)):
        rows = groups.rows[positions]
        present, inner = np.unique(rows, return_inverse=True)
        member = sp.csr_matrix((np.ones(len(rows)), (inner, np.arange(len(rows)))), shape=(len(present), len(rows)))
        scaled = (sp.diags(1e4 / cells.depth[positions]) @ counts).log1p()
        for moment, values in enumerate((scaled, scaled.power(2), counts, counts.power(2))):
            total[present, moment] += (member @ values).toarray()  # (present groups, genes)
    some = np.maximum(sizes, 1)
    return total / some[:, None, None], depth / some, sizes.astype(np.int64)


def count_blocks(cells: Cells, positions: Rows) -> Iterator[tuple[Rows, sp.csr_matrix]]:
    """Yield the counts of some cells, whose positions rise, block by block: (cells, genes) as 64-bit floats."""
    for start in range(0, len(positions), BLOCK_CELLS):
        part = positions[start : start + BLOCK_CELLS]
        read = cells.loaded(part) if isinstance(cells, StoredCells) else cells.select(part)
        yield part, read.counts.astype(np.float64)
