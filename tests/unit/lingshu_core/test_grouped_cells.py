from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
import scipy.sparse as sp
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from lingshu_core import grouped_cells
from lingshu_core.errors import NotCounts
from lingshu_core.grouped_cells import GroupedCells, sums_by_column

COUNTS = arrays.arrays(
    np.int32, st.tuples(st.integers(1, 12), st.integers(1, 9)), elements=st.sampled_from([0, 0, 0, 1, 2, 300])
)


def grouped(values: npt.NDArray[np.int32], chance: Any) -> tuple[GroupedCells, npt.NDArray[np.int64], int]:
    """Cells in groups of at least one cell, one group as −1."""
    group = np.arange(len(values)) % chance.randint(1, len(values))
    chance.shuffle(group)
    group -= chance.random() < 0.5 and group.max() > 0
    return GroupedCells(sp.csr_matrix(values), group, int(group.max()) + 1), group, int(group.max()) + 1


@given(COUNTS, st.randoms(use_true_random=False), st.sampled_from([1, 7, 1_000]))
def test_blocks_have_every_entry_once_and_in_its_place(
    values: npt.NDArray[np.int32], chance: Any, entries: int
) -> None:
    cells, group, groups = grouped(values, chance)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(grouped_cells, "_ENTRIES_AT_ONCE", entries)
        patch.setattr(grouped_cells, "_ENTRIES_PER_PIECE", 0)
        blocks = list(cells.blocks())
    assert np.concatenate([np.arange(values.shape[1])[block.genes] for block in blocks]).tolist() == list(
        range(values.shape[1])
    )
    sums = np.concatenate(
        [sums_by_column(block.columns, block.starts, block.width, block.values)[0] for block in blocks], axis=1
    )
    assert np.array_equal(sums, [values[group == each].sum(axis=0) for each in range(groups)])
    assert sum(len(block.values) for block in blocks) == np.count_nonzero(values[group >= 0])
    assert cells.sizes.tolist() == [(group == each).sum() for each in range(groups)]


@given(COUNTS, st.randoms(use_true_random=False))
def test_a_block_is_turned_to_genes_and_cut_to_groups(values: npt.NDArray[np.int32], chance: Any) -> None:
    cells, group, groups = grouped(values, chance)
    for block in cells.blocks():
        found, of_group, starts = block.by_gene()
        for gene in range(block.width):
            entries = slice(starts[gene], starts[gene + 1])
            column = values[:, block.genes][:, gene]
            for each in range(groups):
                expected = column[(group == each) & (column > 0)]
                assert sorted(found[entries][of_group[entries] == each]) == sorted(expected)
        first = groups // 2
        part = block.part(slice(first, groups))
        sums, twice = sums_by_column(part.columns, part.starts, part.width, part.values, 2 * part.values)
        (whole,) = sums_by_column(block.columns, block.starts, block.width, block.values)
        assert np.array_equal(sums, whole[first:])
        assert np.array_equal(twice, 2 * sums)


def test_memory_for_a_block_does_not_grow_with_the_genes(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(grouped_cells, "_ENTRIES_AT_ONCE", 2_000)
    monkeypatch.setattr(grouped_cells, "_ENTRIES_PER_PIECE", 1)
    for genes in (100, 1_000):
        values = sp.random(50, genes, density=0.4, format="csr", random_state=0)
        sizes = [len(block.values) for block in GroupedCells(values, np.arange(50) % 5, 5).blocks()]
        assert max(sizes) < 2_500
        assert len(sizes) == pytest.approx(genes * 50 * 0.4 / 2_000, abs=1)


def test_the_matrix_is_not_copied() -> None:
    values = sp.random(50, 30, density=0.4, format="csr", random_state=0)
    cells = GroupedCells(values, np.zeros(50, dtype=int), 1)
    assert np.shares_memory(cells._matrix.data, values.data)
    assert np.shares_memory(cells._pieces(np.array([0, 10, 30])).data, values.data)


@pytest.mark.parametrize(
    ("value", "told"), [(-2.0, r"negative entries \(smallest -2\)"), (np.nan, "NaN"), (np.inf, "inf")]
)
def test_values_without_a_rank_above_zero_are_refused(value: float, told: str) -> None:
    with pytest.raises(NotCounts, match=told):
        GroupedCells(sp.csr_matrix(np.array([[1.0, value], [0.0, 1.0]])), np.array([0, 1]), 2)
