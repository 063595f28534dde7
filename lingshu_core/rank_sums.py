"""Rank-sum statistics of many groups of cells against shared controls, gene by gene.

The Mann–Whitney U of a group is the number of pairs (its cell, control) in which its cell is higher, ties counting
half; its variance needs how many cells of the two share each value (Mann and Whitney 1947; ties: Lehmann 1975). Both
follow from numbers of controls below and at each value, which are the same for all groups: they are found once a gene,

- for counts from histograms: bins of all groups and genes are filled in one pass, and nothing is sorted;
- for other values by one sort of a gene's non-zero entries, controls and all groups together. Zeros, most of the
  cells, are one block of ties and are only counted.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from lingshu_core.grouped_cells import CONTROLS, GeneBlock, GroupedCells, Integers, Values, sums_by_column
from lingshu_core.sorted_genes import sort_genes, sorted_sums, tie_term
from lingshu_core.token_histogram import TokenHistogram
from lingshu_core.tokens import N_TOKENS, REPRESENTATIVE_COUNTS

Array = npt.NDArray[np.float64]
Transform = Callable[[Array], Array]
"""A function of values that leaves zero where it is."""

_MOST_BINS_PER_ENTRY = 4
_TOKENS_AT_ONCE = 1 << 21
_BINS_AT_ONCE = 1 << 17
_ENTRIES_AT_ONCE = 1 << 18
"""What is worked on at a time fits into the cache of a core."""


@dataclass(frozen=True)
class RankSums:
    """Statistics of some genes; the group of the controls comes first.

    Attributes
    ----------
    genes
        Where the genes are among all, as a range.
    statistics
        U of each group's cells, (groups, genes).
    ties
        Sum of t³ − t over the values, where t cells of group and controls share one, (groups, genes).
    totals
        Sum of the transformed values, (groups, genes).
    """

    genes: slice
    statistics: Array
    ties: Array
    totals: Array


def rank_sums(cells: GroupedCells, transform: Transform) -> Iterator[RankSums]:
    """Go through all genes of some cells, in blocks.

    Parameters
    ----------
    cells
        Controls are group 0.
    transform
        What ``totals`` are sums of.
    """
    for block in cells.blocks():
        largest = _largest_counts(block)
        if largest is None or not _worth_bins(block, largest):
            yield _sums_by_sorting(block, cells.sizes, transform)
        else:
            bins, starts = _histogram(block, largest, cells.sizes)
            values = np.arange(bins.shape[1]) - np.repeat(starts, largest + 1)
            yield histogram_sums(block.genes, bins, starts, transform(values.astype(float)))


def token_rank_sums(histograms: Sequence[TokenHistogram], transform: Transform) -> Iterator[RankSums]:
    """Go through all genes of some histograms, in blocks.

    Parameters
    ----------
    histograms
        One a group, the controls' first, all with the same genes.
    transform
        What ``totals`` are sums of; of the count that a token stands for.
    """
    step = max(1, _TOKENS_AT_ONCE // (len(histograms) * N_TOKENS))
    for first in range(0, len(histograms[0].counts), step):
        genes = slice(first, min(first + step, len(histograms[0].counts)))
        # (groups, genes, tokens); token 0 is what is left, as it is mostly not stored
        cells = np.stack([histogram.counts[genes] for histogram in histograms])
        sizes = np.array([histogram.cells for histogram in histograms])
        cells[:, :, 0] = sizes[:, None] - cells[:, :, 1:].sum(axis=2)
        # Tokens above the largest of a gene are left out: most genes show only a few.
        any_cell: npt.NDArray[np.bool_] = np.any(cells > 0, axis=0)
        shown = np.logical_or.accumulate(any_cell[:, ::-1], axis=1)[:, ::-1]
        starts = np.concatenate([[0], np.cumsum(shown.sum(axis=1))[:-1]])
        values = transform(REPRESENTATIVE_COUNTS.astype(float))
        yield histogram_sums(genes, cells[:, shown], starts, np.broadcast_to(values, shown.shape)[shown])


def histogram_sums(genes: slice, bins: Values, starts: Integers, transformed: Array) -> RankSums:
    """Compute the statistics from how many cells show each value.

    Parameters
    ----------
    genes
        Where the genes are among all.
    bins
        Cells of each group in each bin, (groups, bins): the bins of all genes in a row, of a gene in the order of their
        values, with the zeros.
    starts
        The first bin of each gene, (genes,).
    transformed
        What a cell in the bin adds to ``totals``, (bins,).
    """
    controls = bins[CONTROLS].astype(float)
    up_to = np.cumsum(controls) - controls
    below = up_to - np.repeat(up_to[starts], np.diff(starts, append=len(controls)))
    wins = below + controls / 2
    found = np.empty((3, len(bins), len(starts)))
    step = max(1, _BINS_AT_ONCE // max(len(controls), 1))
    for first in range(0, len(bins), step):
        group = slice(first, first + step)
        cells = bins[group].astype(float)
        found[0, group] = np.add.reduceat(cells * wins, starts, axis=1)
        found[2, group] = np.add.reduceat(cells * transformed, starts, axis=1)
        cells += controls
        found[1, group] = np.add.reduceat(tie_term(cells), starts, axis=1)
    return RankSums(genes, *found)


def _largest_counts(block: GeneBlock) -> npt.NDArray[np.int32] | None:
    """Return the largest count of each gene, (genes,); None if there are other values than counts."""
    if len(block.values) and block.values[0] % 1:  # which tells most often
        return None
    largest = np.zeros(block.width, dtype=np.int32)
    for groups in _parts(block.starts):
        part = block.part(groups)
        if part.values.max(initial=0) >= np.iinfo(np.int32).max:
            return None
        counts = part.values.astype(np.int32, copy=False)
        if counts is not part.values and not np.array_equal(counts, part.values):
            return None
        np.maximum.at(largest, part.columns, counts)
    return largest


def _worth_bins(block: GeneBlock, largest: npt.NDArray[np.int32]) -> bool:
    """Tell whether there are few enough bins: a gene with a very large count, or tiny groups, leave most empty."""
    bins = int(np.sum(largest, dtype=np.int64)) + len(largest)
    return bins * (len(block.starts) - 1) <= _MOST_BINS_PER_ENTRY * max(len(block.values), 1)


def _histogram(
    block: GeneBlock, largest: npt.NDArray[np.int32], sizes: Integers
) -> tuple[npt.NDArray[np.int32], Integers]:
    """Return the cells of each group that show each count, (groups, bins of all genes), and the genes' first bins."""
    ends = np.cumsum(largest + 1, dtype=np.int32)
    starts = ends - (largest + 1)
    bins = np.empty((len(sizes), int(ends[-1])), dtype=np.int32)
    for groups in _parts(block.starts):
        part = block.part(groups)
        places = starts.take(part.columns)  # half the time of an index
        places += part.values.astype(np.int32, copy=False)
        (bins[groups],) = sums_by_column(places, part.starts, bins.shape[1], np.ones(len(places), dtype=np.int32))
    bins[:, starts] = sizes[:, None] - np.add.reduceat(bins, starts, axis=1)
    return bins, starts


def _sums_by_sorting(block: GeneBlock, sizes: Integers, transform: Transform) -> RankSums:
    values, group, starts = block.by_gene()
    found = np.empty((2, len(sizes), block.width))
    for genes in _parts(starts):
        entries = slice(starts[genes.start], starts[genes.stop])
        inside = starts[genes.start : genes.stop + 1] - entries.start
        part = sort_genes(values[entries], group[entries], inside, len(sizes))
        found[:, :, genes] = sorted_sums(part, sizes)
    return RankSums(block.genes, found[0], found[1], _totals(block, transform))


def _parts(starts: Integers) -> Iterator[slice]:
    """Cut a row of genes into parts of about as many entries as fit into the cache."""
    first, genes = 0, len(starts) - 1
    while first < genes:
        last = int(np.searchsorted(starts, starts[first] + _ENTRIES_AT_ONCE, side="right")) - 1
        last = min(max(last, first + 1), genes)
        yield slice(first, last)
        first = last


def _totals(block: GeneBlock, transform: Transform) -> Array:
    totals = np.empty((len(block.starts) - 1, block.width))
    for groups in _parts(block.starts):
        part = block.part(groups)
        (totals[groups],) = sums_by_column(part.columns, part.starts, block.width, transform(part.values.astype(float)))
    return totals
