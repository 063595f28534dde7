"""The version that stands in a place of results, brought into a Delta table of hits.

As the plain copies do, the table follows ``HEAD``: what is delivered is what stands, whoever brings it. So nobody needs
a right to it, a run that was taken over does no harm, and after a crash the next run brings what is missing. The order
of steps matters: the table is read *before* ``HEAD``. If another version is published and delivered after that, its
rows are newer than the table that was read, and the commit of the older ones fails.
"""

from __future__ import annotations

import random
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass

from actors.blobs import Blobs, open_blobs, probe_conditional_writes
from actors.errors import CorruptBlob
from actors.history import History
from actors.manifest import Manifest
from screening.errors import ResultsError, TableConflict, TableError
from screening.publishing.publication import hits_of
from screening.tables.campaign_rows import check_names, marked, meanings
from screening.tables.delta_table import HitsTable

MOST_ATTEMPTS = 30
LONGEST_PAUSE = 2.0
"""Seconds."""


@dataclass(frozen=True)
class Delivery:
    """What became of it.

    Attributes
    ----------
    url
        The table.
    rows
        Rows that the place has in it; None where its version was in already.
    """

    url: str
    rows: int | None

    def describe(self) -> str:
        """Say it in words."""
        return f"{self.url} has this version" if self.rows is None else f"{self.rows:,} rows into {self.url}"


def check_table(url: str, factors: Iterable[str]) -> None:
    """See whether hits can be delivered, before anything is computed.

    Parameters
    ----------
    url
        The table, or where it is to be.
    factors
        Context factors, which become columns.

    Raises
    ------
    StoreError
        If the place can't be written, or knows no conditional writes.
    TableError
        If something else is there.
    ResultsError
        If a factor has the name of a column that tells campaigns apart.
    """
    check_names(factors, url)
    probe_conditional_writes(open_blobs(url))
    HitsTable.find(url)


def deliver(blobs: Blobs, url: str, sleep: Callable[[float], None] = time.sleep) -> Delivery:
    """Bring the rows of a place to the version that stands there; once, however often it is asked.

    Parameters
    ----------
    blobs
        The place of results.
    url
        The Delta table: local folder or ``s3://`` URL; made if it isn't there.

    Raises
    ------
    TableError
        If the table can't be read or written, or others keep changing it.
    ResultsError
        If nothing was published in the place.
    """
    history = History(blobs)
    written: int | None = None
    for attempt in range(MOST_ATTEMPTS):
        try:
            added = _bring(history, url)
        except TableConflict:
            sleep(random.uniform(0, min(0.05 * 2**attempt, LONGEST_PAUSE)))
            continue
        except TableError as error:
            there = f"the results are published in {blobs.url}; run the campaign again to bring them to the table too"
            raise TableError(f"{error}; {there}") from error
        except CorruptBlob:
            if attempt == MOST_ATTEMPTS - 1 or not _is_superseded(history):
                raise
            continue
        if added is None:
            return Delivery(url, written)
        written = added
    raise TableError(f"{url}: others kept changing the Delta table; run the campaign again to bring its hits there")


def _bring(history: History, url: str) -> int | None:
    """Write what stands unless it is in; returns how many rows were written."""
    table = HitsTable.find(url)
    standing = history.published()
    if standing is None:
        raise ResultsError(f"{history.blobs.url}: nothing is published here; run the campaign")
    place = history.blobs.url
    if table is not None and table.holds(place, standing.attempt):
        return None
    rows = marked(hits_of(history, standing), _name(standing), place)
    told = meanings(rows.columns)
    if table is None:  # and then all over again, as others may have found it before us
        HitsTable.make(url, rows, told)
        return _bring(history, url)
    table.replace(rows, place, standing.attempt, told)
    return rows.height


def _name(manifest: Manifest) -> str:
    return str(manifest.facts.get("name", "")) or manifest.run[:16]


def _is_superseded(history: History) -> bool:
    """Tell whether the version that stands can be read: then it was another one that couldn't."""
    standing = history.published()
    return standing is not None and history.is_whole(standing)
