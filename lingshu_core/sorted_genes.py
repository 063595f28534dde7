"""The non-zero values of some genes in order, and what rank sums need of them."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise
from typing import cast

import numpy as np
import numpy.typing as npt

from lingshu_core.grouped_cells import CONTROLS, Integers, Values, sums_by_column

Array = npt.NDArray[np.float64]
Keys = npt.NDArray[np.uint32] | npt.NDArray[np.uint64]

_KEY_BITS = 64


@dataclass(frozen=True)
class SortedGenes:
    """The entries of some genes, of a gene by value and then by group.

    Attributes
    ----------
    keys
        Value and group as one number, (entries,).
    starts
        Where each gene begins, with the end, (genes + 1,).
    group_bits
        Bits of a key, the lowest, that are the group.
    groups
        Number of groups.
    """

    keys: Keys
    starts: Integers
    group_bits: int
    groups: int

    def group(self) -> npt.NDArray[np.int32]:
        """Return the group of each entry, (entries,)."""
        group = self.keys & self.keys.dtype.type((1 << self.group_bits) - 1)
        return group.view(np.int32) if group.dtype == np.uint32 else group.astype(np.int32)

    def as_before(self) -> npt.NDArray[np.bool_]:
        """Tell which entries have the value of the one before them, in the same gene, (entries,)."""
        same = np.zeros(len(self.keys), dtype=bool)
        np.less(self.keys[1:] ^ self.keys[:-1], 1 << self.group_bits, out=same[1:])
        firsts = self.starts[:-1]
        same[firsts[firsts < len(same)]] = False
        return same


def sort_genes(values: Values, group: Integers, starts: Integers, groups: int) -> SortedGenes:
    """Sort the non-zero entries of some genes.

    Parameters
    ----------
    values, group
        Of each entry, gene by gene, (entries,).
    starts
        Where each gene begins, with the end, (genes + 1,).
    groups
        Number of groups.
    """
    group_bits = (groups - 1).bit_length()
    keys = _keys(values, group, starts, group_bits)
    for start, end in pairwise(starts.tolist()):
        keys[start:end].sort()
    return SortedGenes(keys, starts, group_bits, groups)


def _keys(values: Values, group: Integers, starts: Integers, group_bits: int) -> Keys:
    """Return value and group of each entry as one number, so that a plain sort orders by value, then by group.

    Only a gene's own values are compared. 32 bits, where they do, are sorted twice as fast as 64.
    """
    codes = _bits(values)
    lowest, bits = _lowest_and_bits(codes)
    if bits + group_bits > _KEY_BITS:
        codes = _dense_ranks(values, starts)
        lowest, bits = _lowest_and_bits(codes)
    wide = np.uint32 if bits + group_bits <= 32 else np.uint64
    keys = cast(Keys, (codes - codes.dtype.type(lowest)).astype(wide, copy=False))
    keys <<= wide(group_bits)
    keys |= group.astype(wide)
    return keys


def _bits(values: Values) -> Keys:
    """Return integers in the order of positive values: the bits of a float, read as an integer, are."""
    with np.errstate(over="ignore"):  # what is too large for 32 bits is not equal, and keeps its 64
        single = values.astype(np.float32, copy=False)
    if single is values or np.array_equal(single, values):
        return single.view(np.uint32)
    return values.astype(np.float64, copy=False).view(np.uint64)


def _lowest_and_bits(codes: Keys) -> tuple[int, int]:
    """Return the lowest code, and the bits that the others need above it."""
    lowest, highest = (int(codes.min()), int(codes.max())) if len(codes) else (0, 0)
    return lowest, (highest - lowest).bit_length()


def _dense_ranks(values: Values, starts: Integers) -> npt.NDArray[np.uint32]:
    """Number the different values of each gene, ascending, (entries,)."""
    ranks = np.zeros(len(values), dtype=np.uint32)
    for start, end in pairwise(starts.tolist()):
        order = np.argsort(values[start:end])
        ordered = values[start:end][order]
        ranks[start + order[1:]] = np.cumsum(ordered[1:] != ordered[:-1])
    return ranks


def tie_term(cells: Array) -> Array:
    """Return t³ − t of the numbers t of cells that share a value."""
    return cells * cells * cells - cells


def sorted_sums(part: SortedGenes, sizes: Integers) -> tuple[Array, Array]:
    """Return U of each group, and the sum of t³ − t over what it and the controls share, both (groups, genes).

    Parameters
    ----------
    part
        Some genes.
    sizes
        Cells of each group, (groups,); those without an entry are zero.
    """
    group = part.group()
    # Controls sort before the groups with the same value, so this counts the controls at or below it, from the first
    # gene on. Summed as whole numbers of 32 bits: other types take ten times as long.
    controls = np.cumsum(group == CONTROLS, dtype=np.int32)
    shown, wins = sums_by_column(group, part.starts, part.groups, np.ones(len(group)), controls.astype(float))
    later = np.flatnonzero(part.starts[:-1])
    wins[later] -= controls[part.starts[later] - 1, None] * shown[later]
    half_ties, ties = _tied_sums(part, group)
    zeros = sizes - shown
    silent = zeros[:, [CONTROLS]]
    statistics = wins - half_ties + silent * (shown + zeros / 2)
    return statistics.T, (ties + tie_term(silent + zeros)).T


def _tied_sums(part: SortedGenes, group: npt.NDArray[np.int32]) -> tuple[Array, Array]:
    """Return what non-zero values that several cells share add: half the ties with controls, and the sum of t³ − t.

    Both are (genes, groups).
    """
    at, of_group, cells, controls = _tied_runs(part, group)
    own = of_group == CONTROLS
    half = np.where(own, 0.0, controls * cells / 2)
    # What the controls share among themselves counts once, in their own column; a group adds the rest.
    more = np.where(own, tie_term(cells), tie_term(controls + cells) - tie_term(controls))
    starts = np.searchsorted(at, part.starts).astype(np.int32)
    half_ties, ties = sums_by_column(of_group, starts, part.groups, half, more)
    return half_ties, ties + ties[:, [CONTROLS]]


def _tied_runs(
    part: SortedGenes, group: npt.NDArray[np.int32]
) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.int32], Array, Array]:
    """Find the cells of one group that share a value with one another or with controls, in runs.

    Returns the first entry of each run, its group, its cells and the controls with that value, all (runs,).
    """
    as_before = part.as_before()
    tied = as_before.copy()
    tied[:-1] |= as_before[1:]
    at = np.flatnonzero(tied)
    keys, opens_value = part.keys.take(at), ~as_before.take(at)
    opens = opens_value.copy()
    opens[1:] |= keys[1:] != keys[:-1]
    runs = np.flatnonzero(opens)
    of_group, cells = group.take(at.take(runs)), np.diff(runs, append=len(at)).astype(float)
    value = np.cumsum(opens_value[runs], dtype=np.int32)
    own = np.flatnonzero(of_group == CONTROLS)
    controls = np.zeros(len(runs) + 1)
    controls[value[own]] = cells[own]
    # Perturbations that share a value with none but one another have no tie that counts.
    counts = np.flatnonzero((controls[value] > 0) | (cells > 1))
    return at[runs[counts]], of_group[counts], cells[counts], controls[value[counts]]
