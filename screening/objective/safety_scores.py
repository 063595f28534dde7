"""Side effects, scored while the fold runs: the same blocks, the same formula and the same unit as a signature."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import polars as pl

from campaigns.conditions import Context
from lingshu_core.vocabulary import Vocabulary
from screening.deciding.context_null import ContextNull, trained_cells
from screening.deciding.hits import own_targets
from screening.errors import ObjectiveError
from screening.folding.aggregation import Folded
from screening.objective.objectives import Readout, score_members, signed_readout
from screening.planning.campaign import PlannedCampaign

ROWS_AT_A_TIME = 10_000
SCORE_COLUMNS: Mapping[str, Any] = {
    "perturbation": pl.String,
    "context": pl.String,
    "penalty": pl.String,
    "score": pl.Float64,
    "score_se": pl.Float64,
    "score_sd": pl.Float64,
    "members": pl.Int64,
    "shards": pl.Int64,
    "null_blocks": pl.Int64,
    "null_centre": pl.Float64,
    "null_sd": pl.Float64,
}


class PenaltyScores:
    """Gathers the scores of side effects, a row for each condition and penalty; nothing larger is kept.

    The own targets of a genetic perturbation are left out of every penalty: that a knock-down of TP53 lowers TP53 says
    nothing of a p53 response. Each penalty has a null of its own, the pseudo-perturbations of the context.

    Parameters
    ----------
    penalties
        Name → weights; the same in all contexts.
    vocabulary
        Of the model.
    """

    def __init__(self, penalties: Mapping[str, Readout], vocabulary: Vocabulary) -> None:
        self._penalties = penalties
        self._vocabulary = vocabulary
        self._trained = trained_cells(vocabulary)
        self._context: Context | None = None
        self._nulls: dict[str, ContextNull] = {}
        self._rows: list[dict[str, Any]] = []
        self._parts = [pl.DataFrame(schema=SCORE_COLUMNS)]

    @classmethod
    def of(cls, planned: PlannedCampaign) -> PenaltyScores | None:
        """Make the penalties of a campaign; None where it asks for no safety."""
        safety = planned.plan.safety
        if safety is None:
            return None
        vocabulary = planned.campaign.model.vocabulary
        return cls({each["name"]: _readout(each, vocabulary.genes) for each in safety["signatures"]}, vocabulary)

    def add(self, folded: Folded) -> None:
        """Score one condition, or take it as a part of the null; one that failed has no scores.

        The conditions of a context come together, its null first, as `screening.folding.aggregation` gives them.
        """
        condition = folded.planned.condition
        if condition.context != self._context:
            self._context, self._nulls = condition.context, {}
        if folded.moments is None or folded.control is None:
            return
        for name, readout in self._penalties.items():
            if folded.planned.role == "null":
                self._null(name, readout).add(folded)
            else:
                self._score(name, readout, folded)

    def table(self) -> pl.DataFrame:
        """Return what was gathered (``SCORE_COLUMNS``), in the order of the fold."""
        self._flush()
        return pl.concat(self._parts)

    def _null(self, name: str, readout: Readout) -> ContextNull:
        if name not in self._nulls:
            self._nulls[name] = ContextNull(readout, self._vocabulary.genes, self._trained)
        return self._nulls[name]

    def _score(self, name: str, readout: Readout, folded: Folded) -> None:
        if folded.moments is None or folded.control is None:
            return
        condition = folded.planned.condition
        left_out = own_targets(condition.perturbation, self._vocabulary)
        members = folded.members or ((folded.moments, folded.control),)
        try:
            found = score_members(members, readout, left_out, self._vocabulary.genes)
        except ObjectiveError:  # no gene but the own targets: this side effect can't be told, which the table says
            return
        row: dict[str, Any] = {
            "perturbation": condition.perturbation.label,
            "context": condition.context.label,
            "penalty": name,
        }
        row |= {"score": found.score, "score_se": found.score_se, "score_sd": found.score_sd}
        row |= {"members": found.members, "shards": len(folded.moments.log1p)}
        if name in self._nulls:
            null = self._nulls[name].columns(condition.perturbation, left_out)
            row |= {key: value for key, value in null.items() if key in SCORE_COLUMNS}
        self._rows.append(row)
        if len(self._rows) >= ROWS_AT_A_TIME:
            self._flush()

    def _flush(self) -> None:
        """Put rows into columns: as dictionaries those of a large screen would fill a machine."""
        if self._rows:
            self._parts.append(pl.DataFrame(self._rows, schema=SCORE_COLUMNS))
            self._rows = []


def _readout(signature: Mapping[str, Any], genes: tuple[str, ...]) -> Readout:
    directions = dict.fromkeys(signature["up"], 1) | dict.fromkeys(signature["down"], -1)
    return signed_readout(genes, directions, signature["name"])
