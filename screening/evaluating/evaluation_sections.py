"""The parts of an evaluation's report: what was compared, how it came out, and what is missing."""

from __future__ import annotations

import base64
import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt
import polars as pl

from lingshu_core.effect_scores import Truth
from lingshu_core.metric_catalogue import METRICS, SCALED
from screening.evaluating.evaluation_tables import DONE, FAILED, NOT_RUN, Tables
from screening.evaluating.evaluation_verdict import Verdict

GROUPS = {
    "effects": "Effects: predicted against real, log1p counts per 10k",
    "population": "Realism: drawn cells against real cells of the same condition",
    "cell_eval": "Scores of cell-eval",
    "cell_eval2": "Scores of cell-eval2",
}
SHOWN_ROWS = 12
_ROUNDING = 1e-6
SHOWN_SHARES = (1.0, 0.75, 0.5, 0.25, 0.1)
Array = npt.NDArray[np.float64]


@dataclass(frozen=True)
class Grid:
    """A table of the report."""

    columns: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]
    title: str = ""


@dataclass(frozen=True)
class Picture:
    """A picture of the report: its name below ``plots/``, what it shows, and its bytes as base64."""

    name: str
    caption: str
    encoded: str


@dataclass(frozen=True)
class Section:
    """A part of the report."""

    title: str
    text: tuple[str, ...] = ()
    tables: tuple[Grid, ...] = ()
    pictures: tuple[Picture, ...] = ()


@dataclass(frozen=True)
class Findings:
    """All that a report is made of.

    Attributes
    ----------
    asked
        What was asked, a line each: cells, split, folds, settings.
    unit
        What intervals are resampled over: ``perturbation`` or ``label``.
    coverage, abstention
        Of every model's intervals; empty where it wasn't asked for.
    checks
        What the leak checker, the split and the search for confounders noted.
    pictures
        Name → PNG.
    effects, truths
        Predicted and real effects, by fold.
    """

    name: str
    asked: tuple[str, ...]
    tables: Tables
    verdicts: tuple[Verdict, ...]
    unit: str
    coverage: pl.DataFrame = field(default_factory=pl.DataFrame)
    abstention: pl.DataFrame = field(default_factory=pl.DataFrame)
    checks: tuple[str, ...] = ()
    pictures: Mapping[str, bytes] = field(default_factory=dict)
    effects: Mapping[str, Mapping[str, Mapping[str, Array]]] = field(default_factory=dict)
    truths: Mapping[str, Truth] = field(default_factory=dict)


def sections(findings: Findings) -> Iterable[Section]:
    """Yield the parts of the report, the verdict's grounds first."""
    yield _against(findings)
    yield _scores(findings)
    yield _contenders(findings)
    yield _single_conditions(findings)
    if not findings.coverage.is_empty():
        yield _uncertainty(findings)
    yield _not_there(findings)
    yield Section("Leaks, confounders, and what was not asked", findings.checks or ("Nothing was found.",))
    yield _legend(findings)


def _scores(findings: Findings) -> Section:
    summary = findings.tables.summary
    settings = settings_of(findings.tables.runs)
    grids = []
    for group, title in GROUPS.items():
        names = [name for name in summary["metric"].unique(maintain_order=True) if METRICS[name].group == group]
        for part, heading in (
            ([name for name in names if not name.endswith(SCALED)], title),
            ([name for name in names if name.endswith(SCALED)], f"{title}; 0 is the mean response, 1 a replicate"),
        ):
            if part:
                grids.append(_score_grid(summary, part, settings, heading))
    text = (
        "Means over the conditions with 95 % intervals. `replicate` is one half of the real cells predicting the other:"
        " half the cells, so a prediction that averages well may do better. A dash: the metric has no value there.",
    )
    return Section("Scores", text, tuple(grids), _pictures(findings, {"scores.png": "Means with 95 % intervals"}))


def _legend(findings: Findings) -> Section:
    names = [name for name in findings.tables.summary["metric"].unique(maintain_order=True) if SCALED not in name]
    better = {"near": "nearer to {best:g}", "neither": "–"}
    rows = tuple(
        (
            name,
            better.get(METRICS[name].better, METRICS[name].better).format(best=METRICS[name].best),
            METRICS[name].unit,
            METRICS[name].what,
        )
        for name in names
    )
    return Section("Metrics", tables=(Grid(("metric", "better", "unit", "what it asks"), rows),))


def _contenders(findings: Findings) -> Section:
    runs = findings.tables.runs
    settings = settings_of(runs)
    rows = []
    for name in runs["model"].unique(maintain_order=True):
        mine = runs.filter(pl.col("model") == name)
        sizes = mine["parameters"].drop_nulls().unique().sort()
        epochs = mine["epochs"].drop_nulls()
        rows.append(
            (
                name,
                mine["role"][0],
                settings[name],
                f"{sizes[-1]:,}" if len(sizes) else "–",
                _span(epochs.to_list()),
                f"{mine['answered'].sum()} of {mine['asked'].sum()}",
            )
        )
    columns = ("model", "role", "settings", "parameters", "epochs", "questions answered")
    return Section("Who was asked", tables=(Grid(columns, tuple(rows)),))


def _score_grid(summary: pl.DataFrame, metrics: Sequence[str], settings: Mapping[str, str], title: str) -> Grid:
    rows = []
    for name in summary["model"].unique(maintain_order=True):
        mine = {row["metric"]: row for row in summary.filter(pl.col("model") == name).iter_rows(named=True)}
        values = [_interval(mine[metric], "mean") if metric in mine else "–" for metric in metrics]
        rows.append((name, settings.get(name, ""), *values))
    names = (metric.removesuffix(SCALED).rpartition(".")[2] for metric in metrics)
    return Grid(("model", "settings", *names), tuple(rows), title)


def _span(numbers: Sequence[int]) -> str:
    if not numbers:
        return "–"
    low, high = min(numbers), max(numbers)
    return str(low) if low == high else f"{low}–{high}"


def settings_of(runs: pl.DataFrame) -> dict[str, str]:
    """Return the settings of every contender in a few words: paths, steps, schedule, guidance, seeds."""
    found = {}
    for (name,), rows in runs.group_by(["model"], maintain_order=True):
        row = rows.row(0, named=True)
        paths = [each for each in rows["paths"].drop_nulls().unique(maintain_order=True) if each != name]
        words = [", ".join(paths)] if paths else []
        if row["role"] == "model" and row["steps"] is not None:
            words.append(f"{row['steps']} {row['schedule']} steps, guidance {row['guidance']:g}")
            words += [f"prior {row['prior']}"] if row["prior"] != "none" else []
        seeds = rows["seed"].n_unique()
        words += [f"{seeds} seeds"] if seeds > 1 else []
        found[str(name)] = "; ".join(words)
    return found


def _interval(row: Mapping[str, Any], name: str) -> str:
    if row[name] is None or math.isnan(row[name]):
        return NOT_RUN if row["status"] == NOT_RUN else "–"
    return f"{_number(row[name])} [{_number(row[f'{name}_low'])}, {_number(row[f'{name}_high'])}]"


def _number(value: float | None) -> str:
    if value is None or math.isnan(value):
        return "–"
    if abs(value) < _ROUNDING:
        return "0.000"
    return f"{value:.3f}" if abs(value) >= 0.01 else f"{value:.2g}"


def _probability(value: float | None) -> str:
    return "–" if value is None else f"{value:.3f}" if value >= 0.01 else f"{value:.1g}"


def _against(findings: Findings) -> Section:
    grids = []
    for verdict in findings.verdicts:
        rows = findings.tables.comparisons.filter((pl.col("model") == verdict.model) & pl.col("deciding"))
        grids.append(
            Grid(
                ("baseline", "metric", "difference", "p", "p (Holm)", "verdict", "decided", "of which better"),
                tuple(_comparison(row) for row in rows.iter_rows(named=True))
                + tuple((name, "–", NOT_RUN, "", "", "", "", "") for name in verdict.not_run),
                verdict.model,
            )
        )
    text = (
        "Paired differences over the same conditions; above zero the model is better, whichever way the metric goes."
        " `decided` counts the conditions in which the noise of the real cells alone doesn't explain the difference.",
    )
    return Section("Against the baselines", text, tuple(grids))


def _comparison(row: Mapping[str, Any]) -> tuple[str, ...]:
    difference = f"{_number(row['difference'])} [{_number(row['low'])}, {_number(row['high'])}]"
    decided = "–" if row["decided"] is None else f"{row['decided']} of {row['decided_of']}"
    better = "–" if row["decided_better"] is None else str(row["decided_better"])
    p_values = (_probability(row["p_wilcoxon"]), _probability(row["p_holm"]))
    verdict = f"{row['verdict']}: {row['reason']}" if row["reason"] else row["verdict"]
    return (row["baseline"], row["metric"], difference, *p_values, verdict, decided, better)


def _single_conditions(findings: Findings) -> Section:
    """Show the conditions in which a model gains and loses most beside its strongest baseline."""
    grids = [grid for verdict in findings.verdicts if (grid := _gains(findings.tables, verdict)) is not None]
    pictures = {
        "agreement.png": "Predicted and real effects of the genes that count, all conditions",
        "folds.png": "Fold by fold",
    }
    text = (
        "Conditions in which the model gains and loses most beside the baseline with the best mean. All of them are in"
        " perturbations.parquet.",
    )
    return Section("Condition by condition", text, tuple(grids), _pictures(findings, pictures))


def _gains(tables: Tables, verdict: Verdict) -> Grid | None:
    if not verdict.strongest:
        return None
    metric, strongest = verdict.metrics[0], verdict.strongest
    scores = tables.scores.filter(pl.col("metric") == metric)
    mine, its = (
        scores.filter(pl.col("model") == name)
        .group_by("fold", "label", maintain_order=True)
        .agg(pl.col("value").mean())
        for name in (verdict.model, strongest)
    )
    both = mine.join(its, on=["fold", "label"], suffix="_baseline", maintain_order="left")
    sign = -1.0 if METRICS[metric].better == "lower" else 1.0
    ranked = both.with_columns((sign * (pl.col("value") - pl.col("value_baseline"))).alias("gain")).sort(
        "gain", descending=True, maintain_order=True
    )
    rows = [
        (row["label"], row["fold"], *(_number(row[name]) for name in ("value", "value_baseline", "gain")))
        for row in _ends(ranked).iter_rows(named=True)
    ]
    columns = ("condition", "fold", verdict.model, strongest, "gain")
    return Grid(columns, tuple(rows), f"{verdict.model} beside {strongest}: {metric}")


def _ends(ranked: pl.DataFrame) -> pl.DataFrame:
    half = SHOWN_ROWS // 2
    return ranked if ranked.height <= SHOWN_ROWS else pl.concat([ranked.head(half), ranked.tail(half)])


def _uncertainty(findings: Findings) -> Section:
    rows = tuple(_coverage(row) for row in findings.coverage.iter_rows(named=True))
    columns = ("model", "corrected by", "promised", "covered", "width", "groups")
    tables = [Grid(columns, rows, "How often measured effects lie inside their intervals")]
    if not findings.abstention.is_empty():
        tables.append(_abstention(findings.abstention))
    text = (
        "Intervals of effects, gene by gene, corrected with conditions that were held out beside the questions; where"
        " the split keeps none for it, each question with the others.",
    )
    return Section(
        "Uncertainty", text, tuple(tables), _pictures(findings, {"coverage.png": "Promised and actual coverage"})
    )


def _coverage(row: Mapping[str, Any]) -> tuple[str, ...]:
    if row["coverage"] is None:
        return (row["model"], "–", "–", f"none: {row['reason']}", "–", "–")
    covered = f"{100 * row['coverage']:.1f} % [{_percent(row['low'])}, {_percent(row['high'])}]"
    return (
        row["model"],
        row["rule"],
        f"{100 * row['level']:.0f} %",
        covered,
        _number(row["width"]),
        str(row["groups"]),
    )


def _percent(share: float) -> str:
    return "–" if math.isnan(share) else f"{100 * share:.1f}"


def _abstention(table: pl.DataFrame) -> Grid:
    rows = tuple(
        (row["model"], f"{100 * row['share']:.0f} %", _number(row["error"]), _number(row["random"]))
        for row in table.filter(pl.col("share").is_in(SHOWN_SHARES)).iter_rows(named=True)
    )
    return Grid(
        ("model", "answered", "error, most certain first", "error, at random"),
        rows,
        "Error if only the most certain are answered",
    )


def _not_there(findings: Findings) -> Section:
    runs, left_out = findings.tables.runs, findings.tables.left_out
    missing = runs.filter((pl.col("status") != DONE) | (pl.col("answered") < pl.col("asked")))
    grouped = missing.group_by("model", "status", "reason", maintain_order=True).agg(
        pl.col("fold").n_unique(), pl.col("answered").sum(), pl.col("asked").sum()
    )
    rows = tuple(
        (
            row["model"],
            "partly" if row["status"] == DONE else row["status"],
            str(row["fold"]),
            f"{row['answered']} of {row['asked']}",
            row["reason"],
        )
        for row in grouped.iter_rows(named=True)
    )
    reasons = left_out.group_by("reason", maintain_order=True).agg(
        pl.col("metric").unique(maintain_order=True), pl.col("model").n_unique(), pl.len()
    )
    skipped = tuple((", ".join(row["metric"]), str(row["len"]), row["reason"]) for row in reasons.iter_rows(named=True))
    failed = runs.filter(pl.col("status") == FAILED).height
    text = (f"{failed} units failed; evaluate again to try them anew.",) if failed else ()
    return Section(
        "Not run, and left out",
        text,
        (
            Grid(("model", "status", "folds", "answered", "reason"), rows, "Not run"),
            Grid(("metrics", "rows", "reason"), skipped, "Metrics that have no value"),
        ),
    )


def _pictures(findings: Findings, captions: Mapping[str, str]) -> tuple[Picture, ...]:
    return tuple(
        Picture(name, caption, base64.b64encode(findings.pictures[name]).decode())
        for name, caption in captions.items()
        if name in findings.pictures
    )
