"""The tables of a set: medians over training seeds with intervals over what was held out, and what they decide.

A value is the mean over perturbations (or cell types, donors) for each seed, and the median of the seeds. Its interval
is a bootstrap interval of 95 % over those units. Differences with a baseline are paired, seeds averaged, with interval
and signed-rank test of `lingshu_core.score_summary.compare`; where they don't agree it is *undecided*. A metric that
fewer than half of a set's questions can carry is not shown, and a score is shown as it is where half of the real cells
are not certainly better than the mean response of the context, so that there is nothing to scale it by.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import polars as pl

from benchmarks.evaluation_sets import Set
from benchmarks.report import table
from campaigns.evaluation_spec import REPLICATE, TrainedEntry
from campaigns.training_spec import TRAINED_BASELINES
from lingshu_core.denoiser import configuration
from lingshu_core.metric_catalogue import METRICS, SCALED
from lingshu_core.score_summary import FEWEST_FOR_INTERVAL, compare, has_scale
from screening.evaluating.evaluation_plan import Contender
from screening.evaluating.evaluation_run import PlannedEvaluation
from screening.evaluating.evaluation_tables import Run, score_table

Array = npt.NDArray[np.float64]

DRAWS, LEVEL = 4_999, 0.95
MEAN_RESPONSE = "context_mean"
NOT_RUN, UNDECIDED, NOTHING = "*not run*", "*undecided*", "–"
EFFECTS = {
    "pearson_delta": "Pearson-Δ",
    "pearson_systema": "Systema-centred",
    "wmse": "weighted MSE",
    "pds_l1": "PDS, L1",
    "energy_distance": "E-distance",
}
SIX = {
    "cell_eval2.pds_cosine": "PDS, cosine",
    "cell_eval2.expr_mse_unbiased_capped_norm": "expression MSE",
    "cell_eval2.de_wilcoxon_direction_fidelity_yield_raw": "direction fidelity",
    "cell_eval2.de_wilcoxon_direction_reach_raw": "direction reach",
    "cell_eval2.de_wilcoxon_sig_jaccard": "DE overlap",
    "cell_eval2.de_wilcoxon_lfc_nmae": "fold-change error",
}
REALISM = {
    "mmd": "MMD",
    "wasserstein": "Wasserstein",
    "ilisi": "iLISI",
    "classifier_auc": "classifier AUC",
    "depth_mean_error": "mean depth",
    "depth_sd_error": "sd of depth",
    "zeros_error": "zeros",
    "correlation_error": "correlations",
}


@dataclass(frozen=True)
class Figure:
    """A value with its interval; bounds are None where there are too few units."""

    value: float
    low: float | None
    high: float | None

    def __str__(self) -> str:
        """Write it as in the tables of docs/benchmarks.md."""
        within = "" if self.low is None or self.high is None else f" [{number(self.low)}, {number(self.high)}]"
        return f"{number(self.value)}{within}"


def number(value: float) -> str:
    """Write a number without a leading zero, with three digits of what is below one."""
    text = f"{abs(value):.3f}" if abs(value) < 10 else f"{abs(value):.1f}"
    text = text.removeprefix("0") if abs(value) < 1 else text
    return ("−" if value < 0 and float(f"{value:.3f}") else "") + text


def show(of: Set, planned: PlannedEvaluation, runs: Sequence[Run]) -> None:
    """Print the tables of a set."""
    questions = sum(len(fold.questions) for fold in planned.split.folds)
    print(f"\n### {of.title}\n\n`{of.name}`: {questions} questions in {len(planned.split.folds)} folds.")
    scores = with_unit(score_table(runs, planned.split), of.unit)
    if scores.is_empty():
        print(f"\n{NOT_RUN}")
        return
    six = six_that_are_carried(scores)
    for title, metrics in {"Effects": EFFECTS, "Six scores of cell-eval2": six, "Cells": REALISM}.items():
        shown = carried(scores, metrics)
        if shown:
            print(f"\n{title}\n")
            columns = ["prediction", "T", "w", "paths", "seeds", *shown.values()]
            table(columns, merged(_rows(planned, runs, scores, shown)))
    _show_differences(planned, scores, carried(scores, EFFECTS | six))


def with_unit(scores: pl.DataFrame, unit: str) -> pl.DataFrame:
    """Add the column ``unit``, what intervals are resampled over: a column, or a factor of the context."""
    if unit in scores.columns:
        return scores.with_columns(unit=pl.col(unit))
    found = [_factor(context, unit) for context in scores["context"]]
    return scores.with_columns(pl.Series("unit", found, dtype=pl.String))


def _factor(context: str | None, factor: str) -> str | None:
    """Read a value out of ``cell_type=B cells, donor=donor_101``."""
    pairs = (part.split("=", 1) for part in (context or "").split(", ") if "=" in part)
    return dict(pairs).get(factor)


def six_that_are_carried(scores: pl.DataFrame) -> dict[str, str]:
    """Return the six scores, each scaled by replicates where the set has a scale for it, else as it is."""
    scaled = carried(scores, {f"{name}{SCALED}": f"{title} (scaled)" for name, title in SIX.items()})
    found: dict[str, str] = {}
    for name, title in SIX.items():
        on_scale = f"{name}{SCALED}" in scaled and has_scale(
            scores, name, baseline=MEAN_RESPONSE, replicate=REPLICATE, unit=["unit"]
        )
        found |= {f"{name}{SCALED}": f"{title} (scaled)"} if on_scale else {name: title}
    return found


def carried(scores: pl.DataFrame, metrics: Mapping[str, str]) -> dict[str, str]:
    """Return those of the metrics that at least half of the questions that were asked so far can carry."""
    questions = scores.drop_nulls("unit").select("fold", "label", "metric").unique()
    number = questions.select("fold", "label").n_unique()
    asked = dict(questions.group_by("metric").len().rows())
    return {name: title for name, title in metrics.items() if 0 < number <= 2 * asked.get(name, 0)}


def _rows(
    planned: PlannedEvaluation, runs: Sequence[Run], scores: pl.DataFrame, shown: Mapping[str, str]
) -> Iterable[list[str]]:
    for contender in planned.asked:
        done = [run for run in runs if run.contender.name == contender.name]
        mine = scores.filter(pl.col("model") == contender.name)
        yield [_name(contender), *_settings(planned, contender, done), *_figures(mine, shown)]
    for name in TRAINED_BASELINES:  # they need a package of their own, and hours
        if name not in {contender.name for contender in planned.asked}:
            yield [name, NOTHING, NOTHING, NOTHING, NOT_RUN, *(NOTHING for _ in shown)]


def merged(rows: Iterable[Sequence[str]]) -> list[list[str]]:
    """Put contenders that said the same into one row: where there is one context, several baselines are the same."""
    found: dict[tuple[str, ...], list[str]] = {}
    for name, *cells in rows:
        key = (*cells, name if NOT_RUN in cells else "")  # who wasn't run has nothing in common
        found.setdefault(key, []).append(name)
    return [[", ".join(names), *cells] for (*cells, _), names in found.items()]


def _name(contender: Contender) -> str:
    words = {"replicate": "half of the real cells, predicting the other half"}
    return words.get(contender.role, f"**{contender.name}**" if contender.role == "model" else contender.name)


def _settings(planned: PlannedEvaluation, contender: Contender, done: Sequence[Run]) -> list[str]:
    """Return T, w, paths and seeds: a dash where they mean nothing."""
    folds = {run.unit.fold for run in done}
    missing = len(planned.split.folds) - len(folds)
    partly = f" ({len(folds)} of {len(planned.split.folds)} folds)" if done and missing else ""
    if len(contender.seeds) == 1:
        return [NOTHING, NOTHING, NOTHING, f"–{partly}" if done else NOT_RUN]
    seeds = ", ".join(str(seed) for seed in sorted({run.unit.seed for run in done}))
    estimator = contender.estimator
    model = next((entry for entry in planned.evaluation.spec.models if entry.name == contender.name), None)
    paths = NOTHING
    if isinstance(model, TrainedEntry) and not model.model.is_baseline:
        paths = configuration(model.model.configuration, model.model.overrides).paths
        return [str(estimator["steps"]), f"{estimator['guidance']:g}", paths, f"{seeds}{partly}" if done else NOT_RUN]
    return [NOTHING, NOTHING, paths, f"{seeds}{partly}" if done else NOT_RUN]


def _figures(scores: pl.DataFrame, shown: Mapping[str, str]) -> list[str]:
    found = [figure(scores.filter(pl.col("metric") == name)) for name in shown]
    return [NOTHING if each is None else str(each) for each in found]


def figure(scores: pl.DataFrame) -> Figure | None:
    """Return the median over the seeds of the mean over the units, of one contender and metric; None for no value.

    Units are drawn with replacement, the same ones for all seeds: another seed is no further evidence.
    """
    per_seed = scores.drop_nulls("unit").group_by("seed", "unit").agg(pl.col("value").mean())
    wide = per_seed.sort("unit").pivot("seed", index="unit", values="value").drop_nulls()
    values = wide.drop("unit").to_numpy().astype(np.float64)  # (units, seeds)
    if not values.size:
        return None
    centre = float(np.median(values.mean(axis=0)))
    if len(values) < FEWEST_FOR_INTERVAL:
        return Figure(centre, None, None)
    drawn = np.random.default_rng(0).integers(len(values), size=(DRAWS, len(values)))
    means = np.median(values[drawn].mean(axis=1), axis=1)  # (draws, units, seeds) → (draws,)
    low, high = np.quantile(means, [(1 - LEVEL) / 2, (1 + LEVEL) / 2])
    return Figure(centre, float(low), float(high))


def _show_differences(planned: PlannedEvaluation, scores: pl.DataFrame, shown: Mapping[str, str]) -> None:
    """Print what is decided: every model beside every baseline, positive where the model is better."""
    there = set(scores["model"])
    models, baselines = (
        [each.name for each in planned.asked if each.role == role and each.name in there]
        for role in ("model", "baseline")
    )
    compared = {name: title for name, title in shown.items() if METRICS[name].compared}
    some = scores.filter(pl.col("metric").is_in(list(compared))).drop_nulls("unit")
    print("\nThe model beside the baselines: paired differences, positive where the model is better\n")
    if not models or not baselines or some.is_empty():
        print(NOT_RUN)
        return
    found = compare(some, models=models, baselines=baselines, unit="unit")
    cells = {(row["model"], row["baseline"], row["metric"]): decided(row) for row in found.to_dicts()}
    rows = [
        [model, baseline, *(cells.get((model, baseline, metric), NOTHING) for metric in compared)]
        for model in models
        for baseline in baselines
    ]
    rows += [
        [models[0], other, *(cells.get((models[0], other, metric), NOTHING) for metric in compared)]
        for other in models[1:]
        for cells in [_beside(some, models[0], other)]
    ]
    table(["model", "beside", *compared.values()], rows)


def _beside(scores: pl.DataFrame, model: str, other: str) -> dict[tuple[str, str, str], str]:
    """Compare two models by the training seeds that both have: seeds of one alone would be no pairs."""
    seeds = [set(scores.filter(pl.col("model") == name)["seed"]) for name in (model, other)]
    shared = scores.filter(pl.col("seed").is_in(list(seeds[0] & seeds[1])))
    found = compare(shared, models=[model], baselines=[other], unit="unit")
    return {(row["model"], row["baseline"], row["metric"]): decided(row) for row in found.to_dicts()}


def decided(row: Mapping[str, object]) -> str:
    """Write a row of a comparison: the verdict, and the difference with its interval."""
    values = (row["difference"], row["low"], row["high"])
    text = str(Figure(*values))  # type: ignore[arg-type]
    return f"{UNDECIDED} {text}" if row["verdict"] == "undecided" else f"{row['verdict']} {text}"
