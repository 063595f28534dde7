"""The ranked tables of several campaigns as one: each row says of which campaign it is, and where its results are."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from typing import Any

import polars as pl

from actors.blobs import Blobs
from actors.errors import BlobNotFound
from screening.deciding.hits import COLUMNS as HIT_COLUMNS
from screening.errors import ResultsError
from screening.objective.population_readout import COLUMNS as POPULATION_COLUMNS
from screening.publishing.publication import CAMPAIGN_COLUMNS, MANIFEST, read_published

COLUMNS: Mapping[str, tuple[Any, str]] = {name: (pl.String, text) for name, text in CAMPAIGN_COLUMNS.items()}
"""What stands before the columns of the hit table."""


def marked(hits: pl.DataFrame, campaign: str, results: str) -> pl.DataFrame:
    """Say of every row which campaign it is of.

    Raises
    ------
    ResultsError
        If the table has such a column already: a context factor of that name.
    """
    check_names(hits.columns, results)
    marks = (pl.lit(value, pl.String).alias(name) for name, value in zip(COLUMNS, (campaign, results), strict=True))
    return hits.select(*marks, pl.all())


def check_names(names: Iterable[str], results: str) -> None:
    """Refuse columns of a campaign that would stand for the campaign itself.

    Raises
    ------
    ResultsError
        If there are some.
    """
    taken = [name for name in COLUMNS if name in set(names)]
    if taken:
        raise ResultsError(
            f"{results}: its context factor {taken[0]!r} has the name of a column that tells campaigns apart; name the"
            " factor otherwise when you train the model"
        )


def together(tables: Iterable[pl.DataFrame]) -> pl.DataFrame:
    """Put marked tables below one another, the best of each campaign first; what one of them lacks is empty in it.

    Raises
    ------
    ResultsError
        If a column is text in one campaign and a number in another.
    """
    found = list(tables)
    kinds: dict[str, Any] = {}
    for table in found:
        for name, kind in table.schema.items():
            if kinds.setdefault(name, kind) != kind:
                raise ResultsError(
                    f"{table['results'][0]}: its column {name} is {kind}, and that of another campaign is"
                    f" {kinds[name]}; look at them one by one"
                )
    rows = pl.concat(found, how="diagonal")
    known = [name for name in (*COLUMNS, *HIT_COLUMNS) if name in rows.columns]
    rows = rows.select(*known, pl.exclude(known))
    return rows.sort("rank", "campaign", "results", nulls_last=True, maintain_order=True)


def meanings(names: Iterable[str]) -> dict[str, str]:
    """Return what the columns mean, of those that every campaign has."""
    told = {name: text for name, (_, text) in {**COLUMNS, **HIT_COLUMNS}.items()} | dict(POPULATION_COLUMNS)
    return {name: told[name] for name in names if name in told}


def campaign_name(blobs: Blobs) -> str:
    """Return the name of the campaign whose results these are; that of the folder where nothing tells it."""
    try:
        content = json.loads(read_published(blobs, MANIFEST))
    except (BlobNotFound, ValueError, RecursionError):  # a copy of the table alone is a table all the same
        content = None
    name = content.get("campaign") if isinstance(content, dict) else None
    return name if isinstance(name, str) else blobs.url.rstrip("/").rpartition("/")[2]
