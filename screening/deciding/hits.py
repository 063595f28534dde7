"""The hit table: one row for each condition, best first, failed ones last with their reason.

``COLUMNS`` says what each column means and in which unit; the same words go into the Parquet file.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from functools import lru_cache
from itertools import islice
from typing import Any

import numpy as np
import numpy.typing as npt
import polars as pl
from scipy import stats

from campaigns.conditions import Condition, Perturbation
from lingshu_core.prior_genes import PriorInjection
from lingshu_core.vocabulary import SeenContext, Vocabulary
from screening.allocating.allocation import tier
from screening.deciding.context_null import ContextNull
from screening.errors import ObjectiveError
from screening.folding.aggregation import Folded
from screening.folding.effects import Effect, member_spread, paired_effect
from screening.objective.objectives import UNITS, Readout, Score, score_members
from screening.planning.gates import NOT_MEASURED

TOP_GENES = 5
ROWS_AT_A_TIME = 10_000
INTERVAL = 0.9

COLUMNS: Mapping[str, tuple[Any, str]] = {
    "rank": (
        pl.Int64,
        "rank by score over all conditions, 1 is best; empty for failed conditions; where `allocation` has a word,"
        " finalists (in) come first",
    ),
    "rank_in_context": (pl.Int64, "rank by score within the context"),
    "rank_low": (
        pl.Int64,
        "best rank of the 90 % interval: ranks of effects that the scores allow; empty without a null",
    ),
    "rank_high": (pl.Int64, "worst rank of that interval"),
    "status": (pl.String, "done or failed"),
    "reason": (pl.String, "why a condition failed"),
    "decision": (
        pl.String,
        "hit, not (too small to matter), undecided, failed, or refused (its gate fails); by q_value, minimum effect and"
        " high_90",
    ),
    "decision_reason": (pl.String, "why it was decided so"),
    "perturbation": (
        pl.String,
        "target, cytokine, drug or change of the environment; combinations as A+B, doses as A@0.1",
    ),
    "perturbation_type": (pl.String, "genetic, cytokine, drug or environment"),
    "support": (
        pl.String,
        "in_vocabulary: every part was seen in training; features_only: one at least is known by features alone, or"
        " the context by its control cells alone",
    ),
    "gate": (
        pl.String,
        "whether the model's cells are like real ones, by its model card: pass, warn, fail, undecided or not measured;"
        " the worse of context and condition, as far as they are decided",
    ),
    "dose": (pl.Float64, "dose in the units of the training data, where there is one"),
    "context": (pl.String, "factors of the context"),
    "score": (pl.Float64, "how far toward the objective, in `score_unit`; the table is ranked by it"),
    "score_se": (pl.Float64, "Monte Carlo standard error of score, from paired shards"),
    "score_low": (pl.Float64, "lower end of the 90 % Monte Carlo interval of score (Student t)"),
    "score_high": (pl.Float64, "upper end of the 90 % Monte Carlo interval of score"),
    "members": (pl.Int64, "models behind the score: members of the ensemble, 1 for a single model"),
    "score_sd": (
        pl.Float64,
        "spread of the score between members (standard deviation), model uncertainty; empty for one member",
    ),
    "score_unit": (pl.String, "unit of score"),
    "posterior_mean": (
        pl.Float64,
        "effect behind the score as all conditions together suggest it (empirical Bayes), score less null_centre;"
        " empty without a null",
    ),
    "low_50": (pl.Float64, "lower end of the 50 % interval of that effect"),
    "high_50": (pl.Float64, "upper end of the 50 % interval"),
    "low_90": (pl.Float64, "lower end of the 90 % interval"),
    "high_90": (pl.Float64, "upper end of the 90 % interval"),
    "null_blocks": (pl.Int64, "pseudo-perturbations that the null of this context is made of; empty without a null"),
    "null_centre": (
        pl.Float64,
        "mean score of the pseudo-perturbations, on the same genes; of a combination as often as it has parts",
    ),
    "null_sd": (
        pl.Float64,
        "standard deviation around it of a score without an effect that was learned from as many cells",
    ),
    "minimum_effect": (
        pl.Float64,
        "how far above null_centre only 5 % of conditions without an effect are; a hit is no less",
    ),
    "p_null": (
        pl.Float64,
        "chance of such a score or a higher one without an effect, from the null, with tails as `hits.tails` says",
    ),
    "e_value": (
        pl.Float64,
        "evidence against no effect, expected to be at most 1 without one; empty where the shards of all rows were"
        " fixed beforehand",
    ),
    "q_value": (
        pl.Float64,
        "FDR under the model: Benjamini-Hochberg over all rows with a p_null, or e-BH where there are e-values; no"
        " statement about cells in a dish",
    ),
    "effect": (
        pl.Float64,
        "before standardisation: mean over the genes used in log1p counts per 10k; an E-distance in components of"
        " log1p counts per 10k; else the same as score",
    ),
    "effect_se": (pl.Float64, "Monte Carlo standard error of effect"),
    "genes_used": (pl.Int64, "genes that the score is made of"),
    "targets_left_out": (pl.String, "own targets that were left out of the score"),
    "on_target_effect": (pl.Float64, "effect on the own target genes of a genetic perturbation, log1p counts per 10k"),
    "depth_ratio": (pl.Float64, "total UMIs over those of controls in the training cells; effects are depth-matched"),
    "training_cells": (pl.Int64, "training cells of this perturbation in this context"),
    "training_cells_all": (pl.Int64, "training cells of this perturbation in all contexts"),
    "top_up": (pl.String, "genes with the largest rise, and by how much (log1p counts per 10k)"),
    "top_down": (pl.String, "genes with the largest fall, and by how much (log1p counts per 10k)"),
    "cells": (pl.Int64, "cells (depth strata × shards) behind the estimate"),
    "shards": (pl.Int64, "independent paired replicates behind the standard errors"),
    "allocation": (
        pl.String,
        "how far an allocation took it: finalist or stopped at rung N (halving); in, out or undecided (certified);"
        " within precision, or over precision with the reason (estimator.precision); empty where all get the same"
        " shards",
    ),
    "shards_drawn": (
        pl.Int64,
        "shards that were computed adaptively; of a finalist more than `shards`, which leaves out those that chose it;"
        " empty where all get the same",
    ),
    "allocation_low": (
        pl.Float64,
        "lower end of the interval behind in and out, simultaneous over conditions and time; empty where unbounded",
    ),
    "allocation_high": (pl.Float64, "upper end of that interval"),
    "estimator": (pl.String, "variance_reduced or sampled"),
    "steps": (pl.Int64, "denoising steps; empty for a baseline"),
    "schedule": (pl.String, "schedule of the steps; empty for a baseline"),
    "guidance": (pl.Float64, "guidance w against the control label; 0: none; empty for a baseline"),
    "prior_genes": (pl.Int64, "genes pre-filled with one count by the published prior; 0: no prior"),
    "paths": (pl.String, "paths of the model that were on, or the kind of baseline"),
    "seed": (pl.Int64, "root seed"),
    "model_digest": (pl.String, "sha256 of the model, or of the ensemble"),
    "run_id": (pl.String, "digest of plan and objective"),
}


_ALWAYS = ("status", "perturbation", "context")
_WHEN_DONE = (
    "rank",
    "score",
    "score_se",
    "support",
    "training_cells",
    "training_cells_all",
    "top_up",
    "top_down",
)
"""Tables of every version have these; what was added later may be missing."""


def foreign(table: pl.DataFrame) -> str:
    """Say why a table is no ranked table of a screen; empty if it is one."""
    missing = [name for name in (*_ALWAYS, "reason", *_WHEN_DONE) if name not in table.columns]
    if missing:
        more = f" and {len(missing) - 3} more" if len(missing) > 3 else ""
        return f"it has no column {', '.join(missing[:3])}{more}"
    for name, (kind, _) in COLUMNS.items():
        if name in table.columns and table[name].dtype != kind:
            return f"its column {name} is {table[name].dtype} and has to be {kind}"
    done = table.filter(pl.col("status") == "done")
    empty = [name for name in _ALWAYS if table[name].has_nulls()]
    empty += [name for name in _WHEN_DONE if done[name].has_nulls()]
    return f"its column {empty[0]} has empty fields" if empty else ""


@dataclass(frozen=True)
class RunFacts:
    """What all rows of a table share."""

    run_id: str
    model_digest: str
    estimator: str
    steps: int | None
    schedule: str | None
    guidance: float | None
    paths: str
    seed: int

    def as_row(self) -> dict[str, Any]:
        """Return the columns that are the same in every row."""
        return dict(vars(self))


@dataclass(frozen=True)
class Scored:
    """One condition, scored: its row of the table and its per-gene effects (None where it failed)."""

    row: dict[str, Any]
    folded: Folded
    effect: Effect | None
    score: Score | None


def score_folded(
    folded: Folded,
    readout: Readout,
    vocabulary: Vocabulary,
    facts: RunFacts,
    *,
    exclude_own_targets: bool,
    injection: PriorInjection | None = None,
    gate: str = NOT_MEASURED,
    null: ContextNull | None = None,
) -> Scored:
    """Score one condition and describe it in a row.

    A condition whose own targets are all that the objective has can't be scored: it failed, with the reason.
    """
    condition = folded.planned.condition
    row = facts.as_row() | _identity(condition, vocabulary) | {"support": folded.planned.support}
    row |= {"prior_genes": _prior_genes(condition, injection), "gate": gate}
    if folded.moments is None or folded.control is None:
        return Scored(row | {"status": "failed", "reason": folded.reason}, folded, None, None)
    members = folded.members or ((folded.moments, folded.control),)
    effect = replace(paired_effect(folded.moments, folded.control), log1p_sd=member_spread(members))
    targets = own_targets(condition.perturbation, vocabulary)
    left_out = targets if exclude_own_targets else targets[:0]
    try:
        score = score_members(members, readout, left_out, vocabulary.genes)
    except ObjectiveError as error:
        return Scored(row | {"status": "failed", "reason": str(error)}, folded, None, None)
    row |= _numbers(score, effect, targets, folded, readout, vocabulary)
    row |= readout.describe(members, left_out)
    if null is not None:
        row |= null.columns(condition.perturbation, left_out, members[0][0].cells)
    return Scored(row, folded, effect, score)


def _prior_genes(condition: Condition, injection: PriorInjection | None) -> int:
    if injection is None:
        return 0
    return len(injection.genes([part.name for part in condition.perturbation.parts], condition.context.as_dict()))


def own_targets(perturbation: Perturbation, vocabulary: Vocabulary) -> npt.NDArray[np.int64]:
    """Return the gene indices of a genetic perturbation's targets; a drug's targets are no targets here."""
    if perturbation.type != "genetic":
        return np.empty(0, dtype=np.int64)
    index = _gene_index(vocabulary.genes)
    found = {index[part.target] for part in perturbation.parts if part.target in index}
    return np.array(sorted(found), dtype=np.int64)


@lru_cache(maxsize=4)
def _gene_index(genes: tuple[str, ...]) -> Mapping[str, int]:
    """Gene → index, made once for a model and not for each of a million conditions."""
    return {gene: i for i, gene in enumerate(genes)}


def hit_table(scored: Iterable[Mapping[str, Any]], extra_columns: Mapping[str, Any]) -> pl.DataFrame:
    """Rank rows by score; ties and failed conditions are ordered by label, so that the table is unique."""
    schema: dict[str, Any] = {name: kind for name, (kind, _) in COLUMNS.items()} | dict(extra_columns)
    table = _table(iter(scored), schema)
    done = pl.col("status") == "done"
    # Where an allocation chose, a score of few shards does not come before one of many that was chosen over it.
    table = table.with_columns(pl.Series("_tier", [tier(word) for word in table["allocation"]], dtype=pl.Int64))
    table = table.sort(
        [done, "_tier", "score", "perturbation", "context"],
        descending=[True, False, True, False, False],
        nulls_last=True,
    )
    ranked = table.with_columns(
        rank=pl.when(done).then(pl.int_range(1, pl.len() + 1)),
        rank_in_context=pl.when(done).then(pl.int_range(1, pl.len() + 1).over("context")),
    )
    return ranked.select([pl.col(name).cast(kind) for name, kind in schema.items()])


def _table(rows: Iterator[Mapping[str, Any]], schema: Mapping[str, Any]) -> pl.DataFrame:
    """Put rows into columns some thousand at a time: as dictionaries a million of them would fill a machine."""
    parts = [pl.DataFrame(schema=schema)]
    while part := list(islice(rows, ROWS_AT_A_TIME)):
        parts.append(pl.DataFrame(part, schema=schema))
    return pl.concat(parts)


def extra_columns(factors: Iterable[str], markers: Iterable[str], further: Iterable[str] = ()) -> dict[str, Any]:
    """Return the columns that depend on the campaign: one per context factor, three per marker gene, and `further`."""
    columns: dict[str, Any] = dict.fromkeys(factors, pl.String)
    for gene in markers:
        columns |= dict.fromkeys((f"effect[{gene}]", f"effect_se[{gene}]", f"effect_sd[{gene}]"), pl.Float64)
    return columns | dict.fromkeys(further, pl.Float64)


def _identity(condition: Condition, vocabulary: Vocabulary) -> dict[str, Any]:
    perturbation, context = condition.perturbation, condition.context
    plain_label = "+".join(part.name for part in perturbation.parts)
    doses = {part.dose for part in perturbation.parts}
    seen = vocabulary.perturbations.get(plain_label)
    here = [c for c in vocabulary.contexts if set(context.factors) <= set(c.factors.items())]
    # By how much a part that was never seen shifts the depth, nobody knows.
    known = all(part.name in vocabulary.parts for part in perturbation.parts)
    ratios = [
        vocabulary.perturbations[p.name].depth_log_ratio
        for p in perturbation.parts
        if p.name in vocabulary.perturbations
    ]
    return {
        "perturbation": perturbation.label,
        "perturbation_type": perturbation.type,
        "dose": doses.pop() if len(doses) == 1 else None,
        "context": context.label,
        **context.as_dict(),
        "training_cells": sum(_cells_of(plain_label, c) for c in here),
        "training_cells_all": seen.cells
        if seen
        else sum(c.pseudo_cells.get(plain_label, 0) for c in vocabulary.contexts),
        "depth_ratio": math.exp(seen.depth_log_ratio if seen else sum(ratios)) if known else None,
    }


def _cells_of(label: str, context: SeenContext) -> int:
    return context.perturbed_cells.get(label, 0) + context.pseudo_cells.get(label, 0)


def _numbers(
    score: Score,
    effect: Effect,
    targets: npt.NDArray[np.int64],
    folded: Folded,
    readout: Readout,
    vocabulary: Vocabulary,
) -> dict[str, Any]:
    moments = folded.moments
    shards = 0 if moments is None else len(moments.log1p)
    margin = float(stats.t.ppf(0.5 + INTERVAL / 2, shards - 1)) * score.score_se
    return {
        "status": "done",
        "score": score.score,
        "score_se": score.score_se,
        "score_low": score.score - margin,
        "score_high": score.score + margin,
        "members": score.members,
        "score_sd": score.score_sd,
        "score_unit": UNITS[readout.normalisation],
        "effect": score.effect,
        "effect_se": score.effect_se,
        "genes_used": score.genes_used,
        "targets_left_out": "+".join(score.targets_left_out),
        "on_target_effect": float(effect.log1p[targets].mean()) if len(targets) else None,
        "top_up": _extremes(effect.log1p, vocabulary.genes, -1),
        "top_down": _extremes(effect.log1p, vocabulary.genes, 1),
        "cells": 0 if moments is None else moments.cells,
        "shards": shards,
        **_marker_columns(effect, readout, vocabulary),
    }


def _marker_columns(effect: Effect, readout: Readout, vocabulary: Vocabulary) -> dict[str, float | None]:
    columns: dict[str, float | None] = {}
    for gene in readout.marker_genes:
        index = _gene_index(vocabulary.genes)[gene]
        columns[f"effect[{gene}]"] = float(effect.log1p[index])
        columns[f"effect_se[{gene}]"] = float(effect.log1p_se[index])
        columns[f"effect_sd[{gene}]"] = None if effect.log1p_sd is None else float(effect.log1p_sd[index])
    return columns


def _extremes(effect: npt.NDArray[np.float64], genes: tuple[str, ...], sign: int) -> str:
    """Name the genes with the largest effects of one sign (−1: rises first); of equal ones the first in the panel."""
    values = sign * effect
    last = np.partition(values, TOP_GENES - 1)[TOP_GENES - 1] if len(values) > TOP_GENES else np.inf
    found = np.flatnonzero((values < 0) & ~(values > last))  # more than are asked for, where the last ones tie
    order = found[np.argsort(values[found], kind="stable")][:TOP_GENES]
    return ", ".join(f"{genes[i]} {effect[i]:+.2f}" for i in order)
