"""What an ``.h5ad`` or ``.zarr`` holds, without reading all of it: matrices, which of them are counts, and labels."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import pandas as pd

from campaigns.nearest import hint
from lingshu_core.cells import CellSource, check_genes, check_parts, readable
from lingshu_core.count_rows import CountRows, open_group
from lingshu_core.errors import DataError, NotCounts
from screening.drafting.column_roles import plain
from screening.errors import DraftError

LOOKED_AT = 300
"""Cells at the beginning, in the middle and at the end of a matrix that are looked at."""
_COUNTS = ("counts", "rawcounts", "raw", "umi", "umis", "umicounts", "count")


@dataclass(frozen=True)
class CountMatrix:
    """The matrix that holds raw counts: a layer, or ``X`` when None.

    ``others`` are further matrices that hold counts, ``refused`` those that don't, each with the reason.
    """

    layer: str | None
    others: tuple[str, ...]
    refused: tuple[str, ...]
    stored_values: int


@dataclass(frozen=True)
class CellFileSurvey:
    """What a file holds: the matrix of counts, ``obs``, the number of genes, and texts of ``uns``."""

    path: str
    counts: CountMatrix
    obs: pd.DataFrame
    genes: tuple[str, ...]
    totals: pd.Series
    """Sums of the counts of the cells that were looked at, by their place in ``obs``."""


def survey(path: str, layer: str | None = None) -> CellFileSurvey:
    """Look at a file of cells.

    Parameters
    ----------
    path
        As a campaign would name it.
    layer
        The layer with raw counts, ``X`` for the matrix of that name; None to look for it.

    Raises
    ------
    UnreadableCells
        If the file can't be opened.
    UnusableCells
        If its genes have no names, or names that repeat.
    DraftError
        If no matrix holds raw counts, or there are no columns of ``obs``.
    """
    matrices, has_raw = _matrices(path)
    counts = _count_matrix(path, matrices, layer, has_raw)
    source = CellSource(path, {}, layer=counts.layer)
    with CountRows(source) as rows:
        obs, genes, totals = rows.annotation().obs, rows.gene_names(), _totals(rows)
    check_genes(genes, source)
    if not len(obs.columns):
        raise DraftError(
            f"{path}: obs has no columns, so nothing says what was done to each cell; join the table of the experiment"
            " to adata.obs (perturbation, cell type, donor) and write the file again"
        )
    return CellFileSurvey(path, counts, obs, tuple(map(str, genes)), totals)


def _matrices(path: str) -> tuple[list[str | None], bool]:
    """Return X (as None) and the layers, those that are named like counts first; and whether there is a raw.X."""
    with readable(path):
        group = open_group(path)
        check_parts(group)
        found: list[str | None] = [None] if "X" in group else []
        found += list(group["layers"]) if "layers" in group else []
        has_raw = "raw" in group and "X" in group["raw"]
        if hasattr(group, "close"):
            group.close()
    return sorted(found, key=_order), has_raw


def _order(layer: str | None) -> tuple[int, str]:
    word = "" if layer is None else plain(layer)
    return (_COUNTS.index(word) if word in _COUNTS else len(_COUNTS) + (layer is not None), word)


def _count_matrix(path: str, matrices: list[str | None], wanted: str | None, has_raw: bool) -> CountMatrix:
    if wanted is not None:
        chosen = None if wanted == "X" else wanted
        if chosen not in matrices:
            known = [_name(each) for each in matrices]
            raise DraftError(f"{path}: there is no layer {wanted!r}; {hint(wanted, known)}")
        matrices = [chosen]
    looked = {each: _obstacle(path, each) for each in matrices}
    good = [each for each, (reason, _) in looked.items() if not reason]
    refused = tuple(reason for reason, _ in looked.values() if reason)
    if not good:
        raise DraftError(_no_counts(path, refused, has_raw))
    return CountMatrix(good[0], tuple(map(_name, good[1:])), refused, looked[good[0]][1])


def _no_counts(path: str, refused: tuple[str, ...], has_raw: bool) -> str:
    reasons = "; ".join(refused) or "the file has no matrix"
    cure = "write the UMI counts of the cells into a layer: adata.layers['counts'] = …"
    if has_raw:
        cure = "adata.raw isn't read; if it holds the counts: adata = adata.raw.to_adata(), and write the file again"
    return f"{path}: no matrix holds raw UMI counts ({reasons}); {cure}"


def _name(layer: str | None) -> str:
    return "X" if layer is None else layer


def _obstacle(path: str, layer: str | None) -> tuple[str, int]:
    """Say why a matrix holds no counts, empty if it does; and how many values are stored in it."""
    try:
        with CountRows(CellSource(path, {}, layer=layer)) as rows:
            for start, stop in _runs(rows.shape[0]):
                rows.read(start, stop)
            return "", rows.stored_values
    except NotCounts as error:
        said = str(error).removeprefix(f"{path}: ")
        return said.partition("; give raw UMI counts")[0], 0
    except DataError as error:
        return f"{_name(layer)}: {error}", 0


def _runs(cells: int) -> Iterator[tuple[int, int]]:
    starts = sorted({0, max(0, cells // 2 - LOOKED_AT // 2), max(0, cells - LOOKED_AT)})
    return ((start, min(start + LOOKED_AT, cells)) for start in starts)


def _totals(rows: CountRows) -> pd.Series:
    places, sums = [], []
    for start, stop in _runs(rows.shape[0]):
        places.append(np.arange(start, stop))
        sums.append(np.asarray(rows.read(start, stop).sum(axis=1)).ravel())
    totals = pd.Series(np.concatenate(sums), index=np.concatenate(places))
    return totals[~totals.index.duplicated()]
