"""Cells in the order of their groups, taken apart into blocks of genes.

A test of every gene in every group needs the entries of a gene together, and a file has the entries of a cell
together. Turning the whole matrix would double it in memory; a block of genes at a time does not.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import pairwise
from typing import TypeVar

import numpy as np
import numpy.typing as npt
import scipy.sparse as sp

from lingshu_core.errors import NotCounts

Values = npt.NDArray[np.number]
Integers = npt.NDArray[np.integer]
Number = TypeVar("Number", bound=np.number)

CONTROLS = 0
"""The group of the controls, where there are any."""

_ENTRIES_AT_ONCE = 800_000
_ENTRIES_PER_PIECE = 64
"""A block is put together from a piece of every cell; pieces much shorter would cost more to find than to copy."""


@dataclass(frozen=True)
class GeneBlock:
    """The non-zero entries of some genes, group by group.

    Attributes
    ----------
    genes
        Where the genes are among all, as a range.
    values
        The entries, (entries,).
    columns
        The gene of each entry within the block, (entries,).
    starts
        Where the entries of each group begin, with the end, (groups + 1,).
    """

    genes: slice
    values: Values
    columns: Integers
    starts: Integers

    @property
    def width(self) -> int:
        """Number of genes."""
        return int(self.genes.stop - self.genes.start)

    def part(self, groups: slice) -> GeneBlock:
        """Return some groups, which follow one another."""
        starts = self.starts[groups.start : groups.stop + 1]
        entries = slice(starts[0], starts[-1])
        return GeneBlock(self.genes, self.values[entries], self.columns[entries], starts - starts[0])

    def by_gene(self) -> tuple[Values, Integers, Integers]:
        """Return the entries gene by gene: values and groups, (entries,), and where each gene begins, (genes + 1,)."""
        # Rows are whole groups: entries of one group and gene stay apart, and what a row is known by is its group.
        rows = sp.csr_matrix((self.values, self.columns, self.starts), shape=(len(self.starts) - 1, self.width))
        turned = rows.tocsc()
        return turned.data, turned.indices, turned.indptr


class GroupedCells:
    """Cells of some groups.

    Parameters
    ----------
    values
        (cells, genes), non-negative; counts or any other scale.
    group
        The group of each cell, (cells,), from 0 up; −1 leaves a cell out.
    groups
        Number of groups; each has at least one cell.

    Raises
    ------
    NotCounts
        If a value is negative, infinite or not a number.
    """

    def __init__(self, values: sp.csr_matrix, group: Integers, groups: int) -> None:
        self._matrix = _plain(values)
        order = np.argsort(group, kind="stable")
        self._order = order[group[order] >= 0]
        self.sizes: npt.NDArray[np.int64] = np.bincount(group[self._order], minlength=groups)
        self._group_ends = np.concatenate([[0], np.cumsum(self.sizes)])

    @property
    def genes(self) -> int:
        """Number of genes."""
        return int(self._matrix.shape[1])

    def blocks(self) -> Iterator[GeneBlock]:
        """Go through all genes."""
        edges = self._edges()
        pieces = self._pieces(edges)
        for block, (first, last) in enumerate(pairwise(edges.tolist())):
            rows = pieces[self._order * (len(edges) - 1) + block]
            columns = rows.indices - rows.indices.dtype.type(first)
            yield GeneBlock(slice(first, last), rows.data, columns, rows.indptr[self._group_ends])

    def _edges(self) -> npt.NDArray[np.int64]:
        entries = max(_ENTRIES_AT_ONCE, _ENTRIES_PER_PIECE * len(self._order))
        width = int(np.clip(entries * self.genes // max(self._matrix.nnz, 1), 1, max(self.genes, 1)))
        return np.append(np.arange(0, self.genes, width), self.genes)

    def _pieces(self, edges: npt.NDArray[np.int64]) -> sp.csr_matrix:
        """Return the matrix with a row for every cell and block, (cells · blocks, genes); nothing is copied.

        The pieces of a cell follow one another, so that only where rows begin is new.
        """
        starts, columns = self._matrix.indptr, self._matrix.indices
        cuts = np.repeat(starts[:-1, None], len(edges) - 1, axis=1)  # (cells, blocks)
        inner = edges[1:-1].astype(columns.dtype)  # another type would make searchsorted copy the columns
        for cell, (start, end) in enumerate(pairwise(starts.tolist())) if len(inner) else ():
            cuts[cell, 1:] += columns[start:end].searchsorted(inner).astype(cuts.dtype)
        shape = (cuts.size, self.genes)
        return sp.csr_matrix((self._matrix.data, columns, np.append(cuts, starts[-1:])), shape=shape)


def sums_by_column(
    columns: Integers, starts: Integers, width: int, *weights: npt.NDArray[Number]
) -> list[npt.NDArray[Number]]:
    """Sum weights of each row's entries by column, (rows, width) for each of the weights.

    The same as sparse matrices of the entries written out, because there entries of one place add up: several times
    faster than ``np.bincount``, which would need one wide index of row and column.
    """
    entries = sp.csr_matrix((weights[0], columns, starts), shape=(len(starts) - 1, width))
    sums = [entries.toarray()]
    for more in weights[1:]:
        entries.data = more  # another matrix would take as long to make as to write out
        sums.append(entries.toarray())
    return sums


def _plain(values: sp.csr_matrix) -> sp.csr_matrix:
    """Return the values without stored zeros, entries of a cell in the order of genes; checked."""
    matrix = sp.csr_matrix(values)
    _check(matrix.data)
    if not matrix.has_canonical_format or (matrix.nnz and matrix.data.min() == 0):
        matrix = matrix.copy()  # what the caller holds stays as it is
        matrix.sum_duplicates()
        matrix.eliminate_zeros()
    return matrix


def _check(entries: Values) -> None:
    if not len(entries):
        return
    lowest, highest = entries.min(), entries.max()
    if not (np.isfinite(lowest) and np.isfinite(highest)):
        raise NotCounts("values to test have NaN or infinite entries; give counts, or their logarithms log1p")
    if lowest < 0:
        raise NotCounts(
            f"values to test have negative entries (smallest {lowest:g}), as after scaling; ranks of a sparse matrix"
            " need zero to be the smallest: give counts, or their logarithms log1p"
        )
