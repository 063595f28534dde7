"""What scores of a few dozen perturbations allow to say: intervals, paired tests and a verdict in words.

Perturbations (or whatever else is the unit) are what is resampled, never cells or genes. Differences are paired: both
predictions answer the same question. A verdict needs the bootstrap interval of the mean difference and Wilcoxon's
signed-rank test to agree; five pairs or fewer can't reach p < .05 whatever they show, and are *undecided*. How many
single perturbations are decided at all is counted against bootstrapped real cells (`lingshu_core.score_noise`).
"""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
import numpy.typing as npt
import polars as pl
from scipy import stats

from lingshu_core.errors import ConfigurationError
from lingshu_core.metric_catalogue import LEAST_TO_TELL_APART, METRICS, SCALED, Metric
from lingshu_core.metrics import replicate_scaled

Array = npt.NDArray[np.float64]
Verdict = Literal["better", "worse", "undecided"]

LEVEL = 0.95
DRAWS = 4_999
FEWEST_FOR_INTERVAL = 3
FEWEST_FOR_TEST = 6
"""Wilcoxon's smallest two-sided p is 2/2ⁿ: .0625 with five pairs, .03125 with six."""
ENUMERATED = 12
"""Up to so many pairs all changes of sign are gone through, so that ties and zeros don't matter."""

SUMMARY = pl.Schema(
    {
        "model": pl.String,
        "metric": pl.String,
        "units": pl.Int64,
        "mean": pl.Float64,
        "mean_low": pl.Float64,
        "mean_high": pl.Float64,
        "median": pl.Float64,
        "median_low": pl.Float64,
        "median_high": pl.Float64,
    }
)
COMPARISON = pl.Schema(
    {
        "model": pl.String,
        "baseline": pl.String,
        "metric": pl.String,
        "units": pl.Int64,
        "difference": pl.Float64,
        "low": pl.Float64,
        "high": pl.Float64,
        "p_bootstrap": pl.Float64,
        "p_wilcoxon": pl.Float64,
        "p_holm": pl.Float64,
        "verdict": pl.String,
        "reason": pl.String,
        "decided": pl.Int64,
        "decided_better": pl.Int64,
        "decided_of": pl.Int64,
    }
)


def summarise(scores: pl.DataFrame, *, unit: str = "label", level: float = LEVEL, seed: int = 0) -> pl.DataFrame:
    """Return mean and median of every model and metric with bootstrap intervals over the units.

    Means get BCa intervals (Efron 1987), medians percentile intervals; with fewer than three units there is none.

    Parameters
    ----------
    scores
        Columns ``model, metric, fold, label, value`` and ``unit``. Values of one unit (folds, seeds) are averaged
        first: they are no further evidence.
    unit
        Column with what is resampled.
    level
        Of the intervals.
    seed
        Of the resampling.

    Returns
    -------
    polars.DataFrame
        Columns of ``SUMMARY``.
    """
    rows = []
    for (model, metric), values in _groups(scores, unit):
        mean = interval(values, np.mean, level=level, seed=seed)
        median = interval(values, np.median, level=level, seed=seed)
        rows.append((model, metric, len(values), values.mean(), *mean, float(np.median(values)), *median))
    return pl.DataFrame(rows, schema=SUMMARY, orient="row")


def _groups(scores: pl.DataFrame, unit: str) -> Iterator[tuple[tuple[str, str], Array]]:
    averaged = scores.group_by("model", "metric", unit, maintain_order=True).agg(pl.col("value").mean())
    for (model, metric), table in averaged.group_by("model", "metric", maintain_order=True):
        yield (str(model), str(metric)), table["value"].to_numpy().astype(np.float64)


def interval(
    values: Array, statistic: Callable[..., Array], *, level: float = LEVEL, seed: int = 0
) -> tuple[float, float] | tuple[None, None]:
    """Return a statistic's bootstrap interval: BCa, percentiles for a median; None with fewer than three values."""
    if len(values) < FEWEST_FOR_INTERVAL:
        return None, None
    if np.ptp(values) <= 1e-9 * np.abs(values).max():  # the same but for rounding
        return float(values[0]), float(values[0])
    method = "percentile" if statistic is np.median else "BCa"
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", stats.DegenerateDataWarning)  # handled below
        found = stats.bootstrap(
            (values,), statistic, n_resamples=DRAWS, confidence_level=level, method=method, random_state=seed
        ).confidence_interval
    if not np.isfinite([found.low, found.high]).all():  # all but one value equal: BCa has no acceleration
        found = stats.bootstrap(
            (values,), statistic, n_resamples=DRAWS, confidence_level=level, method="percentile", random_state=seed
        ).confidence_interval
    return float(found.low), float(found.high)


def compare(
    scores: pl.DataFrame,
    *,
    models: Sequence[str],
    baselines: Sequence[str],
    noise: pl.DataFrame | None = None,
    unit: str = "label",
    level: float = LEVEL,
    seed: int = 0,
) -> pl.DataFrame:
    """Compare models with baselines, metric by metric, on the questions that both answered.

    Parameters
    ----------
    scores
        As in `summarise`.
    models, baselines
        Values of the column ``model``; a model isn't compared with itself.
    noise
        Scores against bootstrapped real cells, columns ``model, metric, fold, label, draw, value``; without it the
        number of decided perturbations is null.
    unit, level, seed
        As in `summarise`.

    Returns
    -------
    polars.DataFrame
        Columns of ``COMPARISON``. ``difference`` is in the metric's unit, and positive where the model is better,
        whichever way the metric goes. ``p_holm`` is ``p_wilcoxon`` corrected for all comparisons of the model.
        ``decided`` counts the questions whose difference exceeds the noise of the real cells, ``decided_better``
        those that are for the model, both out of ``decided_of``.

    Raises
    ------
    ConfigurationError
        If a model or a metric is not known.
    """
    present = set(scores["model"].unique())
    for name in (*models, *baselines):
        if name not in present:
            raise ConfigurationError(f"no scores of {name!r}; there are: {', '.join(sorted(present))}")
    good = _with_goodness(scores)
    noisy = None if noise is None else _with_goodness(noise)
    rows: list[dict[str, object]] = []
    for model in models:
        for baseline in baselines:
            if model != baseline:
                rows += _compare_pair(good, noisy, model, baseline, unit, level, seed)
    return _with_holm(pl.DataFrame(rows, schema=COMPARISON))


def _with_goodness(scores: pl.DataFrame) -> pl.DataFrame:
    """Add a column that grows as predictions get better; metrics that nobody compares are dropped."""
    unknown = sorted(set(scores["metric"].unique()) - set(METRICS))
    if unknown:
        raise ConfigurationError(f"unknown metrics {', '.join(unknown[:5])}; there are: {', '.join(METRICS)}")
    parts = [
        table.with_columns(
            pl.Series("good", [METRICS[str(name)].goodness(value) for value in table["value"]], dtype=pl.Float64)
        )
        for (name,), table in scores.group_by("metric", maintain_order=True)
        if METRICS[str(name)].compared
    ]
    return pl.concat(parts) if parts else scores.head(0).with_columns(good=pl.col("value"))


def _compare_pair(
    good: pl.DataFrame, noise: pl.DataFrame | None, model: str, baseline: str, unit: str, level: float, seed: int
) -> Iterator[dict[str, object]]:
    keys = ["metric", *dict.fromkeys(("fold", "label", unit))]
    pairs = _paired(good, model, baseline, keys)
    drawn = None if noise is None else _paired(noise, model, baseline, ["metric", "fold", "label", "draw"])
    for (metric,), table in pairs.group_by("metric", maintain_order=True):
        differences = (
            table.group_by(unit, maintain_order=True).agg(pl.col("difference").mean())["difference"].to_numpy()
        )
        judged = judge(differences, level=level, seed=seed)
        counted = _count_decided(table, drawn.filter(pl.col("metric") == metric) if drawn is not None else None)
        yield {"model": model, "baseline": baseline, "metric": metric, **judged.row(), "p_holm": None, **counted}


def _paired(good: pl.DataFrame, model: str, baseline: str, keys: Sequence[str]) -> pl.DataFrame:
    sides = [
        good.filter(pl.col("model") == name).group_by(keys, maintain_order=True).agg(pl.col("good").mean())
        for name in (model, baseline)
    ]
    joined = sides[0].join(sides[1], on=list(keys), how="inner", suffix="_baseline", maintain_order="left")
    return joined.with_columns(difference=pl.col("good") - pl.col("good_baseline"))


@dataclass(frozen=True)
class Judgement:
    """What paired differences, positive where the model is better, say of two predictions."""

    units: int
    difference: float
    low: float | None
    high: float | None
    p_bootstrap: float | None
    p_wilcoxon: float | None
    verdict: Verdict
    reason: str

    def row(self) -> dict[str, object]:
        """Return the columns of the comparison table."""
        return dict(self.__dict__)


def judge(differences: Array, *, level: float = LEVEL, seed: int = 0) -> Judgement:
    """Judge paired differences, (units,): positive where the model is better."""
    units, mean = len(differences), float(differences.mean())
    low, high = interval(differences, np.mean, level=level, seed=seed)
    if units < FEWEST_FOR_TEST:
        what = "1 unit" if units == 1 else f"{units} units"
        return Judgement(units, mean, low, high, None, None, "undecided", f"{what}: no test can decide")
    if not np.any(differences):
        return Judgement(units, mean, low, high, 1.0, 1.0, "undecided", "the scores are the same")
    drawn, signed = _bootstrap_p(differences, seed), _wilcoxon_p(differences)
    verdict, reason = _verdict(mean, low, high, signed, 1 - level)
    return Judgement(units, mean, low, high, drawn, signed, verdict, reason)


def _verdict(mean: float, low: float | None, high: float | None, signed: float, error: float) -> tuple[Verdict, str]:
    if low is None or high is None or low <= 0 <= high:
        return "undecided", "the interval of the difference holds 0"
    if signed >= error:
        return "undecided", f"the signed-rank test can't tell (p = {signed:.2g})"
    return ("better" if mean > 0 else "worse"), ""


def _bootstrap_p(differences: Array, seed: int) -> float:
    """Return the two-sided p of a mean difference of 0 from resampled pairs."""
    rng = np.random.default_rng(seed)
    means = rng.choice(differences, (DRAWS, len(differences))).mean(axis=1)
    tail = min(int((means <= 0).sum()), int((means >= 0).sum()))
    return min(1.0, 2 * (1 + tail) / (1 + DRAWS))


def _wilcoxon_p(differences: Array) -> float:
    """Return the two-sided p of Wilcoxon's signed-rank test, exact for few pairs; zeros are ranked (Pratt)."""
    if len(differences) > ENUMERATED:
        return float(stats.wilcoxon(differences, zero_method="pratt").pvalue)
    ranks = stats.rankdata(np.abs(differences))[differences != 0]
    every = 1 - 2 * ((np.arange(2 ** len(ranks))[:, None] >> np.arange(len(ranks))) & 1)  # (2ⁿ, n) signs
    found = abs(ranks @ np.sign(differences[differences != 0]))
    return float((np.abs(every @ ranks) >= found - 1e-9).mean())


def _count_decided(pairs: pl.DataFrame, drawn: pl.DataFrame | None) -> dict[str, int | None]:
    """Count questions whose difference is beyond what other draws of the real cells would change."""
    if drawn is None or drawn.is_empty():
        return {"decided": None, "decided_better": None, "decided_of": None}
    centred = (pl.col("difference") - pl.col("difference").mean()).abs()
    limits = drawn.group_by("fold", "label").agg(limit=centred.quantile(LEVEL, "higher"))
    found = pairs.group_by("fold", "label").agg(pl.col("difference").mean()).join(limits, on=["fold", "label"])
    beyond = found.filter(pl.col("difference").abs() > pl.col("limit"))
    better = beyond.filter(pl.col("difference") > 0)
    return {"decided": beyond.height, "decided_better": better.height, "decided_of": found.height}


def _with_holm(comparison: pl.DataFrame) -> pl.DataFrame:
    """Fill ``p_holm``: Holm's correction over all comparisons of a model (Scand J Stat 6, 1979)."""
    parts = [comparison.head(0)]
    for _, table in comparison.group_by("model", maintain_order=True):
        corrected: list[float | None] = list(table["p_wilcoxon"])
        tested = sorted((p, at) for at, p in enumerate(corrected) if p is not None)
        largest = 0.0
        for rank, (p, at) in enumerate(tested):
            largest = max(largest, min(1.0, (len(tested) - rank) * p))
            corrected[at] = largest
        parts.append(table.with_columns(pl.Series("p_holm", corrected, dtype=pl.Float64)))
    return pl.concat(parts)


def in_words(comparison: pl.DataFrame) -> list[str]:
    """Return a sentence for every row of a comparison."""
    return [_sentence(row) for row in comparison.to_dicts()]


def _sentence(row: dict[str, object]) -> str:
    within = "" if row["low"] is None else f" [{row['low']:.3g}, {row['high']:.3g}]"
    size = f"{row['difference']:+.3g}{within} over {row['units']} units"
    if row["verdict"] == "undecided":
        text = f"{row['metric']}: undecided between {row['model']} and {row['baseline']} ({size}): {row['reason']}"
    else:
        p = row["p_wilcoxon"]
        text = f"{row['metric']}: {row['model']} is {row['verdict']} than {row['baseline']} ({size}; p = {p:.2g})"
    if row["decided"] is None:
        return f"{text}."
    return (
        f"{text}; {row['decided']} of {row['decided_of']} questions are decided beyond the noise of the real cells,"
        f" {row['decided_better']} of them for {row['model']}."
    )


def scale_scores(scores: pl.DataFrame, *, baseline: str, replicate: str) -> pl.DataFrame:
    """Bring our own metrics to the scale of `cell_eval2`: 0 as good as the baseline, 1 as good as a replicate.

    Both ends are means over the labels that have both. A metric has no scale, and is not there, where the replicate is
    not better than the baseline beyond the interval over the labels, or where there are fewer than five of them.

    Parameters
    ----------
    scores
        Columns ``model, metric, fold, label, value`` (others are kept).
    baseline, replicate
        Values of the column ``model``, such as ``context_mean`` and ``replicate``.

    Returns
    -------
    polars.DataFrame
        The rows of all other models, metrics named with ``.scaled``.
    """
    ends = _ends(scores, baseline, replicate)
    rest = scores.filter(~pl.col("model").is_in([baseline, replicate]))
    parts = [scores.head(0)]
    for (name,), table in rest.group_by("metric", maintain_order=True):
        metric = str(name)
        if metric in ends and f"{metric}{SCALED}" in METRICS:
            values = [replicate_scaled(value, *ends[metric]) for value in table["value"]]
            parts.append(
                table.with_columns(
                    pl.lit(f"{metric}{SCALED}").alias("metric"), pl.Series("value", values, dtype=pl.Float64)
                )
            )
    return pl.concat(parts)


def has_scale(
    scores: pl.DataFrame, metric: str, *, baseline: str, replicate: str, unit: Sequence[str] = ("fold", "label")
) -> bool:
    """Tell whether the two ends of a scale can be told apart: a scale without length makes noise look like a score.

    Parameters
    ----------
    scores
        Columns ``model, metric, value`` and those of ``unit``.
    metric, baseline, replicate
        What is scaled, and the values of the column ``model`` that are 0 and 1 on the scale.
    unit
        Columns that name what the interval is over.
    """
    return _has_length(METRICS[metric], _both_ends(scores, metric, baseline, replicate, unit))


def _ends(scores: pl.DataFrame, baseline: str, replicate: str) -> dict[str, tuple[float, float]]:
    """Return metric → mean of the baseline and of the replicate, where the replicate is certainly better."""
    found = {}
    for name in scores["metric"].unique(maintain_order=True):
        ends = _both_ends(scores, name, baseline, replicate, ("fold", "label"))
        if name in METRICS and _has_length(METRICS[name], ends):
            found[name] = (float(ends["value"].to_numpy().mean()), float(ends["value_replicate"].to_numpy().mean()))
    return found


def _both_ends(scores: pl.DataFrame, metric: str, baseline: str, replicate: str, unit: Sequence[str]) -> pl.DataFrame:
    """Return ``value`` and ``value_replicate`` of the units that have both."""
    some = scores.filter(pl.col("metric") == metric).drop_nulls(list(unit))
    sides = [
        some.filter(pl.col("model") == name).group_by(list(unit), maintain_order=True).agg(pl.col("value").mean())
        for name in (baseline, replicate)
    ]
    return sides[0].join(sides[1], on=list(unit), suffix="_replicate", maintain_order="left")


def _has_length(metric: Metric, ends: pl.DataFrame) -> bool:
    if len(ends) < LEAST_TO_TELL_APART or not metric.compared:
        return False
    gains = [metric.goodness(high) - metric.goodness(low) for low, high in ends["value", "value_replicate"].iter_rows()]
    low = interval(np.array(gains), np.mean)[0]
    return low is not None and low > 0
