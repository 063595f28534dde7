"""Analyses over the contexts of a screen: which tables there are, and what each of them is made of."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
import polars as pl

from campaigns.across import Across, comparable, resolve_across
from campaigns.conditions import Context
from campaigns.screen_spec import ScreenSpec
from screening.answers import pan_context, patients, selective
from screening.answers.context_groups import ContextGroups
from screening.answers.context_scores import ContextScores

PAN_CONTEXT, SELECTIVE, PATIENTS = "pan_context.parquet", "selective.parquet", "patients.parquet"


def pan_hits(
    spec: ScreenSpec, contexts: Sequence[Context], hits: pl.DataFrame, null: pl.DataFrame | None
) -> pl.DataFrame | None:
    """Return the table of pan-context hits; None where nobody asks, or no factor varies."""
    found = _groups("pan", spec, contexts, hits, null)
    if found is None:
        return None
    across, groups = found
    trained = (_training_cells(hits, groups) > 0).sum(axis=1)
    return pan_context.pan_table(groups, spec.hits, _shared(across, hits), trained)


def selective_hits(
    spec: ScreenSpec, contexts: Sequence[Context], hits: pl.DataFrame, null: pl.DataFrame | None
) -> pl.DataFrame | None:
    """Return the table of selective hits; None where nobody asks, or no factor varies."""
    found = _groups("selective", spec, contexts, hits, null)
    if found is None:
        return None
    across, groups = found
    return selective.selective_table(
        groups, spec.hits, across.weak, _shared(across, hits), _training_cells(hits, groups)
    )


def patient_hits(
    spec: ScreenSpec, contexts: Sequence[Context], hits: pl.DataFrame, null: pl.DataFrame | None
) -> pl.DataFrame | None:
    """Return the table of patients; None where nobody asks."""
    donor = resolve_across(spec.across, contexts).donor
    return None if donor is None else patients.patient_table(hits, null, contexts, donor, spec.hits.tails)


def _groups(
    mode: str, spec: ScreenSpec, contexts: Sequence[Context], hits: pl.DataFrame, null: pl.DataFrame | None
) -> tuple[Across, ContextGroups] | None:
    across = resolve_across(spec.across, contexts)
    if mode not in across.modes or across.factor is None:
        return None
    compared = comparable(contexts, across.factor)
    scores = ContextScores.of(hits, null, [context.label for context in compared], spec.hits.tails)
    values = [context.as_dict()[across.factor] for context in compared]
    return across, ContextGroups.of(scores, values, spec.hits.minimum_effect)


def _shared(across: Across, hits: pl.DataFrame) -> dict[str, Any]:
    units = hits["score_unit"].drop_nulls()
    return {"factor": across.factor, "score_unit": units[0] if len(units) else None}


def _training_cells(hits: pl.DataFrame, groups: ContextGroups) -> npt.NDArray[np.int64]:
    """Return the training cells of every perturbation at every value of the factor, (perturbations, values)."""
    value_of = dict(zip(groups.scores.contexts, groups.value_of.tolist(), strict=True))
    row = {name: place for place, name in enumerate(groups.scores.perturbations)}
    cells = np.zeros(groups.above.shape, dtype=np.int64)
    chosen = hits.filter(pl.col("context").is_in(list(value_of))).select("perturbation", "context", "training_cells")
    for perturbation, context, number in chosen.iter_rows():
        cells[row[perturbation], value_of[context]] += number or 0
    return cells
