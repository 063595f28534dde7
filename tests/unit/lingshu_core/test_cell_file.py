from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import anndata
import fsspec
import numpy as np
import pytest
import scipy.sparse as sp

from lingshu_core.cell_file import open_cells
from lingshu_core.errors import MissingColumn, NotCounts, UnreadableCells, UnusableCells

Write = Callable[[anndata.AnnData], str]


@pytest.fixture
def write(tmp_path: Path) -> Write:
    def put(table: anndata.AnnData) -> str:
        path = str(tmp_path / "cells.h5ad")
        table.write_h5ad(path)
        return path

    return put


@pytest.mark.parametrize("form", [sp.csr_matrix, sp.csc_matrix, lambda matrix: matrix.toarray()])
def test_rows_come_in_the_order_asked_for(table: anndata.AnnData, write: Write, form: Callable[..., object]) -> None:
    expected = table.X.toarray()
    table.X = form(table.X)
    rows = np.array([5, 2, 5, 0])
    with open_cells(write(table)) as cells:
        assert len(cells) == table.n_obs
        assert cells.genes == tuple(table.var_names)
        found = cells.counts(rows)
    np.testing.assert_array_equal(found.toarray(), expected[rows])
    assert found.dtype == np.int32


def test_layers_and_remote_files_are_read(table: anndata.AnnData, write: Write, memory_url: str) -> None:
    table.layers["raw"] = table.X.copy()
    table.X = table.X.log1p()
    path = write(table)
    with open_cells(path, "raw") as cells:
        local = cells.counts(np.arange(3)).toarray()
    with fsspec.open(f"{memory_url}/cells.h5ad", "wb") as copy:
        copy.write(Path(path).read_bytes())
    with open_cells(f"{memory_url}/cells.h5ad", "raw") as cells:
        np.testing.assert_array_equal(cells.counts(np.arange(3)).toarray(), local)
    with open_cells(path) as cells, pytest.raises(NotCounts, match="no integers"):
        cells.counts(np.arange(3))


def test_cells_are_chosen_by_all_columns(table: anndata.AnnData, write: Write) -> None:
    with open_cells(write(table)) as cells:
        found = cells.matching({"type": ["B cells"], "treatment": ["STAT1", "JAK2"]})
        expected = (table.obs["type"] == "B cells") & table.obs["treatment"].isin(["STAT1", "JAK2"])
        np.testing.assert_array_equal(found, np.flatnonzero(expected))
        np.testing.assert_array_equal(cells.matching({"dose": [10.0]}), np.flatnonzero(table.obs["dose"] == 10))


@pytest.mark.parametrize(
    ("wanted", "said"),
    [
        ({"kind_of": ["x"]}, "obs has no column 'kind_of'"),
        ({"type": ["NK"]}, "no cell has type 'NK'; there are: B cells, T cells"),
        ({"treatment": ["ctrl"], "dose": [10.0]}, "no cell fulfils all of: treatment, dose"),
    ],
)
def test_cells_that_are_not_there_are_told(
    table: anndata.AnnData, write: Write, wanted: dict[str, list[object]], said: str
) -> None:
    with open_cells(write(table)) as cells, pytest.raises(MissingColumn) as caught:
        cells.matching(wanted)
    assert said in str(caught.value)


def test_bad_files_are_refused(table: anndata.AnnData, write: Write, tmp_path: Path) -> None:
    with pytest.raises(UnreadableCells, match="no such file"), open_cells(str(tmp_path / "none.h5ad")):
        pass
    with pytest.raises(UnreadableCells, match="can't be read"), open_cells("memory://nothing/none.h5ad"):
        pass
    (tmp_path / "text.h5ad").write_text("not HDF5")
    with pytest.raises(UnreadableCells, match=r"not a readable \.h5ad"), open_cells(str(tmp_path / "text.h5ad")):
        pass
    with pytest.raises(MissingColumn, match="layer 'raw' is not in the file"), open_cells(write(table), "raw"):
        pass
    table.X = None
    with pytest.raises(MissingColumn, match="name the layer"), open_cells(write(table)):
        pass


@pytest.mark.parametrize(("value", "said"), [(-1.0, "negative"), (np.nan, "NaN"), (0.5, "no integers")])
def test_what_is_no_count_is_refused(table: anndata.AnnData, write: Write, value: float, said: str) -> None:
    table.X.data[0] = value
    with open_cells(write(table)) as cells, pytest.raises(NotCounts, match=said):
        cells.counts(np.arange(len(cells)))


@pytest.mark.filterwarnings("ignore:Variable names are not unique")
def test_repeated_genes_and_empty_files_are_refused(table: anndata.AnnData, write: Write) -> None:
    with pytest.raises(UnusableCells, match="no cells"), open_cells(write(table[:0].copy())):
        pass
    table.var_names = ["GENE0", *table.var_names[:-1]]
    with pytest.raises(UnusableCells, match="duplicate genes"), open_cells(write(table)):
        pass
