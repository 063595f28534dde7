"""Scores of the best conditions with their intervals: what the computation, and what the null leaves open."""

from __future__ import annotations

from typing import Any

import numpy as np
import polars as pl
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from screening.figures.canvas import blank, give_legend, give_title, short, tidy
from screening.figures.marks import MARKS, handles
from screening.figures.scored_rows import how, label_of, scored_rows, unit_of

_MONTE_CARLO = Line2D([], [], color="#444444", lw=3, alpha=0.5, label="90 % Monte Carlo interval of the score")
_EFFECT = Line2D([], [], color="#444444", lw=1, label="90 % interval of the effect, from the null")
_LEAST = Line2D([], [], ls="", marker="|", color="#000000", ms=9, label="minimum effect of a hit")


def rank_plot(hits: pl.DataFrame, *, objective: str = "", top: int = 30) -> Figure:
    """Draw the scores of the best conditions, best on top, with intervals, decision and interval of ranks.

    Parameters
    ----------
    hits
        The ranked table (`screening.deciding.hits.COLUMNS`).
    objective
        The question, for the title.
    top
        How many conditions.

    Raises
    ------
    FigureError
        If no condition has a score.
    """
    rows = scored_rows(hits)
    shown = rows.head(top)
    figure = blank(7.0, 1.9 + 0.2 * shown.height)
    panel = figure.subplots()
    contexts = rows["context"].n_unique()
    heights = np.arange(shown.height)[::-1]
    for height, row in zip(heights, shown.iter_rows(named=True), strict=True):
        _draw(panel, float(height), row)
    names = [f"{row['rank']}  {short(label_of(row, contexts=contexts))}" for row in shown.iter_rows(named=True)]
    panel.set_yticks(heights, names, fontsize=7)
    panel.set_ylim(-0.7, shown.height - 0.3)
    panel.axvline(0, color="#aaaaaa", lw=0.7, zorder=0)
    panel.set_xlabel(f"score ({unit_of(rows)})", fontsize=8)
    tidy(panel)
    has_null = shown["low_90"].is_not_null().any()
    give_title(figure, f"Best {shown.height:,} of {rows.height:,} conditions", objective, how(rows))
    give_legend(figure, [*handles(shown["decision"].to_list()), _MONTE_CARLO, *([_EFFECT, _LEAST] if has_null else [])])
    return figure


def _draw(panel: Axes, height: float, row: dict[str, Any]) -> None:
    mark = MARKS[row["decision"]]
    if row["score_low"] is not None:
        panel.plot([row["score_low"], row["score_high"]], [height] * 2, color=mark.colour, lw=4, alpha=0.45)
    if row["low_90"] is not None:
        ends = [row["null_centre"] + row["low_90"], row["null_centre"] + row["high_90"]]
        panel.plot(ends, [height] * 2, color=mark.colour, lw=1)
    if row["minimum_effect"] is not None:
        panel.plot([row["null_centre"] + row["minimum_effect"]], [height], "|", color="#000000", ms=9)
    panel.plot([row["score"]], [height], mark.shape, color=mark.colour, ms=5, mec="white", mew=0.6, zorder=3)
    if row["rank_low"] is not None:
        text = f"ranks {row['rank_low']:,}–{row['rank_high']:,}"
        panel.text(1.01, height, text, transform=panel.get_yaxis_transform(), va="center", fontsize=6, color="#444444")
