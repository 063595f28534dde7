"""Cells that are in two data sets: found by their names and, where names tell nothing, by their counts.

Two files may hold the same cell with other names and other genes. Over the genes that both have, its counts are the
same, and those of another cell are not, unless there is next to nothing in it. How much there is in a cell is measured
in bits: minus log2 of the chance to draw its counts gene by gene. A match by counts is believed only where such a match
is not to be expected by chance among all pairs of cells.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
import numpy.typing as npt
import scipy.sparse as sp

from lingshu_core.cell_store import PASS_CELLS, AbsentCounts, StoredCells
from lingshu_core.cells import Cells

Hashes = npt.NDArray[np.uint64]
Rows = npt.NDArray[np.int64]

MARGIN_BITS = 10.0
"""Bits beyond those at which one match by chance is expected; genes are not quite independent."""
LEAST_GENES = 20
"""With fewer genes in common, counts are not compared."""
_GOLDEN, _FIRST, _SECOND = (np.uint64(0x9E3779B97F4A7C15), np.uint64(0xBF58476D1CE4E5B9), np.uint64(0x94D049BB133111EB))


@dataclass(frozen=True)
class SharedCells:
    """Cells of one data set that are in another one too.

    Parameters
    ----------
    by_name
        Positions of cells whose name the other has, and whose counts don't contradict it.
    by_content
        Positions of cells whose counts the other has.
    renamed
        Positions of cells whose name the other has with quite other counts: another cell of the same barcode.
    faint
        Positions of cells whose counts the other has, which may be chance: there is too little in them.
    compared_genes
        Over how many genes counts were compared.
    """

    by_name: Rows
    by_content: Rows
    renamed: Rows
    faint: Rows
    compared_genes: int

    @property
    def same(self) -> Rows:
        """All cells that are the same, by name or by content."""
        return np.union1d(self.by_name, self.by_content)


def content_hashes(counts: sp.csr_matrix, genes: Sequence[str]) -> Hashes:
    """Return a hash of each cell's counts, (cells,): the same whatever the order of genes, and with zeros left out.

    The hashes of (gene, count) pairs are added, so those of a choice of genes come from the columns of that choice.
    """
    pairs = _mixed(_gene_keys(tuple(genes))[counts.indices] + counts.data.astype(np.uint64) * _GOLDEN)
    # A count of 0 that is stored is no count.
    sums = np.concatenate([[np.uint64(0)], np.cumsum(np.where(counts.data > 0, pairs, 0), dtype=np.uint64)])
    return np.asarray(sums[counts.indptr[1:]] - sums[counts.indptr[:-1]], dtype=np.uint64)


def content_bits(counts: sp.csr_matrix) -> npt.NDArray[np.float64]:
    """Return how unlikely each cell's counts are, (cells,), in bits, if every gene were drawn by itself.

    The chances are those of the cells themselves, half a cell added to each.
    """
    cells = counts.shape[0]
    positive = sp.csr_matrix(counts, copy=True)
    positive.eliminate_zeros()
    code = positive.indices.astype(np.int64) * (int(positive.data.max(initial=0)) + 1) + positive.data
    _, pair, times = np.unique(code, return_inverse=True, return_counts=True)
    absent = np.log2((cells - positive.getnnz(axis=0) + 0.5) / (cells + 1.0))
    weights = absent[positive.indices] - np.log2((times[pair] + 0.5) / (cells + 1.0))
    sums = np.concatenate([[0.0], np.cumsum(weights)])
    return np.asarray(sums[positive.indptr[1:]] - sums[positive.indptr[:-1]] - absent.sum())


def shared_cells(cells: Cells, other: Cells) -> SharedCells:
    """Find the cells of one data set that are in another one.

    Parameters
    ----------
    cells
        Those asked about; their positions are returned.
    other
        The other data set; its counts may be on disk.
    """
    common = set(other.genes)
    genes = [gene for gene in cells.genes if gene in common]
    named, partner = _same_names(cells, other)
    if len(genes) < LEAST_GENES or not all(len(one) and _readable(one) for one in (cells, other)):
        none = np.empty(0, dtype=np.int64)
        return SharedCells(named, none, none, none, compared_genes=0)
    mine = np.concatenate([content_hashes(block, genes) for block in _blocks(cells, genes)])
    theirs = np.concatenate([content_hashes(block, genes) for block in _blocks(other, genes)])
    found = np.flatnonzero(np.isin(mine, theirs))
    sure = _sure(cells, genes, found, len(cells) * len(other))
    alike = _alike(cells, other, genes, named, partner) | (mine[named] == theirs[partner])
    return SharedCells(
        by_name=named[alike],
        by_content=found[sure],
        renamed=named[~alike],
        faint=np.setdiff1d(found[~sure], named[alike]),
        compared_genes=len(genes),
    )


@dataclass(frozen=True)
class RepeatedCells:
    """Cells of one data set that are there more than once, under several names.

    Parameters
    ----------
    group
        Number that cells with the same counts share, −1 for a cell that is there once, (cells,).
    sure
        Whether that can't be chance, (cells,).
    """

    group: Rows
    sure: npt.NDArray[np.bool_]

    @property
    def any(self) -> bool:
        """Whether any cell is there more than once."""
        return bool((self.group >= 0).any())

    def across(self, first: npt.NDArray[np.bool_], second: npt.NDArray[np.bool_]) -> npt.NDArray[np.bool_]:
        """Tell which cells of the first group are in the second too, (cells,)."""
        return np.asarray(first & (self.group >= 0) & np.isin(self.group, self.group[second & (self.group >= 0)]))


def repeated_cells(cells: Cells) -> RepeatedCells:
    """Find cells that are in a data set more than once; names don't count."""
    if not _readable(cells):
        return RepeatedCells(np.full(len(cells), -1), np.zeros(len(cells), dtype=bool))
    hashes = np.concatenate([content_hashes(block, cells.genes) for block in _blocks(cells, cells.genes)])
    _, group, times = np.unique(hashes, return_inverse=True, return_counts=True)
    repeated = np.flatnonzero(times[group] > 1)
    sure = np.zeros(len(cells), dtype=bool)
    sure[repeated] = _sure(cells, list(cells.genes), repeated, len(cells) ** 2)
    return RepeatedCells(np.where(times[group] > 1, group, -1), sure)


SAME_COUNTS = 0.8
"""Cells of one name are the same if so much of their molecules is; two cells of one type share some 60 %."""


def _alike(cells: Cells, other: Cells, genes: list[str], mine: Rows, theirs: Rows) -> npt.NDArray[np.bool_]:
    """Tell of pairs of cells whether most of their molecules are the same ones, (pairs,).

    The same cell counted by two versions of a pipeline has not quite the same counts.
    """
    if not len(mine):
        return np.zeros(0, dtype=bool)
    first, second = _some(cells, genes, mine), _some(other, genes, theirs)
    common = np.asarray(first.minimum(second).sum(axis=1)).ravel()
    most = np.maximum(np.asarray(first.sum(axis=1)).ravel(), np.asarray(second.sum(axis=1)).ravel())
    return np.asarray(common >= SAME_COUNTS * np.maximum(most, 1))


def _same_names(cells: Cells, other: Cells) -> tuple[Rows, Rows]:
    """Return positions of the cells whose names the other has, and the positions there; numbers are no names."""
    if not len(cells.names) or not len(other.names):
        return np.empty(0, dtype=np.int64), np.empty(0, dtype=np.int64)
    _, mine, theirs = np.intersect1d(plain_names(cells.names), plain_names(other.names), return_indices=True)
    order = np.argsort(mine)
    telling = np.array([_tells(name) for name in plain_names(cells.names)[mine[order]]], dtype=bool)
    return mine[order][telling].astype(np.int64), theirs[order][telling].astype(np.int64)


def plain_names(names: npt.NDArray[np.str_]) -> npt.NDArray[np.str_]:
    """Return names of cells without the files that stand before them, see ``cell_files.joined``."""
    return np.array([name.rpartition("/")[2] for name in names.tolist()], dtype=np.str_)


@lru_cache(maxsize=65_536)
def _tells(name: str) -> bool:
    """Whether a name is one cell's: it has a run of eight bases. ``cell_17`` is in every file that was numbered."""
    bases = 0
    for letter in name.upper():
        bases = bases + 1 if letter in "ACGT" else 0
        if bases == 8:
            return True
    return False


def _sure(cells: Cells, genes: Sequence[str], found: Rows, pairs: int) -> npt.NDArray[np.bool_]:
    """Tell which matches by counts can't be chance, (found,)."""
    if not len(found):
        return np.zeros(0, dtype=bool)
    sample = sp.vstack(list(_blocks(cells.counted(), genes)), format="csr")
    bits = content_bits(sp.vstack([_some(cells, genes, found), sample], format="csr"))[: len(found)]
    return np.asarray(bits >= np.log2(pairs) + MARGIN_BITS)


def _readable(cells: Cells) -> bool:
    return isinstance(cells, StoredCells) or not isinstance(cells.counts, AbsentCounts)


def _blocks(cells: Cells, genes: Sequence[str]) -> Iterator[sp.csr_matrix]:
    """Return the counts of some genes, block by block."""
    if isinstance(cells, StoredCells):
        for start in range(0, len(cells), PASS_CELLS):
            yield _some(cells, genes, np.arange(start, min(start + PASS_CELLS, len(cells))))
    else:
        yield _columns(cells.counts, cells.genes, genes)


def _some(cells: Cells, genes: Sequence[str], rows: Rows) -> sp.csr_matrix:
    """Return the counts of some cells, in their order, and some genes."""
    if isinstance(cells, StoredCells):
        rising, place = np.unique(rows, return_inverse=True)
        return _columns(cells.loaded(rising).counts[place], cells.genes, genes)
    return _columns(cells.counts[rows], cells.genes, genes)


def _columns(counts: sp.csr_matrix, genes: Sequence[str], wanted: Sequence[str]) -> sp.csr_matrix:
    if tuple(genes) == tuple(wanted):
        return counts
    column = {gene: i for i, gene in enumerate(genes)}
    return sp.csr_matrix(counts[:, [column[gene] for gene in wanted]])


@lru_cache(maxsize=8)
def _gene_keys(genes: tuple[str, ...]) -> Hashes:
    """Return a number of 64 bits for each gene, by its name."""
    digests = [hashlib.blake2b(gene.encode(), digest_size=8).digest() for gene in genes]
    return np.frombuffer(b"".join(digests), dtype="<u8").astype(np.uint64)


def _mixed(values: Hashes) -> Hashes:
    """Scatter numbers over all 64 bits (the finaliser of SplitMix64: Steele, Lea and Flood 2014)."""
    values = (values ^ (values >> np.uint64(30))) * _FIRST
    values = (values ^ (values >> np.uint64(27))) * _SECOND
    return np.asarray(values ^ (values >> np.uint64(31)), dtype=np.uint64)
