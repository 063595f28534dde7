"""The cells of an ``.h5ad`` file, read a few rows at a time.

``cells.read_cells`` reads an experiment to learn from, as a whole. Here only the labels are in memory: the counts stay
in the file until their rows are asked for, and are checked when they come.
"""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import anndata
import fsspec
import h5py
import numpy as np
import numpy.typing as npt
import pandas as pd
import scipy.sparse as sp

from lingshu_core.cells import MAX_COUNT, check_dtype, plain_rows, readable
from lingshu_core.errors import MissingColumn, NotCounts, UnreadableCells, UnusableCells


@dataclass(frozen=True)
class CellFile:
    """An open ``.h5ad``.

    ``obs`` has the labels of the cells, ``genes`` the names of the columns of the counts.
    """

    path: str
    obs: pd.DataFrame
    genes: tuple[str, ...]
    where: str
    _matrix: Any

    def __len__(self) -> int:
        """Return the number of cells."""
        return len(self.obs)

    def counts(self, rows: npt.NDArray[np.int64]) -> sp.csr_matrix:
        """Read the counts of some cells, (rows, genes), integers.

        Raises
        ------
        NotCounts
            If they are not raw UMI counts.
        """
        # HDF5 reads ascending rows only; the order asked for is restored afterwards.
        wanted, place = np.unique(rows, return_inverse=True)
        with readable(self.path):
            counts = plain_rows(self._matrix[wanted])[place]
        _check_counts(counts.data, self.where)
        return counts.astype(np.int32)

    def matching(self, wanted: Mapping[str, Iterable[object]]) -> npt.NDArray[np.int64]:
        """Return the positions of the cells for which every named column of ``obs`` has one of its values.

        Raises
        ------
        MissingColumn
            If there is no such column, or a value doesn't occur.
        """
        keep = np.ones(len(self), dtype=bool)
        for name, values in wanted.items():
            column = self.column(name)
            for value in values:
                found = _equal(column, value)
                if not found.any():
                    present = ", ".join(map(str, pd.unique(column)[:12]))
                    raise MissingColumn(f"{self.path}: no cell has {name} {str(value)!r}; there are: {present}")
            keep &= np.logical_or.reduce([_equal(column, value) for value in values])
        if not keep.any():
            raise MissingColumn(f"{self.path}: no cell fulfils all of: {', '.join(wanted)}")
        return np.flatnonzero(keep)

    def column(self, name: str) -> pd.Series:
        """Return a column of ``obs``.

        Raises
        ------
        MissingColumn
            If there is none of that name.
        """
        if name not in self.obs:
            raise MissingColumn(f"{self.path}: obs has no column {name!r}; columns are: {', '.join(self.obs)}")
        return self.obs[name]


@contextmanager
def open_cells(path: str, layer: str | None = None) -> Iterator[CellFile]:
    """Open an ``.h5ad`` for reading rows; a remote one is copied to a temporary file first.

    Raises
    ------
    UnreadableCells
        If the file can't be opened as AnnData.
    MissingColumn
        If the layer is not there.
    UnusableCells
        If genes repeat or there are no cells.
    """
    with _local(path) as local, _hdf5(local, path) as file:
        yield _cell_file(file, path, layer)


@contextmanager
def _local(path: str) -> Iterator[Path]:
    if "://" not in path:
        yield Path(path)
        return
    with tempfile.NamedTemporaryFile(suffix=".h5ad") as copy:
        try:
            with fsspec.open(path, "rb") as source:
                shutil.copyfileobj(source, copy)
        except (OSError, ValueError, ImportError) as error:  # ValueError, ImportError: no file system of that name
            raise UnreadableCells(f"{path}: can't be read ({error})") from error
        copy.flush()
        yield Path(copy.name)


@contextmanager
def _hdf5(local: Path, path: str) -> Iterator[h5py.File]:
    try:
        file = h5py.File(local, "r")
    except FileNotFoundError as error:
        raise UnreadableCells(f"{path}: no such file; check the path") from error
    except OSError as error:
        reason = str(error).splitlines()[0]
        raise UnreadableCells(f"{path}: not a readable .h5ad ({reason}); write it with AnnData.write_h5ad") from error
    with file:
        yield file


def _cell_file(file: h5py.File, path: str, layer: str | None) -> CellFile:
    where = f"{path}: {'X' if layer is None else f'layer {layer!r}'}"
    try:
        obs = anndata.io.read_elem(file["obs"])
        genes = anndata.io.read_elem(file["var"]).index
        layers = list(file.get("layers", ()))
    except (KeyError, ValueError, OSError, RuntimeError) as error:
        reason = str(error).splitlines()[0] if str(error) else type(error).__name__
        raise UnreadableCells(f"{path}: not a readable .h5ad ({reason}); write it with AnnData.write_h5ad") from error
    if layer is not None and layer not in layers:
        raise MissingColumn(f"{where} is not in the file; layers are: {', '.join(layers) or 'none'}")
    if layer is None and "X" not in file:
        raise MissingColumn(f"{where} is empty; name the layer that holds raw counts; layers are: {', '.join(layers)}")
    if genes.has_duplicates:
        shown = ", ".join(map(str, genes[genes.duplicated()].unique()[:5]))
        raise UnusableCells(f"{path}: var_names has duplicate genes ({shown}); sum or drop them")
    if not len(obs) or not len(genes):
        raise UnusableCells(f"{path}: there are no {'genes' if len(obs) else 'cells'} in the file")
    element = file["X"] if layer is None else file["layers"][layer]
    matrix = anndata.io.sparse_dataset(element) if isinstance(element, h5py.Group) else element
    check_dtype(matrix.dtype, where)
    return CellFile(path, obs, tuple(map(str, genes)), where, matrix)


def _equal(column: pd.Series, value: object) -> npt.NDArray[np.bool_]:
    if isinstance(value, float):
        return np.asarray(pd.to_numeric(column, errors="coerce") == value)
    return np.asarray(column.astype(str) == str(value))


def _check_counts(values: npt.NDArray[Any], where: str) -> None:
    cure = "give raw UMI counts: name the layer that holds them"
    if not np.isfinite(values).all():
        raise NotCounts(f"{where} has NaN or infinite values; {cure}")
    if (values < 0).any():
        raise NotCounts(f"{where} has negative values (smallest {values.min():g}), as after scaling; {cure}")
    fractions = values[values != np.floor(values)]
    if len(fractions):
        raise NotCounts(f"{where} has values that are no integers (such as {fractions[0]:g}: normalised?); {cure}")
    if len(values) and values.max() > MAX_COUNT:
        raise NotCounts(
            f"{where} has a value of {values.max():g}, and no cell has {MAX_COUNT:,} UMIs of a gene; {cure}"
        )
