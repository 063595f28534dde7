"""Further tables of a screen: each answers one more question from the ranked table, and is published beside it.

An analysis is a fold over what the score stage found, so it can be replayed like everything after the commits. One
that doesn't apply to a screen (no null, no doses, one context) gives no table.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cached_property

import polars as pl

from screening.campaign import PlannedCampaign
from screening.effect_matrix import EffectMatrix
from screening.evidence import Evidence, gather
from screening.evidence_columns import CONDITION_COLUMNS, EVIDENCE, EVIDENCE_ITEMS, ITEM_COLUMNS, meanings
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
    effects
        Per-gene effects of the best conditions; None where nobody kept them.
    """

    planned: PlannedCampaign
    hits: pl.DataFrame
    null: pl.DataFrame | None
    effects: EffectMatrix | None = None

    @cached_property
    def evidence(self) -> Evidence | None:
        """What is gathered beside the hits, for both of its tables."""
        return None if self.effects is None else gather(self.planned, self.hits, self.effects)


def analyse(screen: ScoredScreen) -> dict[str, Table]:
    """Return the further tables of a screen by the name of their file."""
    found = {name: analysis(screen) for name, analysis in ANALYSES.items()}
    return {name: table for name, table in found.items() if table is not None}


def _null(screen: ScoredScreen) -> Table | None:
    if screen.null is None:
        return None
    return Table(screen.null, {name: text for name, (_, text) in COLUMNS.items() if name in screen.null.columns})


def _evidence(screen: ScoredScreen) -> Table | None:
    found = screen.evidence
    return None if found is None else Table(found.conditions, meanings(CONDITION_COLUMNS))


def _evidence_items(screen: ScoredScreen) -> Table | None:
    found = screen.evidence
    return None if found is None else Table(found.items, meanings(ITEM_COLUMNS))


ANALYSES: Mapping[str, Callable[[ScoredScreen], Table | None]] = {
    NULL: _null,
    EVIDENCE: _evidence,
    EVIDENCE_ITEMS: _evidence_items,
}
"""File name → what makes its table, in the order of the manifest."""
