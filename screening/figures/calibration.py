"""Whether p-values hold: those of pseudo-perturbations, to which nothing was done, ought to be uniform."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import polars as pl
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import Patch
from scipy import stats

from screening.deciding.null_distribution import LEAST_BLOCKS, NullDistribution
from screening.deciding.null_table import standardised_blocks
from screening.deciding.null_tails import NullTails
from screening.errors import FigureError
from screening.figures.canvas import blank, give_legend, give_title, tidy
from screening.figures.marks import PALETTE
from screening.figures.scored_rows import how, scored_rows, with_null

MOST_BLOCKS = 2_000
"""Of more, evenly spaced ones are left out in turn: each takes a fit of the null."""
_CONDITIONS, _NOTHING = PALETTE[1], PALETTE[0]
Array = npt.NDArray[np.float64]


def calibration(hits: pl.DataFrame, null: pl.DataFrame | None, *, objective: str = "") -> Figure:
    """Draw the p-values of pseudo-perturbations and of conditions against those that nothing but chance would give.

    Each pseudo-perturbation is held against the null of the others of its context. Where the null is right, they lie on
    the diagonal, mostly inside the band (90 % of every single place, if they were independent). Above it, p-values
    promise too much; below it, they are cautious.

    Parameters
    ----------
    hits
        The ranked table (`screening.deciding.hits.COLUMNS`).
    null
        ``null.parquet`` (`screening.deciding.null_table`).
    objective
        The question, for the title.

    Raises
    ------
    FigureError
        If the model has no null, or one that is too small for p-values.
    """
    if null is None or null.is_empty():
        raise FigureError("there is nothing to draw: the model has no null; train with `pseudo_perturbations`")
    rows = with_null(scored_rows(hits), "p_null")
    nothing = left_out_p_values(null)
    if not len(nothing):
        least = f"none of its contexts has {LEAST_BLOCKS} pseudo-perturbations with a spread; train with more"
        raise FigureError(f"there is nothing to draw: the null can't be tested: {least}")
    figure = blank(5.2, 5.4)
    panel = figure.subplots()
    _draw_band(panel, len(nothing))
    _draw(panel, rows["p_null"].to_numpy(), "o", _CONDITIONS)
    _draw(panel, nothing, "s", _NOTHING)
    panel.set_xlabel("−log10 p, expected of chance alone", fontsize=8)
    panel.set_ylabel("−log10 p, found", fontsize=8)
    tidy(panel)
    give_title(figure, "Whether p-values hold", objective, how(rows))
    give_legend(figure, _legend(len(nothing), rows.height), columns=1)
    return figure


def left_out_p_values(null: pl.DataFrame) -> Array:
    """Return the p-value of every pseudo-perturbation against the others of its context, (pseudo-perturbations,)."""
    tails, found = NullTails.of(standardised_blocks(null)), [np.empty(0)]
    done = null.filter(pl.col("status") == "done")
    every = -(-done.height // MOST_BLOCKS)
    for _, rows in done.group_by("context", maintain_order=True):
        scores, cells = rows["score"].to_numpy().astype(float), rows["training_cells_all"].to_numpy().astype(float)
        if len(scores) >= LEAST_BLOCKS:
            found.append(_left_out(scores, cells, tails, every))
    return np.concatenate(found)


def _left_out(scores: Array, cells: Array, tails: NullTails, every: int) -> Array:
    z = []
    for place in range(0, len(scores), every):
        others = NullDistribution.of(np.delete(scores, place), np.delete(cells, place))
        if others is not None and others.sd > 0:
            z.append((scores[place] - others.centre) / others.sd_of([float(cells[place])]))
    return tails.p_values(np.array(z), np.full(len(z), len(scores) - 1))


def _draw(panel: Axes, p_values: Array, shape: str, colour: str) -> None:
    found = -np.log10(np.sort(p_values))
    panel.plot(_expected(len(found)), found, shape, color=colour, ms=4, mec="white", mew=0.4, rasterized=True)


def _draw_band(panel: Axes, number: int) -> None:
    """Draw where 90 % of each order statistic of uniform p-values lie, a beta distribution."""
    order = np.arange(1, number + 1)
    low, high = (-np.log10(stats.beta.ppf(level, order, number + 1 - order)) for level in (0.95, 0.05))
    expected = _expected(number)
    panel.fill_between(expected, low, high, color="#cccccc", alpha=0.6, lw=0, zorder=0)
    panel.plot([0, expected[0]], [0, expected[0]], color="#444444", lw=0.8, zorder=1)


def _expected(number: int) -> Array:
    return np.asarray(-np.log10((np.arange(1, number + 1) - 0.5) / number), dtype=np.float64)


def _legend(nothing: int, conditions: int) -> list[Line2D | Patch]:
    return [
        Line2D([], [], ls="", marker="s", color=_NOTHING, label=f"{nothing:,} pseudo-perturbations, left out in turn"),
        Line2D([], [], ls="", marker="o", color=_CONDITIONS, label=f"{conditions:,} conditions"),
        Patch(color="#cccccc", label="90 % of each place, if nothing but chance were at work"),
    ]
