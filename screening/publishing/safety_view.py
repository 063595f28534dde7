"""Side effects beside the hits, for whoever reads a ranked table in a terminal."""

from __future__ import annotations

import polars as pl

from actors.blobs import Blobs
from actors.errors import BlobNotFound
from actors.history import History
from screening.answers.safety import COLUMNS, SAFETY
from screening.errors import ResultsError
from screening.publishing.publication import read_table

SHOWN = ("safety", "safety_reason", "pareto_layer")
"""Columns of ``safety.parquet`` that are shown."""


def with_safety(hits: pl.DataFrame, blobs: Blobs) -> pl.DataFrame:
    """Put the verdicts of a results folder beside its rows; nothing where the campaign asks for no safety.

    Raises
    ------
    ResultsError
        If ``safety.parquet`` is there and can't be read.
    """
    if not _is_there(blobs):
        return hits
    keys = ["perturbation", "context"]
    table = read_table(blobs, SAFETY, (*keys, *SHOWN))
    if wrong := [name for name in (*keys, *SHOWN) if table[name].dtype != COLUMNS[name][0]]:
        raise ResultsError(
            f"{blobs.url}/{SAFETY}: its column {wrong[0]} is {table[wrong[0]].dtype} and has to be"
            f" {COLUMNS[wrong[0]][0]}; run the campaign again, and it is made anew"
        )
    found = table.select(*keys, *SHOWN).unique(keys, keep="first", maintain_order=True)
    return hits.join(found, on=keys, how="left", maintain_order="left")


def _is_there(blobs: Blobs) -> bool:
    """Whether the version that stands has the table: a file of an older one may lie beside it."""
    manifest = History(blobs, patience_seconds=0).published()
    if manifest is not None:
        return SAFETY in manifest.files
    try:
        blobs.get(SAFETY)
    except BlobNotFound:
        return False
    return True
