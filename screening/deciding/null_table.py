"""``null.parquet``: the pseudo-perturbations of a screen, scored as conditions, and what they come to by context."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

import numpy as np
import polars as pl

from screening.deciding.hits import COLUMNS
from screening.deciding.null_distribution import Array, NullDistribution
from screening.deciding.null_tails import SHAPES, NullTails
from screening.objective.objectives import least_spread

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
        scores, cells = _scores_and_cells(rows)
        null, typical = null_of(rows), float(np.median(cells)) if len(cells) else 0.0
        numbers: dict[str, Any] = {"context": context, "blocks": len(scores)}
        if null is not None:
            numbers |= {"centre": null.centre, "sd": null.sd, "robust_sd": null.robust_sd, "typical_cells": typical}
            numbers |= {"minimum_effect": null.minimum_effect([typical]), "variance_by_cells": null.slope}
        found.append(numbers)
    return found


def null_of(rows: pl.DataFrame) -> NullDistribution | None:
    """Return the null of one context from its rows of the table; None for fewer than two that were computed."""
    done = rows.filter(pl.col("status") == "done")
    drawn = done.select(pl.col("cells") / pl.col("members").fill_null(1)).to_series().drop_nulls()
    unit = done["score_unit"].drop_nulls()
    floor = least_spread(unit[0], drawn.to_numpy().min()) if len(unit) and len(drawn) else 0.0
    return NullDistribution.of(*_scores_and_cells(rows), float(floor))


def standardised_blocks(table: pl.DataFrame) -> Array:
    """Return all pseudo-perturbations in standard deviations of the null of their context, (contexts, labels).

    NaN where a label was not computed; a context whose pseudo-perturbations have no spread is left out.
    """
    places = {label: place for place, label in enumerate(sorted(set(table["perturbation"])))}
    found = [np.empty((0, len(places)))]
    for _, rows in table.group_by("context", maintain_order=True):
        scores, cells = _scores_and_cells(rows)
        null = null_of(rows)
        if null is not None and null.has_spread:
            own = np.full((1, len(places)), np.nan)
            done = rows.filter(pl.col("status") == "done")["perturbation"]
            own[0, [places[label] for label in done]] = null.standardised(scores, cells)
            found.append(own)
    return np.concatenate(found)


def tail_weights(table: pl.DataFrame) -> dict[str, Any]:
    """Return what the pseudo-perturbations say of the null's tails, for the manifest."""
    tails = NullTails.of(standardised_blocks(table))
    shapes = {shape: round(weight, 4) for shape, weight in zip(SHAPES, tails.weights, strict=True)}
    return {"weights": shapes, "independent_blocks": round(tails.blocks, 1)}


def _scores_and_cells(rows: pl.DataFrame) -> tuple[Array, Array]:
    done = rows.filter(pl.col("status") == "done")
    return done["score"].to_numpy().astype(float), done["training_cells_all"].to_numpy().astype(float)
