"""``selective.parquet``: every perturbation × value of a factor: strong here, weak elsewhere?

Selective is a statement about all of them: an effect here, and in every other context less than a share w of it
(``across.weak``; 1 by default, as a model that carries effects over makes differences too small). Its p-value is the
largest of these (intersection-union test, Berger 1982, doi:10.1080/00401706.1982.10487790). That a score elsewhere is
less than its share of that here is a contrast: w·here − there, above 0.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np
import numpy.typing as npt
import polars as pl

from campaigns.screen_spec import HitsSpec
from screening.answers.context_groups import ContextGroups, false_discoveries
from screening.answers.context_scores import Array
from screening.deciding.decisions import FAILED, NOT, UNDECIDED

SELECTIVE = "selective"

COLUMNS: Mapping[str, tuple[Any, str]] = {
    "rank": (pl.Int64, "rank by difference, 1 is best; empty where there is none"),
    "perturbation": (pl.String, "as in the ranked table"),
    "context": (pl.String, "value of the factor: here; what else tells contexts apart is averaged over"),
    "decision": (pl.String, "selective (works here, less in every other context), not, undecided or failed"),
    "decision_reason": (pl.String, "why it was decided so"),
    "factor": (pl.String, "factor whose values are compared"),
    "score_here": (pl.Float64, "score above the null here, in score_unit"),
    "others_mean": (pl.Float64, "mean of the scores above the null in the other contexts, in score_unit"),
    "difference": (pl.Float64, "score_here less others_mean, in score_unit"),
    "difference_low": (
        pl.Float64,
        "lower end of its 90 % interval, in score_unit; noise here and elsewhere is taken as independent",
    ),
    "difference_high": (pl.Float64, "upper end of it, in score_unit"),
    "difference_z": (pl.Float64, "difference over its standard deviation, without a unit"),
    "strongest_other": (pl.String, "other context with the highest score above the null"),
    "strongest_other_score": (pl.Float64, "score above the null there, in score_unit"),
    "p_selective": (
        pl.Float64,
        "largest chance, where it is not so, of such a score here and of so much weaker ones in each other context",
    ),
    "q_value": (
        pl.Float64,
        "FDR under the model: Benjamini-Hochberg over p_selective of all rows; no statement about cells in a dish",
    ),
    "trained_here": (
        pl.Int64,
        "training cells of this perturbation here; 0: its effect is carried over from elsewhere",
    ),
    "noise_correlation": (
        pl.Float64,
        "correlation of the null between contexts: near 1, the model carries one effect over to all, and differences"
        " come from the control cells; empty without a null",
    ),
    "errors": (
        pl.String,
        "what the noise is known from: null (measured), Monte Carlo and members, or Monte Carlo only (too sure)",
    ),
    "score_unit": (pl.String, "unit of scores"),
}


def selective_table(
    groups: ContextGroups,
    asked: HitsSpec,
    weak: float,
    shared: Mapping[str, Any],
    trained: npt.NDArray[np.int64],
) -> pl.DataFrame:
    """Compare every value of the factor with the others, and decide.

    Parameters
    ----------
    groups
        Scores by the values of the factor, two or more.
    asked
        False discovery rate and minimum effect.
    weak
        Share of the score here that the scores elsewhere have to be under.
    shared
        Columns that are the same in every row: ``factor``, ``score_unit``.
    trained
        Training cells, (perturbations, values).
    """
    parts = [_compared(groups, place, weak) for place in range(len(groups.values))]
    p = np.stack([part.pop("p_selective") for part in parts], axis=1)
    obstacles = [groups.obstacle(row) for row in range(len(p))]
    p = np.where(np.array([not text for text in obstacles], dtype=bool)[:, None], p, np.nan)
    q = false_discoveries(p)
    tables = []
    for place, part in enumerate(parts):
        decided = list(_decisions(groups, place, q[:, place], asked, weak, obstacles))
        part |= {"p_selective": p[:, place], "q_value": q[:, place], "trained_here": trained[:, place]}
        part |= {"decision": [each for each, _ in decided], "decision_reason": [reason for _, reason in decided]}
        columns = {"perturbation": groups.scores.perturbations, **part}
        # Where a condition failed everywhere but here, a column may hold nothing at all.
        tables.append(pl.DataFrame(columns, schema_overrides={"strongest_other": pl.String}))
    table = pl.concat(tables).with_columns(
        noise_correlation=pl.lit(groups.scores.noise_correlation),
        errors=pl.lit(groups.scores.errors),
        **{name: pl.lit(value) for name, value in shared.items()},
    )
    return _ranked(table)


def _compared(groups: ContextGroups, place: int, weak: float) -> dict[str, Any]:
    """Compare one value with the others: columns, each (perturbations,)."""
    others = np.arange(len(groups.values)) != place
    here, there = groups.above[:, place], groups.above[:, others]
    number = np.isfinite(there).sum(axis=1)
    with np.errstate(invalid="ignore", divide="ignore"):  # no other context has a score
        mean = np.where(number > 0, np.nansum(there, axis=1) / number, np.nan)
        noise = np.nansum(groups.variance[:, others], axis=1) / np.square(number)
        deviation = np.sqrt(groups.variance[:, place] + noise)
        z = (here - mean) / deviation
    margin = groups.scores.quantile(0.95) * deviation
    strongest = np.argmax(np.where(np.isfinite(there), there, -np.inf), axis=1)
    names = [name for name, kept in zip(groups.values, others, strict=True) if kept]
    chances = groups.scores.p_values(_weaker(groups, place, weak), mirrored=True)  # (perturbations, others)
    return {
        "context": [groups.values[place]] * len(here),
        "score_here": here,
        "others_mean": mean,
        "difference": here - mean,
        "difference_low": here - mean - margin,
        "difference_high": here - mean + margin,
        "difference_z": z,
        "strongest_other": [names[at] if some else None for at, some in zip(strongest, number > 0, strict=True)],
        "strongest_other_score": np.where(number > 0, there[np.arange(len(here)), strongest], np.nan),
        "p_selective": np.maximum(groups.p[:, place], chances.max(axis=1)),
    }


def _weaker(groups: ContextGroups, place: int, weak: float) -> Array:
    """Return how far each other score is under its share of that here, in standard deviations: w·here − there."""
    others = np.arange(len(groups.values)) != place
    gap = weak * groups.above[:, [place]] - groups.above[:, others]
    variance = weak**2 * groups.variance[:, [place]] + groups.variance[:, others]
    with np.errstate(invalid="ignore", divide="ignore"):  # without noise no statement: told as an obstacle
        return np.asarray(gap / np.sqrt(variance), dtype=np.float64)


def _decisions(
    groups: ContextGroups, place: int, q: Array, asked: HitsSpec, weak: float, obstacles: list[str]
) -> Iterator[tuple[str, str]]:
    here, least = groups.above[:, place], groups.least[:, place]
    there = np.delete(groups.above, place, axis=1)
    upper = here + groups.scores.quantile(0.95) * np.sqrt(groups.variance[:, place])
    weaker = _weaker(groups, place, weak)
    # The strongest of many is strong by chance (Bonferroni).
    bound = -groups.scores.quantile(1.0 - 0.05 / weaker.shape[1])
    names = [name for at, name in enumerate(groups.values) if at != place]
    for row, obstacle in enumerate(obstacles):
        if not np.isfinite(here[row]):
            yield FAILED, obstacle
        elif obstacle:
            yield UNDECIDED, groups.scores.doubt + obstacle
        elif upper[row] < least[row]:
            yield (
                NOT,
                f"{here[row]:.3g} above the null, and the upper end {upper[row]:.3g} of the 90 % interval is under"
                + (f" the minimum effect {least[row]:.3g}"),
            )
        else:
            at = int(np.argmin(weaker[row]))
            size = f"{here[row]:.3g} above the null here, and {there[row, at]:.3g} in {names[at]}"
            ahead = float(weak * here[row] - there[row].max())
            if weaker[row, at] < bound:
                yield NOT, f"{size}, which is over {weak:g} of it"
            elif q[row] > asked.fdr:
                yield UNDECIDED, f"q {q[row]:.2g} is over {asked.fdr:g}: {size}"
            elif min(here[row], ahead) < least[row]:
                yield (
                    UNDECIDED,
                    f"q {q[row]:.2g} is within {asked.fdr:g}, but less than the minimum effect ahead: {size}",
                )
            else:
                yield SELECTIVE, f"q {q[row]:.2g} is within {asked.fdr:g}: {size}"


def _ranked(table: pl.DataFrame) -> pl.DataFrame:
    table = table.fill_nan(None).sort(
        ["difference", "perturbation", "context"], descending=[True, False, False], nulls_last=True
    )
    ranked = table.with_columns(rank=pl.when(pl.col("difference").is_not_null()).then(pl.int_range(1, pl.len() + 1)))
    return ranked.select([pl.col(name).cast(kind) for name, (kind, _) in COLUMNS.items()])
