"""Further tables of a screen: each answers one more question from the ranked table, and is published beside it.

An analysis is a fold over what the score stage found, so it can be replayed like everything after the commits. One
that doesn't apply to a screen (no null, no doses, one context) gives no table.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import polars as pl

from screening.campaign import PlannedCampaign
from screening.hits import COLUMNS
from screening.publication import NULL, Table
from screening.safety import SAFETY, columns_of, safety_table


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
    penalties
        Side effects of every condition (`screening.safety_scores`); None where the campaign asks for no safety.
    """

    planned: PlannedCampaign
    hits: pl.DataFrame
    null: pl.DataFrame | None
    penalties: pl.DataFrame | None = None


def analyse(screen: ScoredScreen) -> dict[str, Table]:
    """Return the further tables of a screen by the name of their file."""
    found = {name: analysis(screen) for name, analysis in ANALYSES.items()}
    return {name: table for name, table in found.items() if table is not None}


def _null(screen: ScoredScreen) -> Table | None:
    if screen.null is None:
        return None
    return Table(screen.null, {name: text for name, (_, text) in COLUMNS.items() if name in screen.null.columns})


def _safety(screen: ScoredScreen) -> Table | None:
    asked, resolved = screen.planned.campaign.spec.safety, screen.planned.plan.safety
    if asked is None or resolved is None or screen.penalties is None:
        return None
    meanings = {name: text for name, (_, text) in columns_of([each.name for each in asked.signatures]).items()}
    return Table(safety_table(screen.hits, screen.penalties, asked, resolved["spare"]), meanings)


ANALYSES: Mapping[str, Callable[[ScoredScreen], Table | None]] = {
    NULL: _null,
    SAFETY: _safety,
}
"""File name → what makes its table, in the order of the manifest."""
