"""The tables of an evaluation: scores, summaries, comparisons, and who was run on what.

::

    scores.parquet        metric × fold × model × seed × question
    summary.parquet       metric × model: mean and median over the questions, with bootstrap intervals
    comparisons.parquet   metric × model × baseline: paired difference with its interval, and the verdict
    runs.parquet          model × fold × seed: done, not run or failed, with the settings and the reason
    left_out.parquet      what can't be scored on these cells, and why
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import polars as pl

from campaigns.evaluation_spec import REPLICATE
from lingshu_core.metric_catalogue import METRICS, SCALED
from lingshu_core.score_summary import compare, has_scale, scale_scores, summarise
from lingshu_core.splits import Question, Split
from screening.evaluating.evaluation_plan import Contender, Unit
from screening.evaluating.evaluation_store import UnitResult

DONE, NOT_RUN, FAILED, NO_VALUE = "done", "not run", "failed", "no value"
MEAN_RESPONSES = ("context_mean", "perturbation_mean")
"""What is 0 on the scale of scores; the first that was run."""
DIRECTION = ("pearson_systema", "pearson_delta")
"""The first of them that these cells can carry decides."""
SIZE, APART = "wmse", "pds_l1"
RIVALS = ("model", "baseline")
NO_SCALE = "half of the real cells are not certainly better than the mean response: there is nothing to scale by"
LEAST_PERTURBATIONS = 6
"""With fewer perturbations the unit of all intervals is the single question."""
_RUNS: Mapping[str, Any] = {
    **dict.fromkeys(("model", "role", "fold"), pl.String),
    "seed": pl.Int64,
    "status": pl.String,
    "asked": pl.Int64,
    "answered": pl.Int64,
    "reason": pl.String,
    "paths": pl.String,
    "steps": pl.Int64,
    "schedule": pl.String,
    "guidance": pl.Float64,
    "prior": pl.String,
    "parameters": pl.Int64,
    "epochs": pl.Int64,
    "digest": pl.String,
}


@dataclass(frozen=True)
class Run:
    """A unit and what came of it: a result, or the reason why there is none."""

    contender: Contender
    unit: Unit
    result: UnitResult | None
    reason: str = ""

    @property
    def failed(self) -> bool:
        """Whether there is no result."""
        return self.result is None


@dataclass(frozen=True)
class Tables:
    """All tables of an evaluation; columns as in docs/evaluate.md."""

    scores: pl.DataFrame
    summary: pl.DataFrame
    comparisons: pl.DataFrame
    runs: pl.DataFrame
    left_out: pl.DataFrame

    def files(self) -> dict[str, pl.DataFrame]:
        """Return the tables by the names of their files."""
        return {f"{name}.parquet": table for name, table in vars(self).items()}


def make_tables(asked: Sequence[Contender], runs: Sequence[Run], split: Split, noise: pl.DataFrame | None) -> Tables:
    """Fold all results into tables.

    Parameters
    ----------
    asked
        All contenders, in the order in which they are shown.
    runs
        Every unit of the evaluation.
    split
        Whose questions they answered.
    noise
        The same scores against resampled real cells (``Truth.noise``), which tell what is decided at all.
    """
    measured = score_table(runs, split)
    unit = unit_of(measured)
    lacking = without_scale(measured)
    scores = with_scaled(measured.filter(~pl.col("metric").is_in(lacking)))
    comparisons = compare_all(asked, measured, noise, unit)
    summary = _described(summarise(scores, unit=unit), asked)
    order = [contender.name for contender in asked]
    shown = sorted(runs, key=lambda run: order.index(run.contender.name))
    return Tables(scores, summary, comparisons, run_table(shown, split), left_out_table(shown, lacking))


def deciding_metrics(metrics: Iterable[str]) -> tuple[str, ...]:
    """Return those that decide on these cells among the metrics that have values, in the order of their weight."""
    there = set(metrics)
    direction = next((name for name in DIRECTION if name in there), None)
    return tuple(name for name in (direction, SIZE, APART) if name in there)


def compare_all(
    asked: Sequence[Contender], scores: pl.DataFrame, noise: pl.DataFrame | None, unit: str
) -> pl.DataFrame:
    """Compare every model with every baseline, metric by metric.

    The metrics that decide were chosen beforehand, so they are corrected among themselves for being several, and all
    others together: the column ``deciding`` tells which.
    """
    deciding = deciding_metrics(scores["metric"])
    present = set(scores["model"])
    names = {role: [each.name for each in asked if each.role == role and each.name in present] for role in RIVALS}
    parts = []
    for decides in (True, False):
        some = scores.filter((pl.col("metric").is_in(deciding) == decides) & ~pl.col("metric").str.ends_with(SCALED))
        there = set(some["model"])
        rivals = {role: [name for name in found if name in there] for role, found in names.items()}
        found = compare(some, models=rivals["model"], baselines=rivals["baseline"], noise=noise, unit=unit)
        parts.append(found.with_columns(pl.lit(decides).alias("deciding")))
    return pl.concat(parts)


def with_scaled(scores: pl.DataFrame) -> pl.DataFrame:
    """Add our own metrics on the scale from the mean response of the context, 0, to a replicate, 1.

    Where nothing was seen in the context, the mean response of all contexts stands for 0.
    """
    ends = _ends_of_scale(scores)
    if ends is None:
        return scores
    own = scores.filter(pl.col("group") == "effects")
    return _in_order(pl.concat([scores, scale_scores(own, **ends)]))


def without_scale(scores: pl.DataFrame) -> list[str]:
    """List scores on a package's scale whose ends can't be told apart here.

    The package scales by two means; whether they differ beyond chance, only the scores of all perturbations tell.
    """
    ends = _ends_of_scale(scores)
    scaled = [name for name in scores["metric"].unique(maintain_order=True) if name.endswith(SCALED)]
    return [name for name in scaled if ends is not None and not has_scale(scores, name.removesuffix(SCALED), **ends)]


def _ends_of_scale(scores: pl.DataFrame) -> dict[str, str] | None:
    present = set(scores["model"])
    baseline = next((name for name in MEAN_RESPONSES if name in present), None)
    return None if baseline is None or REPLICATE not in present else {"baseline": baseline, "replicate": REPLICATE}


def _in_order(scores: pl.DataFrame) -> pl.DataFrame:
    return scores.sort([pl.col("metric").cast(pl.Enum(list(METRICS))), "fold"], maintain_order=True)


def score_table(runs: Iterable[Run], split: Split) -> pl.DataFrame:
    """Put the scores of all units into one long table; in a metric and fold, models stand in the order of the plan."""
    questions = {(fold.name, question.label): question for fold in split.folds for question in fold.questions}
    parts = [
        run.result.scores.values.with_columns(
            pl.lit(run.contender.name).alias("model"),
            pl.lit(run.contender.role).alias("role"),
            pl.lit(run.unit.seed, dtype=pl.Int64).alias("seed"),
        )
        for run in runs
        if run.result is not None
    ]
    empty = pl.DataFrame(
        schema=dict.fromkeys(("metric", "fold", "label"), pl.String)
        | {"value": pl.Float64, "model": pl.String, "role": pl.String, "seed": pl.Int64}
    )
    table = pl.concat([empty, *parts])
    keys = list(zip(table["fold"], table["label"], strict=True))
    described = table.select(
        "metric",
        pl.Series("group", [METRICS[name].group for name in table["metric"]], dtype=pl.String),
        "fold",
        "model",
        "role",
        "seed",
        "label",
        pl.Series("perturbation", [_perturbation(questions.get(key)) for key in keys], dtype=pl.String),
        pl.Series("context", [_context(questions.get(key)) for key in keys], dtype=pl.String),
        "value",
    )
    return _in_order(described)


def _perturbation(question: Question | None) -> str | None:
    return question.perturbation if question else None


def _context(question: Question | None) -> str | None:
    """Write the factors of a context; a score of a whole fold or context has none."""
    return ", ".join(f"{factor}={value}" for factor, value in question.context.items()) if question else None


def unit_of(scores: pl.DataFrame) -> str:
    """Return what intervals are resampled over: perturbations, or questions where there are few perturbations.

    The same perturbation in two contexts is no second perturbation: their errors go together.
    """
    return "perturbation" if scores["perturbation"].drop_nulls().n_unique() >= LEAST_PERTURBATIONS else "label"


def _described(summary: pl.DataFrame, asked: Sequence[Contender]) -> pl.DataFrame:
    """Add group, direction and role, and rows without values: of contenders that were not run, and of single metrics.

    The two that a scale is made of have no row on it.
    """
    roles = {contender.name: contender.role for contender in asked}
    metrics = [name for name in METRICS if name in set(summary["metric"])]
    ends, there = {REPLICATE, *MEAN_RESPONSES}, set(summary.select("metric", "model").iter_rows())
    every = [(metric, name) for metric in metrics for name in roles]
    keys = pl.DataFrame(
        [key for key in every if key in there or not (key[0].endswith(SCALED) and key[1] in ends)],
        schema={"metric": pl.String, "model": pl.String},
        orient="row",
    )
    found = keys.join(summary, on=["metric", "model"], how="left", maintain_order="left")
    return found.with_columns(
        pl.col("metric").replace_strict({name: METRICS[name].group for name in metrics}, default=None).alias("group"),
        pl.col("metric").replace_strict({name: METRICS[name].better for name in metrics}, default=None).alias("better"),
        pl.col("model").replace_strict(roles, default=None).alias("role"),
        pl.when(pl.col("units").is_not_null())
        .then(pl.lit(DONE))
        .when(pl.col("model").is_in(summary["model"].unique().to_list()))
        .then(pl.lit(NO_VALUE))
        .otherwise(pl.lit(NOT_RUN))
        .alias("status"),
    )


def run_table(runs: Iterable[Run], split: Split) -> pl.DataFrame:
    """Tell who was run on what, with which settings, and why not."""
    return pl.DataFrame([_run_row(run, split) for run in runs], schema=_RUNS)


def _run_row(run: Run, split: Split) -> dict[str, Any]:
    labels = {question.label for question in split.fold(run.unit.fold).questions}
    answered = len(labels & set(run.result.labels)) if run.result else 0
    if run.contender.role == REPLICATE and run.result:
        answered = run.result.scores.values["label"].n_unique()
    estimator = run.contender.estimator
    reasons = list(dict.fromkeys(run.result.unanswered.values())) if run.result else [run.reason]
    facts = run.result.facts if run.result else {}
    return {
        "model": run.contender.name,
        "role": run.contender.role,
        "fold": run.unit.fold,
        "seed": run.unit.seed,
        "status": FAILED if run.result is None else DONE if answered else NOT_RUN,
        "asked": len(labels),
        "answered": answered,
        "reason": "; ".join(reasons[:1]) + (f" (and {len(reasons) - 1} more)" if len(reasons) > 1 else ""),
        **{name: estimator.get(name) for name in ("steps", "schedule", "guidance", "prior")},
        **{name: facts.get(name) for name in ("paths", "parameters", "epochs", "digest")},
    }


def left_out_table(runs: Sequence[Run], without_scale: Iterable[str] = ()) -> pl.DataFrame:
    """Tell which metrics have no value, for which models, folds and questions, and why."""
    done = {run.contender.name: None for run in runs if run.result is not None}
    parts = [
        run.result.scores.left_out.with_columns(pl.lit(run.contender.name).alias("model"))
        for run in runs
        if run.result is not None
    ]
    rows = [(metric, None, None, NO_SCALE, model) for metric in without_scale for model in done]
    table = pl.DataFrame(
        rows, schema=dict.fromkeys(("metric", "fold", "label", "reason", "model"), pl.String), orient="row"
    )
    return pl.concat([table, *parts]).unique(maintain_order=True)
