"""The same cell is found by name and by counts; an empty one, and one of the same barcode, is not."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import anndata
import numpy as np
import pandas as pd
import pytest
import scipy.sparse as sp
from hypothesis import given
from hypothesis import strategies as st

from lingshu_core.cell_store import open_store
from lingshu_core.cells import Cells, CellSource
from lingshu_core.shared_cells import content_bits, content_hashes, plain_names, repeated_cells, shared_cells

MakeCells = Callable[..., Cells]


@pytest.fixture
def make_cells() -> MakeCells:
    """Cells of random counts: `make_cells(seed, cells=60, genes=40, rate=2.0, first=0)`; genes G0, G1, …"""

    def make(seed: int, cells: int = 60, genes: int = 40, rate: float = 2.0, first: int = 0) -> Cells:
        random = np.random.default_rng(seed)
        counts = sp.csr_matrix(random.poisson(rate, (cells, genes)).astype(np.int32))
        bases = random.choice(list("ACGT"), size=(cells, 16))
        return Cells(
            counts,
            tuple(f"G{first + gene}" for gene in range(genes)),
            pd.DataFrame({"perturbation": ["control"] * cells}),
            np.asarray(counts.sum(axis=1)).ravel().astype(float),
            (),
            "control",
            f"{seed}.h5ad",
            names=np.array(["".join(row) for row in bases]),
        )

    return make


def joined(first: Cells, second: Cells) -> Cells:
    return replace(
        first,
        counts=sp.vstack([first.counts, second.counts], format="csr"),
        obs=pd.concat([first.obs, second.obs], ignore_index=True),
        depth=np.concatenate([first.depth, second.depth]),
        names=np.concatenate([first.names, second.names]),
    )


def other_genes(cells: Cells, order: list[int]) -> Cells:
    return replace(cells, counts=cells.counts[:, order], genes=tuple(cells.genes[i] for i in order))


def test_cells_are_found_by_name(make_cells: MakeCells) -> None:
    mine, theirs = make_cells(1), make_cells(2)
    found = shared_cells(mine, joined(theirs, mine.select(np.array([5, 9]))))
    assert found.by_name.tolist() == [5, 9]
    assert found.same.tolist() == [5, 9]


def test_cells_are_found_by_their_counts_under_other_names_and_genes(make_cells: MakeCells) -> None:
    mine = make_cells(1)
    shared = mine.select(np.array([5, 9]))
    fewer = other_genes(replace(shared, names=np.array(["cell_0", "cell_1"])), [*range(39, 9, -1)])
    found = shared_cells(mine, fewer)
    assert found.by_name.tolist() == []
    assert found.by_content.tolist() == [5, 9]
    assert found.compared_genes == 30


def test_other_cells_are_not_found(make_cells: MakeCells) -> None:
    found = shared_cells(make_cells(1), make_cells(2))
    assert not len(found.same)
    assert not len(found.faint)


def test_cells_with_next_to_nothing_in_them_are_not_believed(make_cells: MakeCells) -> None:
    found = shared_cells(make_cells(1, cells=200, rate=0.02), make_cells(2, cells=200, rate=0.02))
    assert not len(found.same)
    assert len(found.faint) > 50


def test_a_barcode_of_another_library_is_another_cell(make_cells: MakeCells) -> None:
    mine = make_cells(1)
    other = replace(make_cells(2), names=mine.names)
    found = shared_cells(mine, other)
    assert not len(found.same)
    assert found.renamed.tolist() == list(range(60))


def test_a_cell_that_was_counted_anew_is_the_same(make_cells: MakeCells) -> None:
    mine = make_cells(1)
    counts = mine.counts.copy()
    counts.data[::20] += 1
    found = shared_cells(mine, replace(mine, counts=counts))
    assert len(found.by_name) == 60


def test_numbers_are_no_names(make_cells: MakeCells) -> None:
    numbered = np.array([f"cell_{i}" for i in range(60)])
    found = shared_cells(replace(make_cells(1), names=numbered), replace(make_cells(2), names=numbered))
    assert not len(found.by_name)
    assert not len(found.renamed)


def test_few_genes_in_common_are_not_compared(make_cells: MakeCells) -> None:
    mine = make_cells(1)
    found = shared_cells(mine, other_genes(mine, list(range(10))))
    assert found.compared_genes == 0
    assert len(found.by_name) == 60
    assert not len(found.by_content)


def test_counts_on_disk_are_compared(make_cells: MakeCells, tmp_path: Path) -> None:
    mine = make_cells(1)
    table = anndata.AnnData(mine.counts, obs=pd.DataFrame(index=mine.names), var=pd.DataFrame(index=list(mine.genes)))
    table.write_h5ad(tmp_path / "cells.h5ad")
    stored, _ = open_store([CellSource(str(tmp_path / "cells.h5ad"), {})])
    unnamed = replace(mine, names=np.empty(0, dtype=np.str_)).select(np.array([3, 8]))
    assert shared_cells(unnamed, stored).by_content.tolist() == [0, 1]
    assert shared_cells(stored, unnamed).by_content.tolist() == [3, 8]
    assert not repeated_cells(stored).any
    # What is selected of cells on disk has labels only: then names have to do.
    labels = stored.select(np.array([3, 8]))
    assert shared_cells(labels, stored).same.tolist() == [0, 1]
    assert not repeated_cells(labels).any
    stored.close()


def test_cells_that_are_there_twice_are_found(make_cells: MakeCells) -> None:
    mine = make_cells(1)
    copies = replace(mine.select(np.array([2, 7])), names=np.array(["a", "b"]))
    repeated = repeated_cells(joined(mine, copies))
    rows = np.arange(62)
    assert repeated.any
    assert np.flatnonzero(repeated.across(rows < 60, rows >= 60)).tolist() == [2, 7]
    assert repeated.sure[[2, 7, 60, 61]].all()
    assert not repeated.across(rows < 5, (rows >= 5) & (rows < 60)).any()


def test_names_go_without_their_files() -> None:
    assert plain_names(np.array(["one/ACGT-1", "ACGT-2"])).tolist() == ["ACGT-1", "ACGT-2"]
    assert plain_names(np.empty(0, dtype=np.str_)).tolist() == []


@given(st.integers(0, 10_000), st.permutations(list(range(12))))
def test_hashes_know_no_order_of_genes_and_no_zeros(seed: int, order: list[int]) -> None:
    counts = np.random.default_rng(seed).poisson(0.7, (9, 12))
    genes = [f"G{gene}" for gene in range(12)]
    mine = content_hashes(sp.csr_matrix(counts), genes)
    other = content_hashes(sp.csr_matrix(counts[:, order]), [genes[i] for i in order])
    assert (mine == other).all()
    stored_zeros = sp.csr_matrix((np.zeros(12), np.arange(12), [0, *[12] * 9]), shape=(9, 12)).astype(np.int64)
    stored_zeros.data[:] = counts[0]
    assert content_hashes(stored_zeros, genes)[0] == mine[0]
    alike = (counts[:, None, :] == counts[None, :, :]).all(axis=2)
    assert ((mine[:, None] == mine[None, :]) == alike).all()


def test_bits_are_the_chance_of_the_counts() -> None:
    # Two genes, four cells: the first has a count in one cell, the second in two.
    counts = sp.csr_matrix(np.array([[3, 1], [0, 1], [0, 0], [0, 0]]))
    chances = np.array([[1.5, 2.5], [3.5, 2.5], [3.5, 2.5], [3.5, 2.5]]) / 5.0
    assert content_bits(counts) == pytest.approx(-np.log2(chances).sum(axis=1))
