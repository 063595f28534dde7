"""``patients.parquet``: one ranking for every donor, what donors share, and what a donor's own controls change.

A row is a perturbation in a context of a donor. The same context with the donor left open has the controls of all
donors to start from; where the screen has it too, the row says what the donor's own make of it.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import polars as pl

from campaigns.across import finest
from campaigns.conditions import Context
from screening.answers.context_groups import false_discoveries
from screening.answers.context_scores import ContextScores
from screening.deciding.decisions import HIT, NOT, UNDECIDED
from screening.deciding.null_tails import Tails

SHARED, PARTICULAR, SOME, OPEN = "all", "one", "some", "open"

COLUMNS: Mapping[str, tuple[Any, str]] = {
    "donor": (pl.String, "value of the factor that tells patients apart"),
    "rank_in_donor": (pl.Int64, "rank by score over all rows of the donor, 1 is best; empty for failed ones"),
    "perturbation": (pl.String, "as in the ranked table"),
    "cells": (pl.String, "the rest of the context, such as cell_type=B cells; all cells where there is no more"),
    "score": (pl.Float64, "as in the ranked table, in score_unit"),
    "above_null": (pl.Float64, "score less the centre of its null, in score_unit; the score itself without a null"),
    "decision": (pl.String, "of this row in the ranked table: hit, not, undecided, failed or refused"),
    "decision_reason": (pl.String, "why it was decided so"),
    "donors": (pl.Int64, "donors with a score of this perturbation in these cells"),
    "hit_donors": (pl.Int64, "of these, donors where it is a hit"),
    "undecided_donors": (pl.Int64, "donors where it is undecided"),
    "shared": (
        pl.String,
        "of hits: all (a hit in every donor), one (in this donor alone, not in every other), some (in several, and not"
        " in another), or open (undecided or refused in the others); empty for rows that are no hit",
    ),
    "mean_over_donors": (pl.Float64, "mean of above_null over donors, in score_unit"),
    "deviation": (pl.Float64, "above_null less mean_over_donors, in score_unit"),
    "deviation_low": (
        pl.Float64,
        "lower end of its 90 % interval, in score_unit; the noise of different donors is taken as independent",
    ),
    "deviation_high": (pl.Float64, "upper end of it, in score_unit"),
    "deviation_q": (
        pl.Float64,
        "FDR under the model: Benjamini-Hochberg over two-sided p-values of deviation; empty without a null",
    ),
    "score_open": (
        pl.Float64,
        "above_null of the same cells with the donor left open, in score_unit; empty if not screened",
    ),
    "decision_open": (pl.String, "decision with the donor left open"),
    "own_controls_change": (
        pl.Float64,
        "above_null less score_open, in score_unit: what the donor's own controls change, as the model has it",
    ),
    "own_controls_se": (
        pl.Float64,
        "Monte Carlo standard error of own_controls_change, in score_unit; of the computation alone",
    ),
    "own_controls_rank_change": (
        pl.Int64,
        "rank among the same rows with the donor left open less rank_in_donor; above 0: the donor's own controls lift"
        " it",
    ),
    "trained_here": (pl.Int64, "training cells of this perturbation in this context; 0: carried over from elsewhere"),
    "score_unit": (pl.String, "unit of scores"),
}


def patient_table(
    hits: pl.DataFrame, null: pl.DataFrame | None, contexts: Sequence[Context], donor: str, tails: Tails = "learned"
) -> pl.DataFrame:
    """Rank within donors, and compare the donors of the same perturbation in the same cells.

    Parameters
    ----------
    hits
        The ranked and decided table.
    null
        Its pseudo-perturbations; None where the model has none.
    contexts
        Of the screen, those with the donor left open among them.
    donor
        The factor whose values are patients.
    tails
        Of the null, as the campaign asks for them.
    """
    named = [context for context in finest(contexts) if donor in context.as_dict()]
    by_cells: dict[Context, dict[str, str]] = {}
    for context in named:
        by_cells.setdefault(_without(context, donor), {})[context.as_dict()[donor]] = context.label
    parts = [
        _compared(hits, null, cells.label, labels, tails) for cells, labels in sorted(by_cells.items(), key=_label)
    ]
    table = pl.concat(parts)
    table = _with_sharing(table)
    q = false_discoveries(table["_p"].fill_null(np.nan).to_numpy())
    table = _with_ranks(table.with_columns(deviation_q=pl.Series(q).fill_nan(None)))
    return table.sort("donor", "rank_in_donor", "perturbation", "cells", nulls_last=True).select(
        [pl.col(name).cast(kind) for name, (kind, _) in COLUMNS.items()]
    )


def _compared(
    hits: pl.DataFrame, null: pl.DataFrame | None, cells: str, labels: Mapping[str, str], tails: Tails
) -> pl.DataFrame:
    """Compare donors in the same cells; ``labels`` are the contexts by donor."""
    donor_of = {label: donor for donor, label in labels.items()}
    rows = hits.filter(pl.col("context").is_in(list(donor_of)))
    kept = rows.select(
        "perturbation",
        "context",
        *("status", "score", "score_se", "decision", "decision_reason", "score_unit"),
        donor=pl.col("context").replace_strict(donor_of, return_dtype=pl.String),
        cells=pl.lit(cells),
        above_null=pl.col("score") - pl.col("null_centre").fill_null(0.0),
        trained_here=pl.col("training_cells"),
    )
    compared = _deviations(ContextScores.of(hits, null, sorted(donor_of), tails))
    return kept.join(compared, on=["perturbation", "context"], how="left").join(
        _opened(hits, cells), on="perturbation", how="left"
    )


def _deviations(scores: ContextScores) -> pl.DataFrame:
    """Return the deviation of every donor from the mean over donors, with its noise and a two-sided p-value."""
    number = scores.there.sum(axis=1, keepdims=True)
    with np.errstate(invalid="ignore", divide="ignore"):  # no donor, no mean
        mean = np.nansum(scores.above, axis=1, keepdims=True) / number
        noise = np.where(scores.there, np.square(scores.null_sd) + scores.own_variance, 0.0)
        # The mean has a share of the donor's own noise in it.
        squared = noise * np.square(1.0 - 1.0 / number) + (noise.sum(axis=1, keepdims=True) - noise) / np.square(number)
        deviation = np.where(number > 1, scores.above - mean, np.nan)
        z = deviation / np.sqrt(squared)
    margin = scores.quantile(0.95) * np.sqrt(squared)
    judged = scores.there & (scores.obstacles == "")
    p = np.where(judged, np.minimum(1.0, 2.0 * scores.p_values(np.abs(z), mirrored=True)), np.nan)
    shape = scores.above.shape
    return pl.DataFrame(
        {
            "perturbation": np.repeat(np.array(scores.perturbations, dtype=object), shape[1]).tolist(),
            "context": np.tile(np.array(scores.contexts, dtype=object), shape[0]).tolist(),
            "mean_over_donors": np.broadcast_to(mean, shape).ravel(),
            "deviation": deviation.ravel(),
            "deviation_low": (deviation - margin).ravel(),
            "deviation_high": (deviation + margin).ravel(),
            "_p": p.ravel(),
        },
        schema_overrides={"perturbation": pl.String, "context": pl.String},
    ).fill_nan(None)


def _opened(hits: pl.DataFrame, cells: str) -> pl.DataFrame:
    """Return what the same cells say with the donor left open; no rows where that wasn't screened."""
    done = hits.filter((pl.col("context") == cells) & (pl.col("status") == "done"))
    return done.select(
        "perturbation",
        score_open=pl.col("score") - pl.col("null_centre").fill_null(0.0),
        decision_open=pl.col("decision"),
        _se_open=pl.col("score_se"),
    )


def _with_sharing(table: pl.DataFrame) -> pl.DataFrame:
    same = ["perturbation", "cells"]
    done = pl.col("status") == "done"
    hit = pl.col("decision") == HIT
    counted = table.with_columns(
        donors=done.sum().over(same),
        hit_donors=hit.sum().over(same),
        undecided_donors=(pl.col("decision") == UNDECIDED).sum().over(same),
        _all=pl.len().over(same),
        _not=(pl.col("decision") == NOT).sum().over(same),
    )
    shared = (
        pl.when(~hit)
        .then(None)
        .when(pl.col("hit_donors") == pl.col("_all"))
        .then(pl.lit(SHARED))
        .when((pl.col("hit_donors") == 1) & (pl.col("_not") == pl.col("_all") - 1))
        .then(pl.lit(PARTICULAR))
        .when(pl.col("_not") > 0)
        .then(pl.lit(SOME))
        .otherwise(pl.lit(OPEN))
    )
    return counted.with_columns(
        shared=shared,
        own_controls_change=pl.col("above_null") - pl.col("score_open"),
        own_controls_se=(pl.col("score_se").pow(2) + pl.col("_se_open").pow(2)).sqrt(),
    )


def _with_ranks(table: pl.DataFrame) -> pl.DataFrame:
    """Rank rows within donors, and the same rows as they are with the donor left open; equal ones by label."""
    table = table.sort("perturbation", "cells")
    ranked = table.with_columns(
        rank_in_donor=pl.col("score").rank("ordinal", descending=True).over("donor").cast(pl.Int64),
        # Only rows that have both can be compared.
        _own=pl.when(pl.col("score_open").is_not_null()).then(pl.col("above_null")),
    )
    own = pl.col("_own").rank("ordinal", descending=True).over("donor").cast(pl.Int64)
    opened = pl.when(pl.col("_own").is_not_null()).then(pl.col("score_open"))
    return ranked.with_columns(
        own_controls_rank_change=opened.rank("ordinal", descending=True).over("donor").cast(pl.Int64) - own
    )


def _without(context: Context, factor: str) -> Context:
    return Context(tuple(pair for pair in context.factors if pair[0] != factor))


def _label(item: tuple[Context, Any]) -> str:
    return item[0].label
