"""The counts of one file, read in runs of rows: what a file larger than memory is opened with.

The readers are anndata's own (``sparse_dataset`` over h5py and zarr); here is what they are asked for.
"""

from __future__ import annotations

import warnings
from typing import Any

import anndata
import fsspec
import h5py
import numpy as np
import numpy.typing as npt
import pandas as pd
import scipy.sparse as sp
from anndata.io import read_elem, sparse_dataset
from fsspec.implementations.local import LocalFileSystem

from lingshu_core.cells import (
    CellSource,
    check_chunks,
    check_dtype,
    check_parts,
    check_values,
    is_zarr,
    open_zarr,
    plain_rows,
    readable,
)
from lingshu_core.errors import MissingColumn, UnusableCells


class CountRows:
    """Rows of the count matrix of an ``.h5ad`` or ``.zarr``, (cells, genes), left where they are.

    Parameters
    ----------
    source
        Path, layer and the genes to keep.

    Raises
    ------
    UnreadableCells
        If the file can't be opened as AnnData.
    MissingColumn
        If the layer is not there.
    """

    def __init__(self, source: CellSource) -> None:
        self.source = source
        with readable(source.path):
            self._group = open_group(source.path)
            check_parts(self._group)
            if is_zarr(source.path):
                check_chunks(self._group, source.layer)
            self._layers = list(self._group["layers"]) if "layers" in self._group else []
            self._matrix = self._find_matrix()
        self.shape = (int(self._matrix.shape[0]), int(self._matrix.shape[1]))
        self._columns: npt.NDArray[np.int64] | None = None
        if source.genes is not None:
            self._columns = self.gene_names().get_indexer(list(source.genes))

    def __enter__(self) -> CountRows:
        """Return the open file."""
        return self

    def __exit__(self, *_: object) -> None:
        """Close the file."""
        self.close()

    def close(self) -> None:
        """Close the file, so that others may write it."""
        if isinstance(self._group, h5py.File):
            self._group.close()

    def _find_matrix(self) -> Any:
        layer = self.source.layer
        where = f"{self.source.path}: {'X' if layer is None else f'layer {layer!r}'}"
        if layer is not None and layer not in self._layers:
            raise MissingColumn(f"{where} is not in the file; layers are: {', '.join(self._layers) or 'none'}")
        if layer is None and "X" not in self._group:
            raise MissingColumn(f"{where} is empty; name the layer that holds raw counts with data.layer")
        stored = self._group["X"] if layer is None else self._group["layers"][layer]
        matrix = sparse_dataset(stored) if hasattr(stored, "keys") else stored  # else it is dense
        check_dtype(matrix.dtype, where)
        return matrix

    def check_order(self) -> None:
        """Refuse a matrix that is stored by columns: a row can't be read without reading all of them.

        Raises
        ------
        UnusableCells
            Naming the file.
        """
        if getattr(self._matrix, "format", "csr") != "csr":
            raise UnusableCells(
                f"{self.source.path}: the counts are stored by genes (CSC), which can't be read by cells; write them"
                " with adata.X = adata.X.tocsr(), or set data.in_memory: true"
            )

    @property
    def stored_values(self) -> int:
        """How many values the matrix holds."""
        if not hasattr(self._matrix, "format"):
            return self.shape[0] * self.shape[1]
        return int(self._matrix.group["data"].shape[0])

    def gene_names(self) -> pd.Index:
        """Return the file's ``var_names``, all of them."""
        with readable(self.source.path):
            return read_elem(self._group["var"]).index

    def annotation(self) -> anndata.AnnData:
        """Return ``obs``, ``var`` and ``uns`` without any counts."""
        with readable(self.source.path), warnings.catch_warnings():
            warnings.filterwarnings("ignore", message=".* names are not unique")
            uns = read_elem(self._group["uns"]) if "uns" in self._group else {}
            return anndata.AnnData(obs=read_elem(self._group["obs"]), var=read_elem(self._group["var"]), uns=uns)

    def read(self, start: int, stop: int) -> sp.csr_matrix:
        """Return the counts of a run of cells, checked, (cells, genes kept).

        Raises
        ------
        NotCounts
            If they are none.
        """
        with readable(self.source.path):
            counts = plain_rows(self._matrix[start:stop])
        layer = self.source.layer
        where = f"{self.source.path}: {'X' if layer is None else f'layer {layer!r}'}"
        check_values(counts.data, where, self._layers)
        counts = counts.astype(np.int32)
        if self._columns is not None:
            counts = counts[:, self._columns]
            counts.sort_indices()
        return counts


def open_group(path: str) -> Any:
    """Open the ``h5py`` or zarr group of a file for reading; wrap it in `lingshu_core.cells.readable`."""
    if is_zarr(path):
        return open_zarr(path)
    filesystem, root = fsspec.core.url_to_fs(path)
    if isinstance(filesystem, LocalFileSystem):
        return h5py.File(root, "r")
    return h5py.File(fsspec.open(path, "rb").open(), "r")
