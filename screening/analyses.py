"""Further tables of a screen: each answers one more question from the ranked table, and is published beside it.

An analysis is a fold over what the score stage found, so it can be replayed like everything after the commits. One
that doesn't apply to a screen (no null, no doses, one context) gives no table.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import polars as pl

from campaigns.conditions import Context
from campaigns.screen_spec import ScreenSpec
from screening import across_contexts, pan_context, patients, selective
from screening.campaign import PlannedCampaign
from screening.hits import COLUMNS
from screening.publication import NULL, Table


@dataclass(frozen=True)
class ScoredScreen:
    """What an analysis has to go by.

    Attributes
    ----------
    planned
        The campaign with its plan and readouts.
    hits
        The ranked and decided table (`screening.hits.COLUMNS`).
    null
        The pseudo-perturbations (`screening.null_table`); None where the model has none.
    """

    planned: PlannedCampaign
    hits: pl.DataFrame
    null: pl.DataFrame | None


def analyse(screen: ScoredScreen) -> dict[str, Table]:
    """Return the further tables of a screen by the name of their file."""
    found = {name: analysis(screen) for name, analysis in ANALYSES.items()}
    return {name: table for name, table in found.items() if table is not None}


def _null(screen: ScoredScreen) -> Table | None:
    if screen.null is None:
        return None
    return Table(screen.null, {name: text for name, (_, text) in COLUMNS.items() if name in screen.null.columns})


def _pan(screen: ScoredScreen) -> Table | None:
    return _described(across_contexts.pan_hits(*_over_contexts(screen)), pan_context.COLUMNS)


def _selective(screen: ScoredScreen) -> Table | None:
    return _described(across_contexts.selective_hits(*_over_contexts(screen)), selective.COLUMNS)


def _patients(screen: ScoredScreen) -> Table | None:
    return _described(across_contexts.patient_hits(*_over_contexts(screen)), patients.COLUMNS)


def _over_contexts(
    screen: ScoredScreen,
) -> tuple[ScreenSpec, Sequence[Context], pl.DataFrame, pl.DataFrame | None]:
    return screen.planned.campaign.spec, tuple(screen.planned.plan.control_sets), screen.hits, screen.null


def _described(rows: pl.DataFrame | None, columns: Mapping[str, tuple[Any, str]]) -> Table | None:
    return None if rows is None else Table(rows, {name: text for name, (_, text) in columns.items()})


ANALYSES: Mapping[str, Callable[[ScoredScreen], Table | None]] = {
    NULL: _null,
    across_contexts.PAN_CONTEXT: _pan,
    across_contexts.SELECTIVE: _selective,
    across_contexts.PATIENTS: _patients,
}
"""File name → what makes its table, in the order of the manifest."""
