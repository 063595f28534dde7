"""``pan_context.parquet``: what a perturbation does over all values of a factor, and whether it works in each of them.

Pan-context is a statement about the worst context: an effect in all is an effect in each. Its p-value is the largest of
the contexts' (intersection-union test, Berger 1982, doi:10.1080/00401706.1982.10487790), whatever contexts share. The
meta-analysis beside it says how large the effect is on the whole and how far contexts differ.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import numpy.typing as npt
import polars as pl

from campaigns.screen_spec import HitsSpec
from screening.answers.context_groups import ContextGroups, false_discoveries
from screening.answers.meta_analysis import Pooled, meta_analysis
from screening.answers.rank_aggregation import normalised_ranks, rank_aggregation
from screening.deciding.decisions import FAILED, NOT, UNDECIDED

PAN = "pan"
DIFFERENT = 0.05
"""Effects whose heterogeneity has a smaller p-value are not consistent."""
CARRIED_OVER = 0.95
"""With a larger correlation of the null between contexts, a model says of all of them what it learned of one."""

COLUMNS: Mapping[str, tuple[Any, str]] = {
    "rank": (pl.Int64, "rank by worst_above_null, 1 is best; empty where no context has a score"),
    "perturbation": (pl.String, "as in the ranked table"),
    "decision": (
        pl.String,
        "pan (works in every context, and effects differ no more than noise), not (too small in one), undecided or"
        " failed",
    ),
    "decision_reason": (pl.String, "why it was decided so"),
    "factor": (pl.String, "factor whose values are the contexts; what else tells contexts apart is averaged over"),
    "contexts": (pl.Int64, "values of the factor in the screen"),
    "contexts_done": (pl.Int64, "values with a score"),
    "contexts_trained": (
        pl.Int64,
        "values in which the model was trained on cells of this perturbation; in the others its effect is carried over",
    ),
    "contexts_hit": (pl.Int64, "values with a score of at least their minimum effect above the null"),
    "pooled_effect": (
        pl.Float64,
        "effect in a context on average, score above the null (random effects, DerSimonian and Laird), in score_unit",
    ),
    "pooled_low": (
        pl.Float64,
        "lower end of its 90 % interval, in score_unit; noise that contexts share doesn't average out",
    ),
    "pooled_high": (pl.Float64, "upper end of it, in score_unit"),
    "prediction_low": (
        pl.Float64,
        "lower end of the 90 % interval of the effect in a new context of this kind (Higgins et al. 2009), in"
        " score_unit; empty for fewer than three contexts",
    ),
    "prediction_high": (pl.Float64, "upper end of it, in score_unit"),
    "i_squared": (
        pl.Float64,
        "I², share of the variation between contexts that is more than the noise of single scores, from 0 to 1",
    ),
    "tau_squared": (pl.Float64, "τ², variance of the effect between contexts, in score_unit squared"),
    "heterogeneity_q": (
        pl.Float64,
        "Cochran's Q of the effects, without a unit; contexts less one where they are equal",
    ),
    "heterogeneity_p": (pl.Float64, "chance of such a Q or a larger one where effects are equal (chi-squared)"),
    "worst_context": (pl.String, "value of the factor with the lowest score above the null"),
    "worst_score": (pl.Float64, "score there, above the null, in score_unit"),
    "p_worst": (
        pl.Float64,
        "largest chance, of all contexts, of such a score or a higher one without an effect (intersection-union test)",
    ),
    "q_value": (
        pl.Float64,
        "FDR under the model: Benjamini-Hochberg over p_worst of all perturbations; no statement about cells in a dish",
    ),
    "rank_rho": (pl.Float64, "robust rank aggregation, ρ: smallest probability of the ranks' order statistics"),
    "rank_p": (
        pl.Float64,
        "bound of its p-value (Kolde et al. 2012); takes rankings as independent, and is too small where"
        " noise_correlation is high",
    ),
    "noise_correlation": (
        pl.Float64,
        "correlation of the null between contexts: near 1, the model carries one effect over to all; empty without a"
        " null",
    ),
    "errors": (
        pl.String,
        "what the noise is known from: null (measured), Monte Carlo and members, or Monte Carlo only (too sure)",
    ),
    "score_unit": (pl.String, "unit of scores"),
}


def pan_table(
    groups: ContextGroups, asked: HitsSpec, shared: Mapping[str, Any], trained: npt.NDArray[np.int64]
) -> pl.DataFrame:
    """Pool and decide every perturbation; the weakest link decides the order.

    Parameters
    ----------
    groups
        Scores by the values of the factor.
    asked
        False discovery rate and minimum effect.
    shared
        Columns that are the same in every row: ``factor``, ``score_unit``.
    trained
        Values of the factor with training cells of each perturbation, (perturbations,).
    """
    done = np.isfinite(groups.above)
    found = meta_analysis(groups.above, groups.widened_variance, groups.variance_of)
    worst = np.where(done.any(axis=1), np.argmin(np.where(done, groups.above, np.inf), axis=1), -1)
    p = np.where(done.all(axis=1), groups.p.max(axis=1), np.nan)
    judged = np.array([not groups.obstacle(row) for row in range(len(done))], dtype=bool)
    p = np.where(judged, p, np.nan)
    q = false_discoveries(p)
    rho, rank_p = rank_aggregation(normalised_ranks(groups.above))
    decided = [_decision(groups, row, float(q[row]), found, asked) for row in range(len(done))]
    table = pl.DataFrame(
        {
            "perturbation": groups.scores.perturbations,
            "decision": [decision for decision, _ in decided],
            "decision_reason": [reason for _, reason in decided],
            "contexts_done": found.number,
            "contexts_trained": trained,
            "contexts_hit": (done & (groups.above >= groups.least)).sum(axis=1),
            "pooled_effect": found.effect,
            "pooled_low": found.low,
            "pooled_high": found.high,
            "prediction_low": found.prediction_low,
            "prediction_high": found.prediction_high,
            "i_squared": found.i_squared,
            "tau_squared": found.tau_squared,
            "heterogeneity_q": found.q,
            "heterogeneity_p": found.q_p,
            "worst_context": [groups.values[place] if place >= 0 else None for place in worst],
            "worst_score": np.where(worst >= 0, groups.above[np.arange(len(worst)), worst], np.nan),
            "p_worst": p,
            "q_value": q,
            "rank_rho": rho,
            "rank_p": rank_p,
        }
    ).with_columns(
        contexts=pl.lit(len(groups.values)),
        noise_correlation=pl.lit(groups.scores.noise_correlation),
        errors=pl.lit(groups.scores.errors),
        **{name: pl.lit(value) for name, value in shared.items()},
    )
    return _ranked(table)


def _ranked(table: pl.DataFrame) -> pl.DataFrame:
    table = table.fill_nan(None).sort(
        ["worst_score", "perturbation"], descending=[True, False], nulls_last=True, maintain_order=True
    )
    ranked = table.with_columns(rank=pl.when(pl.col("worst_score").is_not_null()).then(pl.int_range(1, pl.len() + 1)))
    return ranked.select([pl.col(name).cast(kind) for name, (kind, _) in COLUMNS.items()])


def _decision(groups: ContextGroups, row: int, q: float, found: Pooled, asked: HitsSpec) -> tuple[str, str]:
    obstacle = groups.obstacle(row)
    if found.number[row] == 0:
        return FAILED, obstacle
    if obstacle:
        return UNDECIDED, groups.scores.doubt + obstacle
    above, least = groups.above[row], groups.least[row]
    weakest = int(np.argmin(above - least))
    where = f"{above[weakest]:.3g} above the null in {groups.values[weakest]}"
    limit = f"the minimum effect {least[weakest]:.3g}"
    if too_small := _too_small(groups, row):
        return NOT, too_small
    if q > asked.fdr:
        return UNDECIDED, f"q {q:.2g} is over {asked.fdr:g}; the worst is {where}"
    if above[weakest] < least[weakest]:
        return UNDECIDED, f"q {q:.2g} is within {asked.fdr:g}, but {where} is less than {limit}"
    if found.q_p[row] < DIFFERENT:
        shares = f"I² {found.i_squared[row]:.2f}, p {found.q_p[row]:.2g}"
        return UNDECIDED, f"above the null everywhere, but contexts differ by more than noise ({shares}); {where}"
    reason = f"q {q:.2g} is within {asked.fdr:g}, and the worst of all, {where}, is no less than {limit}"
    return PAN, reason + _carried_over(groups.scores.noise_correlation)


def _carried_over(correlation: float) -> str:
    """Say where the contexts' tests are nearly one and the same; empty if they aren't."""
    if not correlation >= CARRIED_OVER:
        return ""
    return (
        f"; but this model carries one effect over to all contexts (noise correlation {correlation:.3g}): see whether"
        " it stands with one trained with `model: {overrides: {interaction: true}}`"
    )


def _too_small(groups: ContextGroups, row: int) -> str:
    """Say where an effect is too small to matter; empty if that isn't clear anywhere."""
    above, least = groups.above[row], groups.least[row]
    # The lowest of many upper ends is low by chance: each is that of a wider interval (Bonferroni).
    highest = above + groups.scores.quantile(1.0 - 0.05 / len(above)) * np.sqrt(groups.variance[row])
    at = int(np.argmin(highest - least))
    if highest[at] >= least[at]:
        return ""
    interval = f"the upper end {highest[at]:.3g} of the 90 % interval for the least of {len(above)}"
    return f"in {groups.values[at]} it is {above[at]:.3g} above the null, and {interval} is under {least[at]:.3g}"
