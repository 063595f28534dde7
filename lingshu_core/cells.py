"""Cells of a perturbation experiment, read from an ``.h5ad`` and checked.

What comes out is certain to be raw UMI counts with controls and unambiguous genes; everything else is
refused here, with the reason and the cure, before any training starts.
"""

from __future__ import annotations

import hashlib
import warnings
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from typing import Any

import anndata
import fsspec
import h5py
import numpy as np
import numpy.typing as npt
import pandas as pd
import scipy.sparse as sp
import zarr
from fsspec.implementations.local import LocalFileSystem

from lingshu_core.errors import MissingColumn, NotCounts, UnreadableCells, UnusableCells
from lingshu_core.file_systems import extra_hint
from lingshu_core.methods import canonical_methods, told_apart
from lingshu_core.token_histogram import TokenHistogram
from lingshu_core.tokens import encode
from lingshu_core.vocabulary import join_parts, split_label

ROLES_WITHOUT_CONTEXT = ("perturbation", "perturbation_type", "method", "dose", "depth")
DEFAULT_CONTEXT = ("cell_type", "donor")
PERTURBATION_TYPES = ("genetic", "cytokine", "drug", "environment")
DEFAULT_TYPE = "genetic"
MAX_COUNT = 2**31 - 1
"""What an entry of the counts can hold."""


@dataclass(frozen=True)
class CellSource:
    """Where cells are and what their columns mean.

    Parameters
    ----------
    path
        Local path, ``s3://`` or any other fsspec URL of an ``.h5ad`` or a ``.zarr``.
    columns
        Role to name of the ``obs`` column: ``perturbation`` (without it every cell is a control: an atlas),
        ``perturbation_type``, ``method`` (of genetic ones), ``dose``, ``depth`` (total UMIs over all genes, where
        the file holds a panel only), and any number of covariates such as ``cell_type``, ``donor``, ``batch``.
    context
        Roles that make up a context; by default ``cell_type`` and ``donor`` as far as they are named.
    control
        Label of the control cells in the perturbation column.
    layer
        Layer with the raw counts; ``X`` when None.
    genes
        Genes to keep, in this order; all of the file when None.
    """

    path: str
    columns: Mapping[str, str]
    context: tuple[str, ...] | None = None
    control: str = "control"
    layer: str | None = None
    genes: tuple[str, ...] | None = None

    @property
    def context_roles(self) -> tuple[str, ...]:
        """The roles that make up a context."""
        if self.context is not None:
            return tuple(self.context)
        return tuple(role for role in DEFAULT_CONTEXT if role in self.columns)


@dataclass(frozen=True)
class Cells:
    """Checked cells.

    ``counts`` is CSR, (cells, genes), integers; ``obs`` has one column per role, labels as strings and
    ``dose`` as floats (NaN: none); ``depth`` is the library size of each cell, (cells,). ``names`` are the
    ``obs_names`` of the file, (cells,); none where cells were put together by hand.
    """

    counts: sp.csr_matrix
    genes: tuple[str, ...]
    obs: pd.DataFrame
    depth: npt.NDArray[np.float64]
    context_roles: tuple[str, ...]
    control: str
    source: str = ""
    uns: Mapping[str, Any] = field(default_factory=dict)
    names: npt.NDArray[np.str_] = field(default_factory=lambda: np.empty(0, dtype=np.str_), repr=False)

    def __len__(self) -> int:
        """Return the number of cells."""
        return int(self.counts.shape[0])

    @property
    def is_control(self) -> npt.NDArray[np.bool_]:
        """Which cells are controls, (cells,)."""
        return np.asarray(self.obs["perturbation"] == self.control)

    def select(self, keep: npt.NDArray[np.bool_] | npt.NDArray[np.integer]) -> Cells:
        """Return some of the cells, by mask or by position."""
        return replace(
            self,
            counts=self.counts[keep],
            obs=self.obs.iloc[keep if keep.dtype != bool else np.flatnonzero(keep)].reset_index(drop=True),
            depth=self.depth[keep],
            names=self.names[keep] if len(self.names) else self.names,
        )

    def matching(self, wanted: Mapping[str, object]) -> npt.NDArray[np.bool_]:
        """Tell which cells fulfil every ``role: value(s)`` of a conjunction.

        Raises
        ------
        MissingColumn
            If a role was not named or a value does not occur.
        """
        keep = np.ones(len(self), dtype=bool)
        for role, values in wanted.items():
            several = values if isinstance(values, (list, tuple)) else [values]
            keep &= self._having(role, [str(value) for value in several])
        return keep

    def _having(self, role: str, values: list[str]) -> npt.NDArray[np.bool_]:
        if role not in self.obs:
            raise MissingColumn(f"{self.source}: no column is named for {role!r}; named are {', '.join(self.obs)}")
        # Doses are numbers; 10, 10.0 and "10" are one dose.
        column = self.obs[role] if role != "dose" else self.obs[role].map("{:g}".format)
        values = values if role != "dose" else [f"{float(value):g}" for value in values]
        for value in values:
            if not (column == value).any():
                present = ", ".join([str(each) for each in pd.unique(column) if each != "nan"][:12])
                raise MissingColumn(f"{self.source}: no cell has {role} {value!r}; there are: {present}")
        return np.asarray(column.isin(values))

    def digest(self) -> str:
        """Return the sha256 of all but the file's name: two equal digests are the same training data."""
        counts = CountsDigest()
        counts.update(self.counts)
        return self.digest_with(counts.value())

    def digest_with(self, counts_digest: bytes) -> str:
        """Return the digest, given that of the counts."""
        state = hashlib.sha256(counts_digest)
        state.update(self.depth.astype(np.float64).tobytes())
        state.update("\n".join((self.control, *self.context_roles)).encode())
        state.update("\n".join(self.genes).encode())
        state.update(self.obs.to_csv(index=False).encode())
        return state.hexdigest()

    def token_histogram(self) -> TokenHistogram:
        """Return how often each gene shows each token."""
        histogram = TokenHistogram.empty(len(self.genes))
        histogram.add(self.counts.indices, encode(self.counts.data), len(self))
        return histogram

    def counted(self) -> Cells:
        """Return cells whose counts are in memory: these, or a sample of those that are on disk."""
        return self

    def log1p_per_10k(self, keep: npt.NDArray[np.bool_] | None = None) -> npt.NDArray[np.float64]:
        """Return the mean of ``log1p counts per 10k`` over (some of the) cells, (genes,)."""
        counts, depth = (self.counts, self.depth) if keep is None else (self.counts[keep], self.depth[keep])
        scaled = sp.diags(1e4 / depth) @ counts
        return np.asarray(scaled.log1p().mean(axis=0)).ravel()


class CountsDigest:
    """A digest of counts that come in blocks of rows: the same however they are cut."""

    def __init__(self) -> None:
        self._parts = [hashlib.sha256() for _ in range(3)]

    def update(self, counts: sp.csr_matrix) -> None:
        """Take the next rows."""
        for state, array in zip(self._parts, (np.diff(counts.indptr), counts.indices, counts.data), strict=True):
            state.update(np.ascontiguousarray(array).astype(np.int64).tobytes())

    def value(self) -> bytes:
        """Return the digest of all rows so far."""
        return b"".join(state.digest() for state in self._parts)


def read_cells(source: CellSource, *, experiment: bool = True) -> Cells:
    """Read and check an ``.h5ad`` or a ``.zarr``.

    Parameters
    ----------
    source
        Where the cells are and what their columns mean.
    experiment
        Whether the cells have to be an experiment that a model can learn from: controls and perturbed cells,
        and no context factor that gives the perturbation away. Cells that only define an objective (healthy
        and diseased donors, a reference atlas) need not be one.

    Raises
    ------
    UnreadableCells
        If the file can't be opened as AnnData.
    MissingColumn
        If a named column, layer or the control label is not there.
    NotCounts
        If the matrix is not raw UMI counts.
    UnusableCells
        If genes repeat, cells are empty, or there are no controls.
    """
    table = open_table(source.path, source.layer)
    with readable(source.path):
        counts = _counts(table, source)
    check_genes(table.var_names, source)
    counts = keep_genes(counts, table.var_names, source.genes)
    obs = checked_obs(table.obs, source, experiment)
    depth = checked_depth(table.obs, np.asarray(counts.sum(axis=1)).ravel(), source)
    cells = Cells(
        counts=counts,
        genes=source.genes or tuple(map(str, table.var_names)),
        obs=obs,
        depth=depth,
        context_roles=source.context_roles,
        control=source.control,
        source=source.path,
        uns=plain_entries(table.uns),
        names=table.obs_names.to_numpy(dtype=np.str_),
    )
    for role in cells.context_roles if experiment and "perturbation" in source.columns else ():
        _check_not_aliased(cells, role)
    return cells


def open_table(path: str, layer: str | None = None) -> anndata.AnnData:
    """Read a whole file; errors as in :func:`read_cells`."""
    with readable(path), warnings.catch_warnings():
        # Genes that repeat are refused, and so are cells where their names count.
        warnings.filterwarnings("ignore", message=".* names are not unique")
        if is_zarr(path):
            group = open_zarr(path)
            check_parts(group)
            check_chunks(group, layer)
            return anndata.read_zarr(group)
        with fsspec.open(path, "rb") as handle:
            with h5py.File(handle, "r") as file:
                check_parts(file)
            handle.seek(0)
            return anndata.read_h5ad(handle)


def check_parts(group: Any) -> None:
    """Refuse HDF5 or zarr without the tables of cells and genes: AnnData would number the genes that have no names.

    Raises
    ------
    ValueError
        Which `readable` puts into words.
    """
    missing = [name for name in ("obs", "var") if name not in group]
    if missing:
        raise ValueError(f"there is no {' and no '.join(missing)} in it")


def check_chunks(group: Any, layer: str | None) -> None:
    """Refuse a zarr of which a part was not copied: zarr reads what isn't there as zeros.

    Values of a sparse matrix, and their columns, are never all zero, so that each of their chunks was written.

    Raises
    ------
    ValueError
        Which `readable` puts into words.
    """
    name = "X" if layer is None else f"layers/{layer}"
    for part in (f"{name}/data", f"{name}/indices"):
        if part in group:
            missing = group[part].nchunks - group[part].nchunks_initialized
            if missing:
                raise ValueError(f"{missing} of {group[part].nchunks} chunks of {part} are missing; copy it again")


def is_zarr(path: str) -> bool:
    """Tell a zarr store from an ``.h5ad`` by its name."""
    return path.rstrip("/").endswith(".zarr")


def open_zarr(path: str) -> zarr.Group:
    """Open a zarr store for reading, in a folder or at a URL."""
    filesystem, root = fsspec.core.url_to_fs(path)
    if not filesystem.exists(root):
        raise FileNotFoundError(path)
    if not filesystem.isdir(root):
        raise NotADirectoryError("it is a file, and a zarr store is a folder")
    local = isinstance(filesystem, LocalFileSystem)
    return zarr.open_group(root if local else zarr.storage.FsspecStore.from_url(path, read_only=True), mode="r")


@contextmanager
def readable(path: str) -> Iterator[None]:
    """Say why a file can't be read in the words of :class:`UnreadableCells`."""
    try:
        yield
    except FileNotFoundError as error:
        raise UnreadableCells(
            f"{path}: no such file; check the path (and LINGSHU_DATA, if the path uses it)"
        ) from error
    except PermissionError as error:
        raise UnreadableCells(f"{path}: access was denied; check the credentials in the environment") from error
    except ImportError as error:
        cure = extra_hint(path) or "; use a path, or an s3:// URL"
        raise UnreadableCells(f"{path}: can't be reached ({error}){cure}") from error
    except (OSError, KeyError, ValueError, RuntimeError) as error:
        if "Protocol not known" in str(error):
            raise UnreadableCells(f"{path}: can't be reached ({error}); use a path, or an s3:// URL") from error
        if _is_of_the_network(error):
            raise UnreadableCells(f"{path}: can't be reached ({error}); check the URL and the network") from error
        reason = str(error).splitlines()[0] if str(error) else type(error).__name__
        kind, method = (".zarr", "write_zarr") if is_zarr(path) else (".h5ad", "write_h5ad")
        raise UnreadableCells(f"{path}: not a readable {kind} ({reason}); write it with AnnData.{method}") from error


def _is_of_the_network(error: Exception) -> bool:
    """Tell a server that doesn't answer from a file that is wrong; file systems have errors of their own for it."""
    kinds = {kind.__name__ for kind in type(error).__mro__}  # aiohttp's, which stores in clouds raise
    return isinstance(error, (ConnectionError, TimeoutError)) or "ClientConnectionError" in kinds


def plain_entries(uns: Mapping[str, Any]) -> dict[str, str]:
    """Return what ``uns`` has in plain values, as text."""
    return {key: str(value) for key, value in uns.items() if isinstance(value, (str, int, float))}


def keep_genes(counts: sp.csr_matrix, names: pd.Index, genes: tuple[str, ...] | None) -> sp.csr_matrix:
    """Return the columns of some genes, in their order; all of them when None."""
    if genes is None:
        return counts
    kept = counts[:, names.get_indexer(list(genes))]
    kept.sort_indices()
    return kept


def _counts(table: anndata.AnnData, source: CellSource) -> sp.csr_matrix:
    where = f"{source.path}: {'X' if source.layer is None else f'layer {source.layer!r}'}"
    if source.layer is not None and source.layer not in table.layers:
        raise MissingColumn(f"{where} is not in the file; layers are: {', '.join(table.layers) or 'none'}")
    matrix = table.X if source.layer is None else table.layers[source.layer]
    if matrix is None:
        raise MissingColumn(f"{where} is empty; name the layer that holds raw counts with data.layer")
    check_dtype(matrix.dtype, where)
    counts = plain_rows(matrix)
    check_values(counts.data, where, list(table.layers))
    return counts.astype(np.int32)


def plain_rows(matrix: Any) -> sp.csr_matrix:
    """Return a matrix as CSR without repeated entries.

    Raises
    ------
    ValueError
        If its indices don't fit its shape: damaged, or written by something else. Nothing else would notice before
        memory beyond the matrix is touched.
    """
    counts = sp.csr_matrix(matrix)
    counts.check_format(full_check=True)
    counts.sum_duplicates()
    return counts


def check_dtype(dtype: np.dtype[Any], where: str) -> None:
    """Refuse a matrix of texts, complex numbers or yes and no."""
    if dtype.kind not in "iuf":
        raise NotCounts(f"{where} holds {dtype} and no numbers of UMIs; give raw UMI counts")


def check_values(values: npt.NDArray[Any], where: str, layers: list[str]) -> None:
    """Refuse stored values that are no UMI counts."""
    elsewhere = f"; layers in the file: {', '.join(layers)}" if layers else ""
    cure = f"give raw UMI counts: name the layer that holds them with data.layer{elsewhere}"
    if not np.isfinite(values).all():
        raise NotCounts(f"{where} has NaN or infinite values; {cure}")
    if (values < 0).any():
        raise NotCounts(f"{where} has negative values (smallest {values.min():g}), as after scaling; {cure}")
    if not np.array_equal(values, np.floor(values)):
        example = values[values != np.floor(values)][0]
        guess = "log-normalised" if values.max() < 20 else "normalised"
        raise NotCounts(f"{where} has values that are no integers (such as {example:g}; {guess}?); {cure}")
    if len(values) and values.max() > MAX_COUNT:
        raise NotCounts(
            f"{where} has a value of {values.max():g}, and no cell has {MAX_COUNT:,} UMIs of a gene; {cure}"
        )


def check_genes(names: pd.Index, source: CellSource) -> None:
    """Refuse a file without genes, genes without a name, and names that occur twice."""
    if not len(names):
        raise UnusableCells(f"{source.path}: there are no genes in the file")
    nameless = sum(not isinstance(name, str) or not name.strip() for name in names)
    if nameless:
        raise UnusableCells(f"{source.path}: var_names has {nameless} genes without a name; name them or drop them")
    repeated = names[names.duplicated()].unique()
    if len(repeated):
        shown = ", ".join(map(str, repeated[:5]))
        raise UnusableCells(
            f"{source.path}: var_names has {len(repeated)} duplicate genes ({shown}); sum or drop them"
            " (AnnData.var_names_make_unique would invent genes that nobody can ask for)"
        )


def checked_obs(obs: pd.DataFrame, source: CellSource, experiment: bool) -> pd.DataFrame:
    """Return ``obs`` with a column a role, checked; errors as in :func:`read_cells`."""
    if not len(obs):
        raise UnusableCells(f"{source.path}: there are no cells in the file")
    for role, column in source.columns.items():
        if column not in obs:
            raise MissingColumn(
                f"{source.path}: obs has no column {column!r} (data.columns.{role}); columns are: {', '.join(obs)}"
            )
    for role in source.context_roles:
        if role not in source.columns:
            raise MissingColumn(f"{source.path}: the context needs data.columns.{role}, which is not named")
    experiment = experiment and "perturbation" in source.columns
    if experiment:
        _check_unused_labels(obs, source)
    labels = _labels(obs, source)
    unlabelled = int(_is_blank(labels).sum())
    if unlabelled:
        raise UnusableCells(f"{source.path}: {unlabelled} cells have no perturbation label; drop them or label them")
    out = pd.DataFrame(index=pd.RangeIndex(len(obs)))
    plain = {label: _plain_label(str(label), source) for label in labels.unique()}
    out["perturbation"] = [plain[label] for label in labels]
    for role, column in source.columns.items():
        if role not in ROLES_WITHOUT_CONTEXT:
            missing = int(_is_blank(obs[column]).sum()) if role in source.context_roles else 0
            if missing:
                raise UnusableCells(
                    f"{source.path}: {missing} cells have no {column!r}, which is part of the context; drop them or"
                    " label them"
                )
            out[role] = [str(value) for value in obs[column]]
    is_control = (out["perturbation"] == source.control).to_numpy()
    if experiment:
        _check_controls(out["perturbation"], is_control, source)
    out["perturbation_type"] = _types(obs, source, is_control)
    if experiment:
        _check_one_type(out, source)
    if "method" in source.columns:
        out["method"] = _methods(obs, source, out["perturbation_type"])
        out["perturbation"] = told_apart(out["perturbation"], out["method"])
    out["dose"] = _doses(obs, source, out["perturbation_type"])
    return out


def _labels(obs: pd.DataFrame, source: CellSource) -> pd.Series:
    if "perturbation" not in source.columns:
        return pd.Series(source.control, index=obs.index, dtype=object)
    return obs[source.columns["perturbation"]].astype(object)


def _is_blank(column: pd.Series) -> npt.NDArray[np.bool_]:
    """Which cells have no value, or a text of nothing but white space, (cells,)."""
    return np.asarray(column.isna() | (column.astype(str).str.strip() == ""), dtype=bool)


def _plain_label(label: str, source: CellSource) -> str:
    """Sort the parts of a combination; guide pairs such as ``A+control`` and ``A+A`` are plain ``A``."""
    parts = set(split_label(label))
    if "" in parts:
        raise UnusableCells(
            f"{source.path}: perturbation {label!r} has nothing on one side of a plus sign, which joins combinations"
            f" (A+B); put a plus sign that belongs to a name into round brackets, such as 'Ca(2+)'"
        )
    parts.discard(source.control)
    return join_parts(sorted(parts)) if parts else source.control


def _check_unused_labels(obs: pd.DataFrame, source: CellSource) -> None:
    column = source.columns["perturbation"]
    if not isinstance(obs[column].dtype, pd.CategoricalDtype):
        return
    unused = sorted(set(map(str, obs[column].cat.categories)) - set(map(str, obs[column].unique())))
    if unused:
        raise UnusableCells(
            f"{source.path}: obs[{column!r}] lists perturbations with no cells: {', '.join(unused[:8])};"
            f" drop them with adata.obs[{column!r}].cat.remove_unused_categories()"
        )


def _check_controls(labels: pd.Series, is_control: npt.NDArray[np.bool_], source: CellSource) -> None:
    if not is_control.any():
        present = ", ".join(map(str, pd.unique(labels)[:12]))
        raise UnusableCells(
            f"{source.path}: no control cells: no cell is labelled {source.control!r};"
            f" set data.control to one of: {present}"
        )
    if is_control.all():
        raise UnusableCells(
            f"{source.path}: every cell is labelled {source.control!r}: there is no perturbation to learn; for an"
            " atlas, to generate and embed with, write data.columns.perturbation: null"
        )


def _types(obs: pd.DataFrame, source: CellSource, is_control: npt.NDArray[np.bool_]) -> list[str]:
    if "perturbation_type" not in source.columns:
        return ["none" if control else DEFAULT_TYPE for control in is_control]
    name = source.columns["perturbation_type"]
    column = obs[name].astype(str)
    unknown = sorted(set(column[~is_control]) - set(PERTURBATION_TYPES))
    if unknown:
        raise UnusableCells(
            f"{source.path}: obs[{name!r}] has the types {', '.join(unknown[:5])};"
            f" a perturbation is one of {', '.join(PERTURBATION_TYPES)}"
        )
    return ["none" if control else value for control, value in zip(is_control, column, strict=True)]


def _check_one_type(obs: pd.DataFrame, source: CellSource) -> None:
    """Refuse a label with two types: a model has one entry for a label."""
    perturbed = obs[obs["perturbation"] != source.control]
    for label, types in perturbed.groupby("perturbation", sort=True)["perturbation_type"]:
        found = sorted(types.unique())
        if len(found) > 1:
            raise UnusableCells(
                f"{source.path}: label {str(label)!r} has the types {' and '.join(found)}; rename one, such as"
                f" {f'{label} ({found[0]})'!r}"
            )


def _methods(obs: pd.DataFrame, source: CellSource, types: pd.Series) -> pd.Series:
    """Read the method of genetic perturbations; empty for all other cells."""
    column = obs[source.columns["method"]].reset_index(drop=True)
    genetic = types == "genetic"
    missing = int(_is_blank(column[genetic]).sum())
    where = f"{source.path}: obs[{source.columns['method']!r}]"
    if missing:
        raise UnusableCells(
            f"{where} is empty for {missing} cells with a genetic perturbation; fill it in, or leave"
            " data.columns.method out"
        )
    methods = pd.Series("", index=column.index, dtype=object)
    methods[genetic] = canonical_methods(column[genetic], where)
    return methods


def _doses(obs: pd.DataFrame, source: CellSource, types: pd.Series) -> npt.NDArray[np.float64]:
    if "dose" not in source.columns:
        return np.full(len(obs), np.nan)
    is_control = (types == "none").to_numpy()
    column = obs[source.columns["dose"]]
    doses = pd.to_numeric(column, errors="coerce").to_numpy(dtype=float, copy=True)
    unreadable = ~np.isfinite(doses) & column.notna().to_numpy() & (column.astype(str) != "").to_numpy() & ~is_control
    if unreadable.any():
        raise UnusableCells(
            f"{source.path}: obs[{source.columns['dose']!r}] has {int(unreadable.sum())} doses that are no numbers"
            f" (such as {str(column[unreadable].iloc[0])!r}); write them as numbers in one unit, empty for none"
        )
    if (doses < 0).any():
        raise UnusableCells(
            f"{source.path}: obs[{source.columns['dose']!r}] has negative doses; give them on a linear scale"
        )
    vehicle = (doses == 0) & (types == "drug").to_numpy()
    if vehicle.any():
        raise UnusableCells(
            f"{source.path}: {int(vehicle.sum())} cells have a drug at dose 0, which is no treatment; label them"
            f" {source.control!r}"
        )
    doses[(doses == 0) | is_control] = np.nan
    return doses


def checked_depth(obs: pd.DataFrame, totals: npt.NDArray[np.integer], source: CellSource) -> npt.NDArray[np.float64]:
    """Return the library size of each cell, (cells,), from the file's column or the sums of counts ``totals``."""
    read = totals.astype(float)
    empty = int((read == 0).sum())
    if empty:
        raise UnusableCells(f"{source.path}: {empty} cells have no counts at all; drop them (scanpy.pp.filter_cells)")
    if "depth" not in source.columns:
        return read
    depth = pd.to_numeric(obs[source.columns["depth"]], errors="coerce").to_numpy(dtype=float)
    if not np.isfinite(depth).all() or (depth < read).any():
        raise UnusableCells(
            f"{source.path}: obs[{source.columns['depth']!r}] (data.columns.depth) must be the total UMIs of each cell,"
            " at least the sum of the counts in the file"
        )
    return depth


def check_experiment(cells: Cells, source: CellSource) -> None:
    """Refuse what is no experiment: no controls, nothing but controls, two types of a label, a factor that tells.

    Raises
    ------
    UnusableCells
        Naming the file or files.
    """
    if "perturbation" not in source.columns:
        return
    named = replace(source, path=cells.source)
    _check_controls(cells.obs["perturbation"], cells.is_control, named)
    _check_one_type(cells.obs, named)
    for role in cells.context_roles:
        _check_not_aliased(cells, role)


def _check_not_aliased(cells: Cells, role: str) -> None:
    """Refuse a context factor that gives the perturbation away, such as a batch per treatment."""
    controls = set(cells.obs.loc[cells.is_control, role])
    if not controls & set(cells.obs.loc[~cells.is_control, role]):
        raise UnusableCells(
            f"{cells.source}: {role!r} determines the perturbation (no value of it has both controls and perturbed"
            " cells), so their effects can't be told apart; leave it out of data.context"
        )
