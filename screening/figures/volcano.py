"""Effect above the null against how surprising it would be without an effect."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import polars as pl
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from screening.deciding.decisions import HIT
from screening.figures.canvas import blank, give_legend, give_title, short, tidy
from screening.figures.marks import MARKS, handles
from screening.figures.scored_rows import how, label_of, scored_rows, unit_of, with_null

SMALLEST = 1e-300
_APART = (0.16, 0.028)
"""Labels that are closer than these shares of width and height would cover one another."""
Array = npt.NDArray[np.float64]


def volcano(hits: pl.DataFrame, *, objective: str = "", labels: int = 12) -> Figure:
    """Draw score less null centre against −log10 q, a shape for each decision.

    Parameters
    ----------
    hits
        The ranked table (`screening.deciding.hits.COLUMNS`).
    objective
        The question, for the title.
    labels
        How many hits get their name, best first, as far as there is room.

    Raises
    ------
    FigureError
        If no condition has a q-value, as of a model without a null.
    """
    rows = with_null(scored_rows(hits), "q_value")
    above = (rows["score"] - rows["null_centre"]).to_numpy()
    height = -np.log10(np.maximum(rows["q_value"].to_numpy(), SMALLEST))
    figure = blank(6.4, 4.8)
    panel = figure.subplots()
    for name, mark in MARKS.items():
        own = (rows["decision"] == name).to_numpy()
        panel.plot(
            *(above[own], height[own]), mark.shape, color=mark.colour, ms=5, mec="white", mew=0.5, rasterized=True
        )
    panel.axvline(0, color="#aaaaaa", lw=0.7, zorder=0)
    panel.set_xlabel(f"score above the null ({unit_of(rows)})", fontsize=8)
    panel.set_ylabel("−log10 q (FDR under the model)", fontsize=8)
    panel.margins(x=0.08, y=0.06)
    tidy(panel)
    _name_hits(panel, rows, above, height, labels)
    give_title(figure, "Effects and their q-values", objective, how(rows))
    give_legend(figure, handles(rows["decision"].to_list()), columns=4)
    return figure


def _name_hits(panel: Axes, rows: pl.DataFrame, above: Array, height: Array, most: int) -> None:
    contexts, placed = rows["context"].n_unique(), list[tuple[float, float]]()
    width, tall = np.ptp(panel.get_xlim()), np.ptp(panel.get_ylim())
    for place, row in enumerate(rows.iter_rows(named=True)):
        if len(placed) == most:
            break
        at = (above[place] / width, height[place] / tall)
        if row["decision"] == HIT and all(_is_apart(at, other) for other in placed):
            text = short(label_of(row, contexts=contexts), 26)
            point = (above[place], height[place])
            panel.annotate(text, point, (0, 5), textcoords="offset points", ha="center", va="bottom", fontsize=6)
            placed.append(at)


def _is_apart(one: tuple[float, float], other: tuple[float, float]) -> bool:
    return abs(one[0] - other[0]) > _APART[0] or abs(one[1] - other[1]) > _APART[1]
