"""Decisions: hit, not, undecided, failed or refused, for every row of a ranked table, each with its reason.

Two kinds of uncertainty stay apart in the table, ``score_se`` (Monte Carlo) and ``score_sd`` (members of the ensemble).
A decision rests on a third one, measured: the scores of pseudo-perturbations, control cells under labels of their own
(`screening.deciding.null_distribution`). It holds what the cells of a training, its seed and the computation make of
nothing.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import numpy.typing as npt
import polars as pl
from scipy import special, stats

from campaigns.conditions import FEATURES_ONLY
from campaigns.screen_spec import HitsSpec
from screening.deciding.e_values import calibrated, e_benjamini_hochberg
from screening.deciding.null_distribution import LEAST_BLOCKS, Array, freedom
from screening.deciding.null_tails import NullTails, Tails, heaviest_p_values
from screening.deciding.score_posterior import ScorePosterior, score_posterior

HIT, NOT, UNDECIDED, FAILED, REFUSED = "hit", "not", "undecided", "failed", "refused"
HEAVY = 0.01
"""Of normal blocks, one null in a hundred is taken to have heavy tails."""
NO_NULL = "the model has no null; train with `pseudo_perturbations`"


def decide(
    table: pl.DataFrame,
    asked: HitsSpec,
    seed: int,
    blocks: Array | None = None,
    adaptive: npt.NDArray[np.bool_] | None = None,
) -> pl.DataFrame:
    """Fill the columns of a ranked table that depend on all of its rows, and decide.

    Parameters
    ----------
    table
        As :func:`screening.deciding.hits.hit_table` makes it, in any order of rows.
    asked
        False discovery rate, minimum effect and tails of the null.
    seed
        Of the draws behind posterior intervals and ranks.
    blocks
        All pseudo-perturbations, in standard deviations of the null of their context, (contexts, labels), NaN where
        one was not computed.
    adaptive
        Rows whose shards were added until their scores were clear enough, (conditions,); by default none. If there is
        one, all rows get an e-value, and hits are those of e-BH. The scores of such rows have to be of fresh shards
        (`screening.deciding.e_values`).
    """
    known = np.empty((0, 0)) if blocks is None else np.atleast_2d(blocks)
    table = _with_p_values(_with_posterior(table, seed), asked, known, adaptive is not None and bool(adaptive.any()))
    note = _note(asked, known)
    rows = table.select(_NEEDED).to_dicts()
    decided = [_decision(row, asked, note) for row in rows]
    if HIT not in (decision for decision, _ in decided):
        decided = [_without_a_hit(row, asked, each) for row, each in zip(rows, decided, strict=True)]
    return table.with_columns(
        decision=pl.Series([decision for decision, _ in decided], dtype=pl.String),
        decision_reason=pl.Series([reason for _, reason in decided], dtype=pl.String),
    )


_NEEDED = (
    *("status", "reason", "gate", "support", "perturbation", "score", "training_cells_all"),
    *("null_blocks", "null_centre", "null_sd", "minimum_effect", "p_null", "q_value", "high_90"),
)


def has_heavy_tails(blocks: Array) -> bool:
    """Whether blocks in standard deviations stray farther than normal ones (Anscombe and Glynn 1983).

    Few blocks show it only where it is gross; of 20, a Student t with 5 degrees of freedom mostly passes.
    """
    return len(blocks) >= LEAST_BLOCKS and stats.kurtosistest(blocks, alternative="greater").pvalue < HEAVY


def _note(asked: HitsSpec, blocks: Array) -> str:
    """Say what a user of other tails than the learned ones ought to read in every reason."""
    pooled = blocks[np.isfinite(blocks)]
    if asked.tails == "empirical":
        return f"; p is a rank among {len(pooled):,} blocks"
    if asked.tails == "normal" and has_heavy_tails(pooled):
        return f"; normal tails were asked for, and those of the {len(pooled):,} blocks are heavier"
    return ""


def _with_p_values(table: pl.DataFrame, asked: HitsSpec, blocks: Array, adaptive: bool) -> pl.DataFrame:
    """Compare scores with the null, and adjust for their number.

    By Benjamini and Hochberg (1995); if the number of shards depended on scores, by e-BH (Wang and Ramdas 2022), which
    needs nothing of how scores go together.
    """
    places = np.flatnonzero([_is_tested(row) for row in table.select(_NEEDED).iter_rows(named=True)])
    p_values, e_values, q_values = np.full((3, table.height), np.nan)
    if len(places):
        p_values[places] = _p_values(table[places], asked, blocks)
        if adaptive:
            e_values[places] = calibrated(p_values[places])
            q_values[places] = e_benjamini_hochberg(e_values[places])
        else:
            q_values[places] = stats.false_discovery_control(p_values[places], method="bh")
    return table.with_columns(
        p_null=pl.Series(p_values).fill_nan(None),
        e_value=pl.Series(e_values).fill_nan(None),
        q_value=pl.Series(q_values).fill_nan(None),
    )


def _p_values(rows: pl.DataFrame, asked: HitsSpec, blocks: Array) -> Array:
    """Return the chance of each score without an effect, with the tails that were asked for, (conditions,)."""
    z = ((rows["score"] - rows["null_centre"]) / rows["null_sd"]).to_numpy()
    return null_p_values(z, rows["null_blocks"].to_numpy(), blocks, asked.tails)


def null_p_values(z: Array, numbers: npt.NDArray[np.integer], blocks: Array, tails: Tails) -> Array:
    """Return the chance of such scores or higher ones without an effect, (scores,).

    Parameters
    ----------
    z
        Scores less the null's centre, over its standard deviation, (scores,).
    numbers
        Of the blocks that centre and standard deviation come from, (scores,).
    blocks
        All of them, standardised, (contexts, labels), with NaN where one was not computed.
    tails
        As the campaign asks for under ``hits``.
    """
    if tails == "empirical":
        return rank_p_values(z, blocks[np.isfinite(blocks)])
    if tails == "normal":
        return np.asarray(special.stdtr([freedom(int(number)) for number in numbers], -z), dtype=np.float64)
    if tails == "heaviest":
        return heaviest_p_values(z, numbers)
    return NullTails.of(blocks).p_values(z, numbers)


def rank_p_values(z: Array, blocks: Array) -> Array:
    """Return p-values as ranks among blocks, both in standard deviations.

    They assume nothing of tails, and resolve nothing under 1 / (blocks + 1).
    """
    at_least = len(blocks) - np.searchsorted(np.sort(blocks), z, side="left")
    return np.asarray((1.0 + at_least) / (1.0 + len(blocks)), dtype=np.float64)


def _is_tested(row: Mapping[str, Any]) -> bool:
    return row["status"] == "done" and not _obstacle(row)


def _with_posterior(table: pl.DataFrame, seed: int) -> pl.DataFrame:
    """Give posterior means, intervals and rank intervals to all rows whose null has a spread."""
    places = np.flatnonzero((table["status"] == "done") & (table["null_sd"].fill_null(0.0) > 0))
    if not len(places):
        return table
    rows = table[places].select("perturbation", "context", "score", "null_centre")
    # Draws must not depend on the order of rows.
    order = np.array(rows.with_row_index("at").sort("perturbation", "context")["at"].to_list(), dtype=np.int64)
    above = (rows["score"] - rows["null_centre"]).to_numpy()
    found = score_posterior(above[order], _noise(table[places])[order], seed)
    kept = places[order]
    columns = {name: _spread_out(values, kept, table) for name, values in _posterior_columns(found).items()}
    return table.with_columns(**columns)


def _noise(rows: pl.DataFrame) -> np.ndarray:
    """Return the standard deviation of each score around its effect.

    That of the null, or what Monte Carlo error and members make of it together, where that is larger. The null's is an
    estimate from few blocks: as a t distribution is wider than a normal one.
    """
    degrees = np.array([max(freedom(number), 3) for number in rows["null_blocks"]], dtype=float)
    measured = np.square(rows["null_sd"].to_numpy()) * degrees / (degrees - 2.0)
    own = np.square(rows["score_se"].to_numpy()) + np.square(rows["score_sd"].fill_null(0.0).to_numpy())
    return np.sqrt(np.maximum(measured, own))


def _posterior_columns(found: ScorePosterior) -> dict[str, np.ndarray]:
    return {
        "rank_low": found.rank_low,
        "rank_high": found.rank_high,
        "posterior_mean": found.mean,
        "low_50": found.low[0.5],
        "high_50": found.high[0.5],
        "low_90": found.low[0.9],
        "high_90": found.high[0.9],
    }


def _spread_out(values: np.ndarray, places: np.ndarray, table: pl.DataFrame) -> pl.Series:
    """Put values at their rows; all others stay empty."""
    whole = np.full(table.height, np.nan)
    whole[places] = values
    series = pl.Series(whole).fill_nan(None)
    return series.cast(pl.Int64) if values.dtype.kind == "i" else series


def _decision(row: Mapping[str, Any], asked: HitsSpec, note: str) -> tuple[str, str]:
    if row["status"] != "done":
        return FAILED, row["reason"] or ""
    if row["gate"] == "fail":
        return REFUSED, "the model's cells there aren't like real ones (gate: fail)"
    obstacle = _obstacle(row)
    if obstacle:
        return UNDECIDED, obstacle
    decision, reason = _judged(row, asked)
    return decision, f"{reason}{note}"


def _without_a_hit(row: Mapping[str, Any], asked: HitsSpec, decided: tuple[str, str]) -> tuple[str, str]:
    """Take back a `not` that rests on the null alone: where nothing stands out, small effects look like none.

    The posterior shrinks all scores to nothing then, and the minimum effect is what the data could have shown, not what
    would matter. Who names `hits.minimum_effect` has said what matters.
    """
    if decided[0] != NOT or asked.minimum_effect >= row["minimum_effect"]:
        return decided
    return UNDECIDED, (
        f"nothing in this screen stands out of the null, so an effect under {row['minimum_effect']:.3g} can't be told"
        " from none; set hits.minimum_effect to what would matter"
    )


def _obstacle(row: Mapping[str, Any]) -> str:
    """Say why a condition can't be judged by the null; empty if it can."""
    if row["null_blocks"] is None:
        return NO_NULL
    if row["null_blocks"] < LEAST_BLOCKS:
        return (
            f"the null has {row['null_blocks']} pseudo-perturbations, and q-values need {LEAST_BLOCKS}: train with more"
        )
    if row["null_sd"] == 0:
        return "all pseudo-perturbations score the same, so there is no null to judge by"
    if not is_judged(row):
        what = "known by features alone" if row["support"] == FEATURES_ONLY else "made of parts that were seen apart"
        return f"{what}, and the null speaks of perturbations that were trained"
    return ""


def is_judged(row: Mapping[str, Any]) -> bool:
    """Whether the null speaks of such a condition: one whose label was trained, as the null's labels were."""
    return row["support"] != FEATURES_ONLY and row["training_cells_all"] > 0


def _judged(row: Mapping[str, Any], asked: HitsSpec) -> tuple[str, str]:
    q, above = row["q_value"], row["score"] - row["null_centre"]
    least = max(row["minimum_effect"], asked.minimum_effect)
    size = f"{above:.3g} above the null"
    if q <= asked.fdr and above >= least:
        return HIT, f"q {q:.2g} is within {asked.fdr:g}, and {size} is no less than the minimum effect {least:.3g}"
    if row["high_90"] < least:
        return NOT, f"{size}, and the upper end {row['high_90']:.3g} of the 90 % interval is under {least:.3g}"
    if q <= asked.fdr:
        return UNDECIDED, f"q {q:.2g} is within {asked.fdr:g}, but {size} is less than the minimum effect {least:.3g}"
    return UNDECIDED, f"q {q:.2g} is over {asked.fdr:g}, and the 90 % interval reaches up to {row['high_90']:.3g}"
