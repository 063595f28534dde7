"""The pictures of a report, as PNG: scores with intervals, predicted against real effects, folds, coverage.

Figures are made without pyplot: it would keep them in a global state, and choose a screen.
"""

from __future__ import annotations

import io
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
import polars as pl
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from campaigns.evaluation_spec import REPLICATE
from lingshu_core.metric_catalogue import METRICS

MOST_POINTS = 20_000
MOST_PANELS = 4
MOST_FOLDS = 30
_COLOURS = {"model": "#00796b", "baseline": "#78909c", "replicate": "#c77700"}
_PIXELS_PER_INCH = 110
Array = npt.NDArray[np.float64]


def draw_scores(summary: pl.DataFrame, metrics: Sequence[str]) -> bytes | None:
    """Draw the mean of every contender with its interval, a panel per metric; None where there is nothing to draw."""
    shown = [metric for metric in metrics if summary.filter(pl.col("metric") == metric)["mean"].is_not_null().any()]
    names = summary["model"].unique(maintain_order=True).to_list()
    if not shown:
        return None
    figure, panels = _panels(len(shown), height=1.2 + 0.28 * len(names))
    for panel, metric in zip(panels, shown, strict=True):
        rows = {row["model"]: row for row in summary.filter(pl.col("metric") == metric).iter_rows(named=True)}
        _score_panel(panel, [rows[name] for name in names if name in rows], metric)
    return _png(figure)


def _score_panel(panel: Axes, rows: Sequence[Mapping[str, Any]], metric: str) -> None:
    heights = np.arange(len(rows))[::-1]
    for height, row in zip(heights, rows, strict=True):
        if row["mean"] is None:
            panel.text(0.5, height, "not run", transform=panel.get_yaxis_transform(), ha="center", va="center", size=7)
            continue
        colour = _COLOURS[str(row["role"])]
        if row["mean_low"] is not None:
            panel.plot([row["mean_low"], row["mean_high"]], [height, height], color=colour, lw=2)
        panel.plot([row["mean"]], [height], "o", color=colour, ms=5)
        if row["role"] == REPLICATE:
            panel.axvline(row["mean"], color=colour, lw=0.8, ls=":")
    panel.set_yticks(heights, [str(row["model"]) for row in rows], size=8)
    panel.set_ylim(-0.6, len(rows) - 0.4)
    direction = {"higher": "higher is better", "lower": "lower is better"}.get(METRICS[metric].better, "")
    panel.set_title(f"{metric}\n{direction}", size=9)


def draw_agreement(pairs: Mapping[str, tuple[Array, Array]]) -> bytes | None:
    """Draw predicted against real effects of the genes that count, a panel per model.

    Parameters
    ----------
    pairs
        Model → predicted and real effects, (genes of all questions,) each, log1p counts per 10k.
    """
    shown = list(pairs)[:MOST_PANELS]
    if not shown:
        return None
    figure, panels = _panels(len(shown), height=3.4)
    edge = max(float(np.abs(pairs[name][1]).max(initial=0.0)) for name in shown) * 1.05 or 1.0
    for panel, name in zip(panels, shown, strict=True):
        predicted, real = _thinned(*pairs[name])
        panel.plot([-edge, edge], [-edge, edge], color="#bbbbbb", lw=0.8)
        panel.plot(real, predicted, ".", ms=2, alpha=0.35, color=_COLOURS["model"], rasterized=True)
        panel.set(xlim=(-edge, edge), ylim=(-edge, edge), xlabel="real effect", ylabel="predicted effect")
        panel.set_title(name, size=9)
    return _png(figure)


def _thinned(predicted: Array, real: Array) -> tuple[Array, Array]:
    if len(real) <= MOST_POINTS:
        return predicted, real
    chosen = np.random.default_rng(0).choice(len(real), MOST_POINTS, replace=False)
    return predicted[chosen], real[chosen]


def draw_folds(scores: pl.DataFrame, metric: str, names: Sequence[str]) -> bytes | None:
    """Draw the score of some contenders in every fold, bars side by side."""
    means = (
        scores.filter((pl.col("metric") == metric) & pl.col("model").is_in(names))
        .group_by("fold", "model", maintain_order=True)
        .agg(pl.col("value").mean())
    )
    every = means["fold"].unique(maintain_order=True).to_list()
    folds = every[:MOST_FOLDS]
    if not folds:
        return None
    figure, (panel,) = _panels(1, height=1.4 + 0.22 * len(folds) * max(len(names), 1))
    for offset, name in enumerate(names):
        found = dict(means.filter(pl.col("model") == name).select("fold", "value").iter_rows())
        heights = [-(len(names) + 1) * place - offset for place in range(len(folds))]
        panel.barh(heights, [found.get(fold, np.nan) for fold in folds], height=0.9, label=name)
    panel.set_yticks([-(len(names) + 1) * place - (len(names) - 1) / 2 for place in range(len(folds))], folds, size=8)
    panel.axvline(0, color="#999999", lw=0.8)
    shown = "every fold" if len(every) == len(folds) else f"the first {len(folds)} of {len(every)} folds"
    panel.set_title(f"{metric} in {shown}", size=9)
    panel.legend(fontsize=7, loc="center left", bbox_to_anchor=(1.0, 0.5))
    return _png(figure)


def draw_coverage(table: pl.DataFrame) -> bytes | None:
    """Draw how often real effects lie inside intervals of every level, with its own interval, a line per model."""
    if table.is_empty():
        return None
    figure, (panel,) = _panels(1, height=3.4, width=3.6)
    panel.plot([0, 1], [0, 1], color="#bbbbbb", lw=0.8)
    for name in table["model"].unique(maintain_order=True):
        rows = table.filter(pl.col("model") == name).sort("level")
        level, value = rows["level"].to_numpy(), rows["coverage"].to_numpy()
        panel.plot(level, value, "o-", ms=3, label=name)
        panel.fill_between(level, rows["low"].to_numpy(), rows["high"].to_numpy(), alpha=0.15)
    panel.set(xlim=(0, 1), ylim=(0, 1), xlabel="promised", ylabel="covered")
    panel.legend(fontsize=7)
    return _png(figure)


def _panels(number: int, *, height: float, width: float = 3.2) -> tuple[Figure, Sequence[Axes]]:
    figure = Figure(figsize=(max(width * number, 3.6), height), layout="constrained")
    FigureCanvasAgg(figure)
    return figure, figure.subplots(1, number, squeeze=False)[0]


def _png(figure: Figure) -> bytes:
    buffer = io.BytesIO()
    # No date and no version in the file: the same scores are the same picture.
    figure.savefig(buffer, format="png", dpi=_PIXELS_PER_INCH, metadata={"Software": None})
    return buffer.getvalue()
