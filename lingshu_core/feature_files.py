"""Files that describe perturbations: tables of vectors, edge lists and lists of structures, read and checked.

Nothing in them is executed: ``.npz`` is read without pickle, text is bounded after decompression.
"""

from __future__ import annotations

import gzip
import hashlib
import io
import zipfile
import zlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import fsspec
import numpy as np
import numpy.typing as npt
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq

from lingshu_core.bounded_reading import read_at_most
from lingshu_core.errors import FeatureError

Array = npt.NDArray[np.float64]

MAX_TEXT = 1 << 30
LARGEST_FILE = 1 << 32
"""Bytes of a text file, decompressed."""


@dataclass(frozen=True)
class FeatureFile:
    """The bytes of a file, its name as the user gave it, and its sha256."""

    path: str
    content: bytes
    sha256: str


@dataclass(frozen=True)
class NamedVectors:
    """Vectors with names: ``values`` is (names, columns), finite; every name occurs once."""

    names: tuple[str, ...]
    values: Array


def read_feature_file(path: str) -> FeatureFile:
    """Read a local file or an fsspec URL.

    Raises
    ------
    FeatureError
        If it is not there or can't be read.
    """
    try:
        with fsspec.open(path, "rb") as handle:
            content = read_at_most(handle, LARGEST_FILE)
    except FileNotFoundError as error:
        raise FeatureError(f"{path}: no such file; check the path (and LINGSHU_DATA, if the path uses it)") from error
    except (OSError, ValueError, ImportError) as error:
        raise FeatureError(f"{path}: can't be read ({error})") from error
    return FeatureFile(path, content, hashlib.sha256(content).hexdigest())


def read_vectors(file: FeatureFile, name: str | None = None) -> NamedVectors:
    """Read a table of feature vectors.

    Parameters
    ----------
    file
        ``.npz`` with the arrays ``names`` (text) and ``features`` (names, columns), or ``.parquet`` with a column of
        names beside numeric columns or one column of lists.
    name
        The column of names in a ``.parquet``; where there is one text column only, that.

    Raises
    ------
    FeatureError
        If it is neither, names repeat, numbers are missing or infinite, or there are fewer than two names.
    """
    is_archive = file.content[:2] == b"PK"
    names, values = _npz(file) if is_archive else _parquet(file, name)
    if values.ndim != 2 or not values.shape[1] or len(names) != len(values):
        raise FeatureError(
            f"{file.path}: {len(names)} names and features of the shape {values.shape}; "
            "features are one row of numbers for each name"
        )
    _check_names(names, file.path)
    if not np.isfinite(values).all():
        wrong = names[int(np.flatnonzero(~np.isfinite(values).all(axis=1))[0])]
        raise FeatureError(f"{file.path}: the features of {wrong!r} have NaN or infinite values; drop or fill them")
    if len(names) < 2:
        raise FeatureError(f"{file.path}: describes {len(names)} names; at least two are needed to compare")
    return NamedVectors(names, values)


def read_rows(file: FeatureFile, columns: Mapping[str, str]) -> pd.DataFrame:
    """Read some columns of a table, as text.

    Parameters
    ----------
    file
        ``.csv``, ``.tsv`` (either also compressed with gzip) or ``.parquet``.
    columns
        What a column means → its name in the file.

    Returns
    -------
    pandas.DataFrame
        One column for each of `columns`, under what it means, white space at the ends removed, an empty text where
        there is nothing. The index is the line in the file (in parquet: the row, counted from 1).

    Raises
    ------
    FeatureError
        If the file can't be read as a table or lacks a column.
    """
    table = _parquet_frame(file) if file.content[:4] == b"PAR1" else _text_frame(file)
    for meaning, column in columns.items():
        if column not in table:
            raise FeatureError(
                f"{file.path}: there is no column {column!r} ({meaning}); columns are: "
                f"{', '.join(map(str, list(table)[:20]))}"
            )
    # A missing value in parquet would become the text "nan".
    return pd.DataFrame(
        {
            meaning: table[column].astype(object).where(table[column].notna(), "").astype(str).str.strip()
            for meaning, column in columns.items()
        }
    )


def read_edges(file: FeatureFile, columns: Mapping[str, str]) -> pd.DataFrame:
    """Read an edge list.

    Parameters
    ----------
    file, columns
        As in :func:`read_rows`; `columns` has ``source`` and ``target`` and maybe ``weight``.

    Returns
    -------
    pandas.DataFrame
        ``source``, ``target`` (text) and ``weight`` (float; 1 where no column is named).

    Raises
    ------
    FeatureError
        If an end of an edge is empty, a weight is no number, or there is no edge.
    """
    rows = read_rows(file, columns)
    if not len(rows):
        raise FeatureError(f"{file.path}: the table has no rows")
    for end in ("source", "target"):
        empty = rows.index[rows[end] == ""]
        if len(empty):
            raise FeatureError(f"{file.path}:{empty[0]}: column {columns[end]!r} ({end}) is empty")
    weight = pd.to_numeric(rows["weight"], errors="coerce") if "weight" in rows else pd.Series(1.0, rows.index)
    wrong = rows.index[~np.isfinite(weight.to_numpy(dtype=float))]
    if len(wrong):
        raise FeatureError(
            f"{file.path}:{wrong[0]}: {rows['weight'][wrong[0]]!r} in column {columns['weight']!r} is no number"
        )
    return pd.DataFrame({"source": rows["source"], "target": rows["target"], "weight": weight.astype(float)})


def _npz(file: FeatureFile) -> tuple[tuple[str, ...], Array]:
    try:
        with np.load(io.BytesIO(file.content), allow_pickle=False) as archive:
            missing = {"names", "features"} - set(archive.files)
            if missing:
                raise FeatureError(
                    f"{file.path}: the array {sorted(missing)[0]!r} is missing; an .npz has `names` (text) and "
                    f"`features` (names, columns); there are: {', '.join(archive.files) or 'none'}"
                )
            names, values = archive["names"], archive["features"]
    except ValueError as error:
        raise FeatureError(
            f"{file.path}: an array can't be read without pickle, which is never loaded ({error}); write the names "
            "with names.astype(str) and the features as floats"
        ) from error
    except MemoryError as error:
        raise FeatureError(f"{file.path}: its arrays are larger than the memory of this machine") from error
    except (zipfile.BadZipFile, zlib.error, EOFError, OSError) as error:
        raise FeatureError(f"{file.path}: not a readable .npz ({error}); write it with numpy.savez") from error
    if names.dtype.kind != "U" or names.ndim != 1:
        raise FeatureError(f"{file.path}: `names` has to be a list of text, not {names.dtype} of shape {names.shape}")
    if values.dtype.kind not in "fiub":
        raise FeatureError(f"{file.path}: `features` has to be numbers, not {values.dtype}")
    return tuple(str(name).strip() for name in names), values.astype(float)


def _parquet(file: FeatureFile, name: str | None) -> tuple[tuple[str, ...], Array]:
    table = _parquet_table(file)
    column = name if name is not None else _name_column(table, file.path)
    if column not in table.column_names:
        raise FeatureError(
            f"{file.path}: there is no column {column!r} (name); columns are: {', '.join(table.column_names[:20])}"
        )
    names = tuple("" if one is None else str(one).strip() for one in table[column].to_pylist())
    return names, _vectors(table.drop_columns([column]), file.path)


def _name_column(table: pa.Table, path: str) -> str:
    text = [one.name for one in table.schema if pa.types.is_string(one.type) or pa.types.is_large_string(one.type)]
    if len(text) != 1:
        raise FeatureError(
            f"{path}: there are {len(text)} text columns ({', '.join(text[:8]) or 'none'}); "
            "say which one has the names with `name`"
        )
    return str(text[0])


def _vectors(table: pa.Table, path: str) -> Array:
    lists = [one.name for one in table.schema if _is_list(one.type)]
    numeric = [one.name for one in table.schema if pa.types.is_integer(one.type) or pa.types.is_floating(one.type)]
    if len(lists) + bool(numeric) != 1:
        found = f"{len(numeric)} numeric columns and {len(lists)} columns of lists"
        raise FeatureError(f"{path}: has {found}; features are numeric columns or one column of lists of numbers")
    if numeric:
        return np.column_stack([table[one].to_numpy().astype(float) for one in numeric])
    rows = table[lists[0]].to_pylist()
    lengths = {len(row) if row is not None else 0 for row in rows}
    if len(lengths) != 1 or any(value is None for row in rows for value in row or [None]):
        raise FeatureError(f"{path}: the lists in column {lists[0]!r} have gaps or different lengths")
    try:
        return np.array(rows, dtype=float)
    except (TypeError, ValueError) as error:
        raise FeatureError(f"{path}: column {lists[0]!r} has lists of something else than numbers") from error


def _is_list(kind: pa.DataType) -> bool:
    return bool(pa.types.is_list(kind) or pa.types.is_large_list(kind) or pa.types.is_fixed_size_list(kind))


def _check_names(names: Sequence[str], path: str) -> None:
    if "" in names:
        raise FeatureError(f"{path}: row {names.index('') + 1} has no name; name it or drop it")
    seen: set[str] = set()
    repeated = sorted({name for name in names if name in seen or seen.add(name)})  # type: ignore[func-returns-value]
    if repeated:
        raise FeatureError(
            f"{path}: {len(repeated)} names occur more than once ({', '.join(repeated[:5])}); keep one row of each"
        )


def _parquet_table(file: FeatureFile) -> pa.Table:
    try:
        return pq.read_table(io.BytesIO(file.content))
    except (pa.ArrowException, OSError) as error:
        reason = str(error).splitlines()[0]
        raise FeatureError(f"{file.path}: neither .npz nor readable .parquet ({reason})") from error


def _parquet_frame(file: FeatureFile) -> pd.DataFrame:
    table = _parquet_table(file).to_pandas()
    table.index = pd.RangeIndex(1, len(table) + 1)
    return table


def _text_frame(file: FeatureFile) -> pd.DataFrame:
    text = _text(file)
    separator = "\t" if "\t" in text.partition("\n")[0] else ","
    try:
        table = pd.read_csv(
            io.StringIO(text), sep=separator, dtype=str, keep_default_na=False, skip_blank_lines=False, index_col=False
        )
    except (pd.errors.ParserError, pd.errors.EmptyDataError, ValueError) as error:
        raise FeatureError(f"{file.path}: not a readable table ({str(error).strip()})") from error
    table.index = pd.RangeIndex(2, len(table) + 2)  # line 1 is the header
    return table[(table != "").any(axis=1)]


def _text(file: FeatureFile) -> str:
    try:
        packed = file.content[:2] == b"\x1f\x8b"
        stream = gzip.GzipFile(fileobj=io.BytesIO(file.content)) if packed else io.BytesIO(file.content)
        content = stream.read(MAX_TEXT + 1)
    except (EOFError, zlib.error, OSError) as error:
        raise FeatureError(f"{file.path}: is damaged gzip ({error})") from error
    if len(content) > MAX_TEXT:
        raise FeatureError(f"{file.path}: is larger than {MAX_TEXT:,} bytes")
    try:
        return content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise FeatureError(f"{file.path}: isn't UTF-8 text, and no parquet either") from error
