"""The hits of one campaign, or of all that are found: in several places, below a folder, in a Delta table."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from urllib.parse import quote

import polars as pl

from actors.blobs import Blobs
from actors.manifest import RUNS
from screening.deciding.hits import foreign
from screening.errors import ResultsError
from screening.publishing.publication import HITS, LEDGER, open_results, read_hits
from screening.tables.campaign_rows import campaign_name, marked, together
from screening.tables.delta_table import LOG, HitsTable

DEEPEST = 3
"""How many folders below the one that is named results are looked for: ``results/<data>/<screen>`` is two."""
MOST_FOLDERS = 5_000
_CELLS = ".zarr"
"""Ending of folders that hold one array in thousands of files."""


@dataclass(frozen=True)
class Collection:
    """Hits, and how they were found.

    Attributes
    ----------
    rows
        The ranked table of a single campaign as it was published; of several, marked with whose they are.
    is_marked
        Whether they are.
    left_out
        What lies below a folder that was named and is no table of hits (yet), each with its reason.
    """

    rows: pl.DataFrame
    is_marked: bool
    left_out: tuple[str, ...] = ()


def collect(urls: Sequence[str]) -> Collection:
    """Read the hits of all campaigns that are found in some places.

    Parameters
    ----------
    urls
        Each the results of a campaign, a Delta table of hits, or a folder below which there are results. What is found
        twice is read once.

    Raises
    ------
    ResultsError
        If nothing is found, or a table can't be read.
    TableError
        If a Delta table can't be read.
    """
    if len(urls) == 1 and open_results(urls[0]).exists(HITS):
        return Collection(read_hits(open_results(urls[0])), is_marked=False)
    tables: dict[str, pl.DataFrame] = {}
    left_out: list[str] = []
    for url in urls:
        for table in _tables(open_results(url), left_out):
            for (results,), rows in table.group_by("results", maintain_order=True):
                tables.setdefault(str(results), rows)
    return Collection(together(tables.values()), True, tuple(dict.fromkeys(left_out)))


def _tables(blobs: Blobs, left_out: list[str]) -> Iterator[pl.DataFrame]:
    """Yield marked tables, at least one."""
    if LOG in blobs.folders():
        yield _read_delta(blobs)
        return
    before, found = len(left_out), 0
    for place in _places(blobs, left_out):
        try:
            rows = marked(read_hits(place), campaign_name(place), place.url)
        except ResultsError as error:  # of an older version, or something else of that name
            if place.url == blobs.url:
                raise
            left_out.append(str(error))
        else:
            found += 1
            yield rows
    if not found:
        reason = "".join(f"; {each}" for each in left_out[before:][:1])
        raise ResultsError(
            f"{blobs.url}: no {HITS} here, nor in the folders below, and no Delta table{reason}; run the campaign, or"
            " give the `output:` of one that ran, or a folder of such"
        )


def _read_delta(blobs: Blobs) -> pl.DataFrame:
    table = HitsTable.find(blobs.url)
    if table is None:
        raise ResultsError(f"{blobs.url}: its {LOG} has no version; give another table")
    rows = table.rows()
    if reason := foreign(rows):
        raise ResultsError(f"{blobs.url}: not a table of hits: {reason}; give another table")
    if rows.is_empty():
        raise ResultsError(f"{blobs.url}: this Delta table has no rows yet; run a campaign that publishes into it")
    return rows


def _places(blobs: Blobs, left_out: list[str]) -> Iterator[Blobs]:
    """Yield places with a published table, this one or below it, level by level, by name."""
    level, looked = [blobs], 0
    for depth in range(DEEPEST + 1):
        below: list[Blobs] = []
        for place in level:
            looked += 1
            if looked > MOST_FOLDERS:
                raise ResultsError(f"{blobs.url}: more than {MOST_FOLDERS:,} folders are below it; name a narrower one")
            if place.exists(HITS):
                yield place
                continue
            names = place.folders()
            if LEDGER in names or RUNS in names:  # its versions are its own
                left_out.append(f"{place.url}: a campaign that has not published yet")
            elif LOG not in names and depth < DEEPEST:  # of a table the rows are those of the places
                below += [open_results(_below(place.url, name)) for name in names if not name.endswith(_CELLS)]
        level = below


def _below(url: str, name: str) -> str:
    return f"{url.rstrip('/')}/{quote(name) if url.startswith('file:') else name}"
