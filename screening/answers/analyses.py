"""Further tables of a screen: each answers one more question from the ranked table, and is published beside it.

An analysis is a fold over what the score stage found, so it can be replayed like everything after the commits. One
that doesn't apply to a screen (no null, no doses, one context) gives no table.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import polars as pl

from campaigns.conditions import Context
from campaigns.screen_spec import ScreenSpec
from screening.answers import across_contexts, pan_context, patients, selective
from screening.answers.connectivity_table import COLUMNS as CONNECTIVITY_COLUMNS
from screening.answers.connectivity_table import connectivity_table
from screening.answers.dose_response import COLUMNS as DOSE_COLUMNS
from screening.answers.dose_response import DOSES, dose_table
from screening.answers.interactions import COLUMNS as INTERACTION_COLUMNS
from screening.answers.interactions import INTERACTIONS, ModelFacts, interaction_table
from screening.answers.safety import SAFETY, columns_of, safety_table
from screening.answers.scaffolds import COLUMNS as SCAFFOLD_COLUMNS
from screening.answers.scaffolds import SCAFFOLDS, drug_structures, scaffold_table, scaffolds_of
from screening.deciding.hits import COLUMNS
from screening.folding.effect_matrix import EffectMatrix
from screening.following_up.evidence import Evidence, gather
from screening.following_up.evidence_columns import CONDITION_COLUMNS, EVIDENCE, EVIDENCE_ITEMS, ITEM_COLUMNS, meanings
from screening.objective.combination_scores import CombinationScores
from screening.objective.connectivity_readout import ConnectivityReadout
from screening.planning.campaign import PlannedCampaign
from screening.publishing.publication import CONNECTIVITY, NULL, Table


@dataclass(frozen=True)
class ScoredScreen:
    """What an analysis has to go by.

    Attributes
    ----------
    planned
        The campaign with its plan and readouts.
    hits
        The ranked and decided table (`screening.deciding.hits.COLUMNS`).
    null
        The pseudo-perturbations (`screening.deciding.null_table`); None where the model has none.
    effects
        Per-gene effects of the best conditions.
    combinations
        Combinations beside their parts, shard by shard; None where nobody gathered them.
    penalties
        Side effects of every condition (`screening.objective.safety_scores`); None where none are asked for.
    """

    planned: PlannedCampaign
    hits: pl.DataFrame
    null: pl.DataFrame | None
    effects: EffectMatrix
    combinations: CombinationScores | None = None
    penalties: pl.DataFrame | None = None

    @cached_property
    def evidence(self) -> Evidence | None:
        """What is gathered beside the hits, for both of its tables."""
        return gather(self.planned, self.hits, self.effects)


def analyse(screen: ScoredScreen) -> dict[str, Table]:
    """Return the further tables of a screen by the name of their file."""
    found = {name: analysis(screen) for name, analysis in ANALYSES.items()}
    return {name: table for name, table in found.items() if table is not None}


def _null(screen: ScoredScreen) -> Table | None:
    if screen.null is None:
        return None
    return Table(
        screen.null,
        {name: COLUMNS[name][1] if name in COLUMNS else "factor of the context" for name in screen.null.columns},
    )


def _doses(screen: ScoredScreen) -> Table | None:
    perturbations = {planned.condition.perturbation for planned in screen.planned.plan.conditions}
    dosed = [each for each in perturbations if any(part.dose is not None for part in each.parts)]
    names = {each.label: "+".join(part.name for part in each.parts) for each in dosed}
    rows = dose_table(screen.hits, names, screen.planned.campaign.spec.seed, screen.null)
    return _described(rows, DOSE_COLUMNS)


def _interactions(screen: ScoredScreen) -> Table | None:
    if screen.combinations is None:
        return None
    campaign = screen.planned.campaign
    model = ModelFacts(campaign.paths, campaign.is_baseline, campaign.spec.hits.minimum_effect)
    rows = interaction_table(screen.combinations.found(), screen.hits, model)
    return _described(rows, INTERACTION_COLUMNS)


def _scaffolds(screen: ScoredScreen) -> Table | None:
    plan = screen.planned.plan
    structures = drug_structures(screen.planned.campaign.spec, plan)
    if not structures:
        return None
    perturbations = {planned.condition.perturbation for planned in plan.conditions}
    drugs = [each for each in perturbations if each.type == "drug" and len(each.parts) == 1]
    names = {each.label: each.parts[0].name for each in drugs}
    asked = {name: structures[name] for name in names.values() if name in structures}
    rows = scaffold_table(screen.hits, names, scaffolds_of(asked))
    return _described(rows, SCAFFOLD_COLUMNS)


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


def _connectivity(screen: ScoredScreen) -> Table | None:
    readout = next(iter(screen.planned.readouts.values()))
    if not isinstance(readout, ConnectivityReadout):
        return None
    return _described(connectivity_table(screen.hits, readout.compendium), CONNECTIVITY_COLUMNS)


def _evidence(screen: ScoredScreen) -> Table | None:
    found = screen.evidence
    return None if found is None else Table(found.conditions, meanings(CONDITION_COLUMNS))


def _evidence_items(screen: ScoredScreen) -> Table | None:
    found = screen.evidence
    return None if found is None else Table(found.items, meanings(ITEM_COLUMNS))


def _safety(screen: ScoredScreen) -> Table | None:
    asked, resolved = screen.planned.campaign.spec.safety, screen.planned.plan.safety
    if asked is None or resolved is None or screen.penalties is None:
        return None
    rows = safety_table(screen.hits, screen.penalties, asked, resolved["spare"])
    return _described(rows, columns_of([each.name for each in asked.signatures]))


ANALYSES: Mapping[str, Callable[[ScoredScreen], Table | None]] = {
    NULL: _null,
    DOSES: _doses,
    INTERACTIONS: _interactions,
    SCAFFOLDS: _scaffolds,
    across_contexts.PAN_CONTEXT: _pan,
    across_contexts.SELECTIVE: _selective,
    across_contexts.PATIENTS: _patients,
    CONNECTIVITY: _connectivity,
    EVIDENCE: _evidence,
    EVIDENCE_ITEMS: _evidence_items,
    SAFETY: _safety,
}
"""File name → what makes its table, in the order of the manifest."""
