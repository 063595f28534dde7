"""``null.parquet``: the pseudo-perturbations of a screen, scored as conditions, and what they come to by context."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

import polars as pl

from screening.hits import COLUMNS
from screening.null_distribution import NullDistribution

NULL_COLUMNS = (
    *("perturbation", "context", "status", "reason", "gate"),
    *("score", "score_se", "score_low", "score_high", "members", "score_sd", "score_unit", "effect", "effect_se"),
    *("genes_used", "training_cells", "training_cells_all", "cells", "shards", "estimator", "steps", "schedule"),
    *("guidance", "paths", "seed", "model_digest", "run_id"),
)
"""Those of the ranked table that say something of a pseudo-perturbation, with the same meanings."""


def null_table(rows: Iterable[Mapping[str, Any]], factors: Iterable[str]) -> pl.DataFrame:
    """Put the pseudo-perturbations of all contexts into a table, in the order of contexts and labels."""
    schema = {name: COLUMNS[name][0] for name in NULL_COLUMNS} | dict.fromkeys(factors, pl.String)
    table = pl.DataFrame([{name: row.get(name) for name in schema} for row in rows], schema=schema)
    return table.sort("context", "perturbation")


def null_summary(table: pl.DataFrame) -> list[dict[str, Any]]:
    """Return the null of every context, on all genes of the objective, for the manifest."""
    found = []
    for (context,), rows in table.group_by("context", maintain_order=True):
        null = NullDistribution.of(rows["score"].drop_nulls().to_numpy())
        numbers = {} if null is None else {**vars(null), "minimum_effect": null.minimum_effect}
        found.append({"context": context, "blocks": rows["score"].drop_nulls().len(), **numbers})
    return found
