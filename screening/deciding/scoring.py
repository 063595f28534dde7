"""The score stage: every condition scored, ranked and decided in one pass over the fold."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np

from campaigns.conditions import Context
from screening.allocating.allocation_choice import chooses_by_score
from screening.answers.analyses import ScoredScreen
from screening.deciding.context_null import ContextNull, trained_cells
from screening.deciding.decisions import decide
from screening.deciding.hits import Scored, extra_columns, hit_table, score_folded
from screening.deciding.null_table import null_table, standardised_blocks
from screening.folding.aggregation import Folded
from screening.folding.effect_matrix import EffectMatrix
from screening.folding.effect_store import EffectStore
from screening.objective.combination_scores import CombinationScores
from screening.objective.safety_scores import PenaltyScores
from screening.planning.campaign import PlannedCampaign
from screening.running.wanted_blocks import WantedBlocks


def gather_combinations(planned: PlannedCampaign) -> CombinationScores:
    """Say which combinations are to be compared with their parts while conditions are scored."""
    campaign = planned.campaign
    return CombinationScores.of(
        planned.plan,
        planned.readouts,
        campaign.model.vocabulary,
        exclude_own_targets=campaign.spec.objective.exclude_own_targets,
    )


def score(
    planned: PlannedCampaign,
    folded: Iterator[Folded],
    blocks: WantedBlocks | None = None,
    every_effect: EffectStore | None = None,
) -> ScoredScreen:
    """Score, rank and decide every condition; keep the per-gene effects that are to be exported.

    ``blocks`` are what chose the shards of every condition, if anything did: it has columns of its own. Where the
    effects of all conditions are asked for, ``every_effect`` takes them as they come.
    """
    vocabulary, spec = planned.campaign.model.vocabulary, planned.campaign.spec
    effects = EffectMatrix(vocabulary.genes)
    pseudo: list[dict[str, Any]] = []
    trained = trained_cells(vocabulary)
    combinations, penalties = gather_combinations(planned), PenaltyScores.of(planned)

    def rows() -> Iterator[dict[str, Any]]:
        nulls: dict[Context, ContextNull] = {}  # of the context that is being folded; its null comes first
        for condition in folded:
            context = condition.planned.condition.context
            if penalties is not None:
                penalties.add(condition)
            if condition.planned.role == "null":
                if context not in nulls:
                    nulls = {context: ContextNull(planned.readouts[context], vocabulary.genes, trained)}
                nulls[context].add(condition)
                pseudo.append(_scored(planned, condition).row)
            else:
                scored = _scored(planned, condition, nulls.get(context))
                effects.add(scored)
                if every_effect is not None:
                    every_effect.add(scored)
                combinations.add(condition)
                yield scored.row if blocks is None else {**scored.row, **blocks.columns(condition.planned.key)}

    readout = next(iter(planned.readouts.values()))
    extra = extra_columns(vocabulary.factors, readout.marker_genes, readout.columns)
    table = hit_table(rows(), extra)
    null = null_table(pseudo, vocabulary.factors) if pseudo else None
    spread = None if null is None else standardised_blocks(null)
    # Who got more shards was chosen by scores, of finalists and of those that were left behind.
    adaptive = np.full(table.height, chooses_by_score(planned.plan))
    hits = decide(table, spec.hits, spec.seed, spread, adaptive)
    harm = None if penalties is None else penalties.table()
    return ScoredScreen(planned, hits, null, effects, combinations, harm)


def _scored(planned: PlannedCampaign, folded: Folded, null: ContextNull | None = None) -> Scored:
    return score_folded(
        folded,
        planned.readouts[folded.planned.condition.context],
        planned.campaign.model.vocabulary,
        planned.facts,
        exclude_own_targets=planned.campaign.spec.objective.exclude_own_targets,
        injection=planned.injection,
        gate=planned.gates.verdict(folded.planned.condition),
        null=null,
    )
