"""Cells whose counts stay on disk: labels and depths in memory, counts read in blocks of rows.

One pass over the files checks every value and gathers what a model is built from (depths, token frequencies, the
digest of the data), and comes to the same numbers as cells in memory do. Where the files haven't changed since, it is
read from a small file beside the output instead.
"""

from __future__ import annotations

import hashlib
import io
import json
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field, fields, replace
from itertools import pairwise
from typing import Any

import fsspec
import numpy as np
import numpy.typing as npt
import scipy.sparse as sp

from lingshu_core.cell_files import GeneRule, joined, with_common_genes
from lingshu_core.cells import (
    Cells,
    CellSource,
    CountsDigest,
    check_experiment,
    check_genes,
    checked_depth,
    checked_obs,
    plain_entries,
)
from lingshu_core.count_rows import CountRows
from lingshu_core.errors import UnusableCells
from lingshu_core.token_histogram import TokenHistogram
from lingshu_core.tokens import encode

PASS_CELLS = 2048
"""Rows that the pass over the files reads at once."""
SAMPLE_CELLS, SAMPLE_OF_CONDITION = 100_000, (20, 500)
"""Cells of a sample in memory, and fewest and most of them of one condition."""
CACHE = "data_pass.npz"
Rows = npt.NDArray[np.int64]
Mask = npt.NDArray[np.bool_]


class AbsentCounts:
    """Stands where counts would be: whoever asks for more than their shape is told that they are on disk."""

    def __init__(self, cells: int, genes: int) -> None:
        self.shape = (cells, genes)

    def __getitem__(self, keep: npt.NDArray[Any]) -> AbsentCounts:
        """Return as many absent rows as would be kept."""
        kept = int(keep.sum()) if keep.dtype == bool else len(keep)
        return AbsentCounts(kept, self.shape[1])

    def __getattr__(self, name: str) -> Any:
        """Refuse.

        Raises
        ------
        UnusableCells
            Always, but for the names that Python itself looks for.
        """
        if name.startswith("__"):
            raise AttributeError(name)
        raise UnusableCells("this needs the counts in memory, and they are read in blocks; set data.in_memory: true")

    def __rmatmul__(self, other: object) -> Any:
        """Refuse, as any other use."""
        return self.__getattr__("matmul")

    __array_ufunc__ = None
    """Keeps numpy and scipy from taking this for a number."""


@dataclass(frozen=True, kw_only=True)
class StoredCells(Cells):
    """Checked cells of one or several files whose counts are on disk; ``counts`` are :class:`AbsentCounts`.

    Parameters
    ----------
    rows
        Where each cell is, counted through the files, (cells,), rising.
    histogram
        How often each gene shows each token in these cells.
    counts_digest
        Digest of the counts of these cells.
    files
        The open files.
    """

    rows: Rows
    histogram: TokenHistogram
    counts_digest: bytes
    files: tuple[CountRows, ...] = field(repr=False)

    def select(self, keep: Mask | npt.NDArray[np.integer]) -> Cells:
        """Return labels and depths of some of the cells: their counts stay where they are."""
        return self._labels().select(keep)

    def token_histogram(self) -> TokenHistogram:
        """Return how often each gene shows each token."""
        return self.histogram

    def digest(self) -> str:
        """Return the digest that these cells have in memory, too."""
        return self.digest_with(self.counts_digest)

    def counted(self) -> Cells:
        """Return an even sample with its counts in memory: as many cells of each condition as there is room for."""
        sizes = self.obs.groupby([*self.context_roles, "perturbation"], sort=False)
        most = int(np.clip(SAMPLE_CELLS // sizes.ngroups, *SAMPLE_OF_CONDITION))
        rank, size = sizes.cumcount().to_numpy(), sizes["perturbation"].transform("size").to_numpy()
        # Cell i of n is taken where i · most / n passes a whole number: every so many, from the first on.
        taken = (size <= most) | (rank * most // size != (rank - 1) * most // size)
        return self.loaded(np.flatnonzero(taken))

    def loaded(self, positions: Rows) -> Cells:
        """Read the counts of some cells, whose positions rise, into memory."""
        wanted, pieces = self.rows[positions], []
        for start, stop in self._runs():
            first, last = np.searchsorted(wanted, (start, stop))
            if last > first:
                pieces.append(self.read(start, stop)[wanted[first:last] - start])
        return replace(self._labels().select(positions), counts=sp.vstack(pieces, format="csr"))

    def read(self, start: int, stop: int) -> sp.csr_matrix:
        """Return the counts of a run of rows, which must not cross from one file into the next."""
        file = int(np.searchsorted(self.starts, start, side="right")) - 1
        first = int(self.starts[file])
        return self.files[file].read(start - first, stop - first)

    def close(self) -> None:
        """Close the files."""
        for file in self.files:
            file.close()

    @property
    def starts(self) -> Rows:
        """First row of each file and, at the end, the number of all rows."""
        return np.cumsum([0, *(file.shape[0] for file in self.files)])

    def _runs(self) -> Iterator[tuple[int, int]]:
        for first, end in pairwise(self.starts.tolist()):
            for start in range(first, end, PASS_CELLS):
                yield start, min(start + PASS_CELLS, end)

    def _labels(self) -> Cells:
        return Cells(**{each.name: getattr(self, each.name) for each in fields(Cells)})


def open_store(
    sources: Sequence[CellSource],
    rule: GeneRule = "same",
    *,
    held_out: Callable[[Cells], Mask] | None = None,
    cache: str | None = None,
) -> tuple[StoredCells, int]:
    """Check files of cells and gather what a model is built from, without holding their counts in memory.

    Parameters
    ----------
    sources
        One per file.
    rule
        Which genes to keep, as in :func:`lingshu_core.cell_files.with_common_genes`.
    held_out
        Tells which cells to leave out, (cells,).
    cache
        Folder or URL where the result of the pass is kept; None: nowhere.

    Returns
    -------
    The cells without those left out, and how many these are.

    Raises
    ------
    DataError
        As :func:`lingshu_core.cells.read_cells` does.
    """
    sources = with_common_genes(sources, rule)
    files = tuple(CountRows(source) for source in sources)
    for file in files:
        file.check_order()
    several = len(files) > 1
    labelled = [_labelled(file, experiment=not several) for file in files]
    cells = joined(labelled, AbsentCounts(sum(map(len, labelled)), len(labelled[0].genes)))
    check_experiment(cells, sources[0])
    left_out = np.zeros(len(cells), dtype=bool) if held_out is None else held_out(cells)
    passed = _pass_over(files, ~left_out, cache)
    depth = np.concatenate(
        [
            checked_depth(file.annotation().obs, totals, file.source)
            for file, totals in zip(files, np.split(passed.totals, _ends(files)), strict=True)
        ]
    )
    kept = np.flatnonzero(~left_out)
    labels = replace(cells, depth=depth).select(kept)
    content: dict[str, Any] = {each.name: getattr(labels, each.name) for each in fields(Cells)}
    found: dict[str, Any] = {
        "rows": kept,
        "histogram": passed.histogram,
        "counts_digest": passed.digest,
        "files": files,
    }
    return StoredCells(**content, **found), int(left_out.sum())


def _ends(files: Sequence[CountRows]) -> Rows:
    return np.cumsum([file.shape[0] for file in files])[:-1]


def _labelled(file: CountRows, experiment: bool) -> Cells:
    """Check all of a file but its counts; depths come later."""
    table, source = file.annotation(), file.source
    check_genes(table.var_names, source)
    genes = source.genes or tuple(map(str, table.var_names))
    return Cells(
        counts=AbsentCounts(file.shape[0], len(genes)),
        genes=genes,
        obs=checked_obs(table.obs, source, experiment),
        depth=np.ones(file.shape[0]),
        context_roles=source.context_roles,
        control=source.control,
        source=source.path,
        uns=plain_entries(table.uns),
        names=table.obs_names.to_numpy(dtype=np.str_),
    )


@dataclass(frozen=True)
class _Pass:
    """What one pass over the files finds: ``totals`` of all rows, (rows,); the rest of the rows kept."""

    totals: Rows
    histogram: TokenHistogram
    digest: bytes


def _pass_over(files: Sequence[CountRows], kept: Mask, cache: str | None) -> _Pass:
    name = _fingerprint(files, kept)
    found = _from_cache(cache, name) if cache is not None and name is not None else None
    if found is None:
        found = _read_through(files, kept)
        if cache is not None and name is not None:
            _into_cache(cache, name, found)
    return found


def _read_through(files: Sequence[CountRows], kept: Mask) -> _Pass:
    genes = len(files[0].source.genes or files[0].gene_names())
    totals, histogram, digest = [], TokenHistogram.empty(genes), CountsDigest()
    offset = 0
    for file in files:
        for start in range(0, file.shape[0], PASS_CELLS):
            counts = file.read(start, min(start + PASS_CELLS, file.shape[0]))
            totals.append(np.asarray(counts.sum(axis=1)).ravel().astype(np.int64))
            counts = counts[kept[offset : offset + counts.shape[0]]]
            offset += len(totals[-1])
            digest.update(counts)
            histogram.add(counts.indices, encode(counts.data), counts.shape[0])
    return _Pass(np.concatenate(totals), histogram, digest.value())


def _fingerprint(files: Sequence[CountRows], kept: Mask) -> str | None:
    """Name what a pass depends on; None where a file system can't tell when a file changed."""
    state = hashlib.sha256(np.packbits(kept).tobytes())
    for file in files:
        source = file.source
        changed = _last_change(source.path)
        if changed is None:
            return None
        content = [source.path, changed, source.layer, file.shape, source.genes]
        state.update(json.dumps(content).encode())
    return state.hexdigest()


def _last_change(path: str) -> str | None:
    filesystem, root = fsspec.core.url_to_fs(path)
    parts = filesystem.find(root, detail=True) if filesystem.isdir(root) else {root: filesystem.info(root)}
    marks = []
    for name, info in sorted(parts.items()):
        mark = next((info[key] for key in ("ETag", "mtime", "LastModified", "last_modified") if key in info), None)
        if mark is None:
            return None
        marks.append([str(name), info.get("size"), str(mark)])
    return hashlib.sha256(json.dumps(marks).encode()).hexdigest()


def _from_cache(folder: str, name: str) -> _Pass | None:
    filesystem, root = fsspec.core.url_to_fs(folder)
    if not filesystem.exists(f"{root}/{CACHE}"):
        return None
    try:
        with np.load(io.BytesIO(filesystem.cat_file(f"{root}/{CACHE}")), allow_pickle=False) as content:
            if str(content["name"]) != name:
                return None
            histogram = TokenHistogram(content["histogram"], int(content["cells"]))
            return _Pass(content["totals"], histogram, content["digest"].tobytes())
    except (ValueError, KeyError, OSError, EOFError):
        return None  # half written, or by another version: the pass is made again


def _into_cache(folder: str, name: str, passed: _Pass) -> None:
    content = io.BytesIO()
    np.savez_compressed(
        content,
        name=np.array(name),
        totals=passed.totals,
        histogram=passed.histogram.counts,
        cells=np.array(passed.histogram.cells),
        digest=np.frombuffer(passed.digest, dtype=np.uint8),
    )
    filesystem, root = fsspec.core.url_to_fs(folder)
    filesystem.makedirs(root, exist_ok=True)
    filesystem.pipe_file(f"{root}/{CACHE}", content.getvalue())
