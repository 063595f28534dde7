"""A Delta table of hits: the rows of many campaigns, each replaced as a whole.

What a place of results has in the table is replaced by one commit: its old rows go and its new ones come, or neither.
Two rules of the Delta protocol make that safe:

- The commit overwrites *where* ``results`` is that place. Whoever wrote rows of the same place since the table was
  read makes the commit fail, and it is tried again on what is there by then; rows of other places don't.
- The commit carries an *application transaction* whose ``app_id`` names the publication. It is written with the rows or
  not at all, so whether a publication is in the table can be read from it at any time, also by somebody who sent the
  commit and never heard of it again. (A running number as transaction version, which Delta suggests for streams, would
  start again at 1 in a folder of results that was deleted and computed anew, and its rows would never come in.)

On S3 the log is written by put-if-absent (``If-None-Match: *``), which `actors.blobs.probe_conditional_writes` tries
out first. Credentials are read from the environment by the client itself.
"""

from __future__ import annotations

import hashlib
import os
import re
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any, Self

import polars as pl
import pyarrow as pa
from deltalake import CommitProperties, DeltaTable, Transaction, write_deltalake
from deltalake.exceptions import CommitFailedError, DeltaError
from deltalake.schema import Schema

from actors.blobs import absolute_url
from screening.deciding.hits import COLUMNS as HIT_COLUMNS
from screening.errors import TableConflict, TableError
from screening.publishing.publication import MOST_HITS, local_path
from screening.tables.campaign_rows import COLUMNS

LOG = "_delta_log"
PARTITION = "campaign"
NAME = "hits"
DESCRIPTION = "Ranked hits of screening campaigns (lingshu-screen); one row for each condition of each campaign"
_UNREADABLE = re.compile(r"[ ,;{}()\n\t=]")
"""What Spark accepts in no column name of a Delta table."""
_COLOURS = re.compile(r"\x1b\[[0-9;]*m")
_MARKS = ("status", "perturbation", "context", *COLUMNS)


class HitsTable:
    """One version of the table, as it was read.

    Parameters
    ----------
    url
        Local folder or ``s3://`` URL, absolute.
    table
        The Delta table.
    """

    def __init__(self, url: str, table: DeltaTable) -> None:
        self.url = url
        self._table = table

    @classmethod
    def find(cls, url: str) -> Self | None:
        """Read the newest version of the log; None where there is no table.

        Raises
        ------
        TableError
            If what is there is no table of hits, or can't be read.
        """
        url = absolute_url(url)
        place, options = _place(url), storage_options(url, os.environ)
        with _told(url, "read"):
            if not DeltaTable.is_deltatable(place, options):
                return None
            found = cls(url, DeltaTable(place, storage_options=options))
        missing = [name for name in _MARKS if name not in found.columns]
        if missing:
            raise TableError(
                f"{url}: a Delta table, but none of hits: it has no column {', '.join(missing)}; name another folder"
            )
        return found

    @classmethod
    def make(cls, url: str, rows: pl.DataFrame, told: Mapping[str, str]) -> None:
        """Make an empty table for such rows, unless somebody else has made it meanwhile.

        Raises
        ------
        TableError
            If the place can't be written.
        """
        url = absolute_url(url)
        comments = {name: {"comment": text} for name, text in told.items()}
        with _told(url, "make"):
            try:
                DeltaTable.create(
                    _place(url),
                    schema=Schema.from_arrow(_arrow(delta_names(rows), comments).schema),
                    partition_by=[PARTITION],
                    name=NAME,
                    description=DESCRIPTION,
                    storage_options=storage_options(url, os.environ),
                )
            except DeltaError:
                if cls.find(url) is None:
                    raise

    @property
    def columns(self) -> dict[str, Any]:
        """Name of each column → its Delta field."""
        return {field.name: field for field in self._table.schema().fields}

    def holds(self, results: str, publication: str) -> bool:
        """Tell whether the rows of a publication were committed, in this version or before."""
        return self._table.transaction_version(app_id(results, publication)) is not None

    def replace(self, rows: pl.DataFrame, results: str, publication: str, told: Mapping[str, str]) -> None:
        """Put the rows of a place in the stead of those that it has; new columns are added to the table.

        Parameters
        ----------
        rows
            Marked rows (`screening.tables.campaign_rows.marked`) of one place.
        results
            URL of the place.
        publication
            What no other publication there has.
        told
            What columns mean; it becomes the comment of columns that are new.

        Raises
        ------
        TableConflict
            If the table has changed in a way that this depends on; read it again.
        TableError
            If a column has another type in the table, or the store fails.
        """
        named = delta_names(rows)
        comments = {name: {"comment": text} for name, text in told.items()}
        # A column that is there keeps its comment: of two different ones Delta would take neither.
        arrow = _arrow(named, comments | {name: field.metadata for name, field in self.columns.items()})
        self._check_types(arrow)
        quoted = results.replace("'", "''")
        with _told(self.url, "write"):
            write_deltalake(
                self._table,
                arrow,
                mode="overwrite",
                predicate=f"results = '{quoted}'",
                schema_mode="merge",
                commit_properties=CommitProperties(
                    app_transactions=[Transaction(app_id(results, publication), 1)],
                    custom_metadata={"lingshu.results": results, "lingshu.publication": publication},
                ),
            )

    def rows(self) -> pl.DataFrame:
        """Read all rows: marks first, then the columns of the hit table, then those that only some campaigns have.

        Raises
        ------
        TableError
            If they can't be read, or are too many.
        """
        with _told(self.url, "read"):
            count = self._table.count()
            if count > MOST_HITS:
                raise TableError(
                    f"{self.url}: has {count:,} rows, and at most {MOST_HITS:,} are read; query it instead"
                )
            table = self._table.to_pyarrow_table()
        found = pl.DataFrame(pl.from_arrow(table))
        known = [name for name in (*COLUMNS, *HIT_COLUMNS) if name in found.columns]
        return found.select(*known, pl.exclude(known))

    def _check_types(self, arrow: pa.Table) -> None:
        there = self.columns
        for field in Schema.from_arrow(arrow.schema).fields:
            if field.name in there and there[field.name].type != field.type:
                raise TableError(
                    f"{self.url}: its column {field.name!r} is {_word(there[field.name])}, and that of this campaign is"
                    f" {_word(field)}; publish into another table (publish.delta)"
                )


def app_id(results: str, publication: str) -> str:
    """Name a publication of a place among the application transactions of a table."""
    return f"lingshu-screen:{hashlib.sha256(results.encode()).hexdigest()[:16]}:{publication}"


def delta_names(rows: pl.DataFrame) -> pl.DataFrame:
    """Name columns so that Spark reads them too: ``cell type`` becomes ``cell_type``.

    Raises
    ------
    TableError
        If two columns would have one name.
    """
    names = {name: _UNREADABLE.sub("_", name) for name in rows.columns}
    twice = [name for name in names if list(names.values()).count(names[name]) > 1]
    if twice:
        raise TableError(f"columns {' and '.join(map(repr, twice))} have one name in a Delta table; rename a factor")
    return rows.rename(names)


def storage_options(url: str, environment: Mapping[str, str]) -> dict[str, str]:
    """Say how a bucket is reached, as `actors.blobs` does; nothing secret is among it."""
    if not url.startswith("s3://"):
        return {}
    endpoint = environment.get("AWS_ENDPOINT_URL_S3") or environment.get("AWS_ENDPOINT_URL")
    region = environment.get("AWS_REGION") or environment.get("AWS_DEFAULT_REGION") or "us-east-1"
    plain = (endpoint or "").startswith("http://") or environment.get("AWS_ALLOW_HTTP", "").lower() in ("1", "true")
    options = {"aws_conditional_put": "etag", "aws_region": region, "aws_allow_http": str(plain).lower()}
    return options | ({"aws_endpoint_url": endpoint} if endpoint else {})


def _place(url: str) -> str:
    path = local_path(url)
    return url if path is None else str(path)


def _word(field: Any) -> str:
    return str(getattr(field.type, "type", field.type))


def _arrow(rows: pl.DataFrame, metadata: Mapping[str, Mapping[str, Any]]) -> pa.Table:
    """Return the rows with the metadata of their columns; text as plain Arrow strings."""
    table = rows.to_arrow(compat_level=pl.CompatLevel.oldest())
    fields = [
        pa.field(
            field.name,
            pa.string() if pa.types.is_large_string(field.type) else field.type,
            metadata={key: str(value) for key, value in metadata.get(field.name, {}).items()} or None,
        )
        for field in table.schema
    ]
    return table.cast(pa.schema(fields))


@contextmanager
def _told(url: str, done: str) -> Iterator[None]:
    """Turn errors of the Delta client, whose text runs over many lines, into one line of ours."""
    try:
        yield
    except CommitFailedError as error:
        raise TableConflict(f"{url}: somebody else has changed the table: {_reason(error)}") from error
    except (DeltaError, pa.ArrowException, OSError, ValueError) as error:
        advice = "check the folder, the credentials (AWS_ACCESS_KEY_ID, AWS_SECRET_ACCESS_KEY) and AWS_ENDPOINT_URL"
        raise TableError(f"{url}: can't {done} the Delta table: {_reason(error)}; {advice}") from error


def _reason(error: Exception) -> str:
    return " ".join(_COLOURS.sub("", str(error)).split())[:300]
