"""Lists that lie in files of their own: names, one a line, contexts as CSV, libraries as CSV or TSV."""

from __future__ import annotations

import csv
import gzip
import io
import zlib
from collections.abc import Iterator, Mapping
from pathlib import Path

from campaigns.errors import VocabularyError, Where
from campaigns.nearest import hint

MAX_BYTES = 256 << 20


def read_names(path: str, named_at: Where) -> Iterator[tuple[str, Where]]:
    """Read names, one a line; blank lines and lines that begin with ``#`` are left out.

    Parameters
    ----------
    path : str
        A local text file in UTF-8.
    named_at : Where
        Where the campaign names the file.

    Yields
    ------
    tuple of str and Where
        A name and its place.

    Raises
    ------
    VocabularyError
        The file can't be read.
    """
    for number, line in enumerate(_text(path, named_at).splitlines(), start=1):
        name = line.strip()
        if name and not name.startswith("#"):
            yield name, Where(path, number)


def read_table(path: str, named_at: Where) -> Iterator[tuple[dict[str, str], Where]]:
    """Read the rows of a CSV file with a header; an empty cell is left out of its row.

    Parameters, result and errors are those of `read_names`, with rows of column → value instead of names.
    A row with more cells than the header is an error too.
    """
    reader = csv.DictReader(io.StringIO(_text(path, named_at), newline=""), restkey="")
    try:
        for row in reader:
            where = Where(path, reader.line_num)
            if "" in row:
                raise VocabularyError([where.problem(f"has more cells than the header's {len(row) - 1}")])
            yield {column.strip(): value.strip() for column, value in row.items() if value and value.strip()}, where
    except csv.Error as error:
        raise VocabularyError([Where(path, reader.line_num).problem(f"isn't CSV: {error}")]) from error


def read_columns(
    path: str, columns: Mapping[str, tuple[str, Where]], named_at: Where
) -> Iterator[tuple[dict[str, str], Where]]:
    """Read some columns of a table with a header, separated by tabs or, where the header has none, by commas.

    Parameters
    ----------
    path : str
        A local text file in UTF-8, plain or compressed with gzip.
    columns : mapping
        What is wanted → name of its column, and where the campaign names it.
    named_at : Where
        Where the campaign names the file.

    Yields
    ------
    tuple of dict and Where
        What is wanted → value, empty where the row has none, and the place of the row.

    Raises
    ------
    VocabularyError
        The file can't be read, a column isn't there, or a row has more cells than the header.
    """
    text = _text(path, named_at)
    header, _, _ = text.partition("\n")
    reader = csv.DictReader(io.StringIO(text, newline=""), delimiter="\t" if "\t" in header else ",")
    try:
        known = [name.strip() for name in reader.fieldnames or ()]
        reader.fieldnames = known
        missing = [
            where.problem(f"{path} has no column {name!r}; {hint(name, known)}")
            for name, where in columns.values()
            if name not in known
        ]
        if missing:
            raise VocabularyError(missing)
        for row in reader:
            where = Where(path, reader.line_num)
            if None in row:
                raise VocabularyError([where.problem(f"has more cells than the header's {len(known)}")])
            yield {wanted: (row[name] or "").strip() for wanted, (name, _) in columns.items()}, where
    except csv.Error as error:
        raise VocabularyError([Where(path, reader.line_num).problem(f"isn't a table: {error}")]) from error


def _text(path: str, named_at: Where) -> str:
    try:
        with Path(path).open("rb") as stream:
            packed = stream.read(2) == b"\x1f\x8b"
            stream.seek(0)
            opened = gzip.GzipFile(fileobj=stream) if packed else stream
            content = opened.read(MAX_BYTES + 1)
    except (EOFError, zlib.error) as error:
        raise VocabularyError([named_at.problem(f"{path} is damaged gzip: {error}")]) from error
    except (OSError, ValueError) as error:
        raise VocabularyError([named_at.problem(unreadable(path, error))]) from error
    if len(content) > MAX_BYTES:
        raise VocabularyError([named_at.problem(f"{path} is larger than {MAX_BYTES:,} bytes")])
    try:
        return content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = content.count(b"\n", 0, error.start) + 1
        raise VocabularyError([Where(path, line).problem("isn't UTF-8 text")]) from error


def unreadable(path: str, error: OSError | ValueError) -> str:
    """Say why a local file can't be read and what to do about it."""
    if "://" in path:
        return f"{path} is a URL; copy the file to this machine and name the local path"
    reason = (error.strerror if isinstance(error, OSError) else None) or str(error)
    return f"{path} can't be read: {reason}; a relative path starts from the working directory"
