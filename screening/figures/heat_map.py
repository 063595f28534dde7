"""Perturbations × contexts: where an effect is found, where not, and where nobody knows."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import polars as pl
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from screening.deciding.decisions import HIT, REFUSED, UNDECIDED
from screening.figures.canvas import blank, give_legend, give_title, plain, short, tidy
from screening.figures.marks import MARKS, handles
from screening.figures.scored_rows import factors_of, how, scored_rows, unit_of, values_of

MOST_CONTEXTS = 40
Array = npt.NDArray[np.float64]


def heat_map(hits: pl.DataFrame, *, objective: str = "", top: int = 30) -> Figure:
    """Draw the scores of the best perturbations in every context; a condition without a score is hatched.

    Parameters
    ----------
    hits
        The ranked table (`screening.deciding.hits.COLUMNS`).
    objective
        The question, for the title.
    top
        How many perturbations: those with the best ranks anywhere. Of more than 40 contexts, those with the best ones.

    Raises
    ------
    FigureError
        If no condition has a score.
    """
    rows = scored_rows(hits)
    perturbations = rows["perturbation"].unique(maintain_order=True).to_list()
    contexts = sorted(rows["context"].unique(maintain_order=True).to_list()[:MOST_CONTEXTS])
    every = len(perturbations)
    perturbations = perturbations[:top]
    above = _above_null(rows, perturbations, contexts)
    figure = blank(3.2 + 0.34 * max(len(contexts), 8), 2.6 + 0.19 * len(perturbations))
    panel = figure.subplots()
    edge = float(np.nanmax(np.abs(above))) or 1.0
    panel.set_facecolor("#e6e6e6")
    panel.patch.set_hatch("////")
    panel.patch.set_edgecolor("#bbbbbb")
    image = panel.pcolormesh(above, cmap="RdBu_r", vmin=-edge, vmax=edge, edgecolors="white", linewidth=0.5)
    _mark(panel, rows, perturbations, contexts)
    names = [short(values_of(name)) for name in contexts]
    panel.set_xticks(np.arange(len(contexts)) + 0.5, names, rotation=45, ha="right")
    panel.set_yticks(np.arange(len(perturbations)) + 0.5, [short(name) for name in perturbations])
    panel.set_xlabel(plain(factors_of(contexts)), fontsize=8)
    panel.invert_yaxis()
    tidy(panel)
    bar = figure.colorbar(image, ax=panel, shrink=0.6, pad=0.02)
    bar.ax.tick_params(labelsize=6)
    bar.set_label(f"score {_less(rows)}({unit_of(rows)})", fontsize=7)
    give_title(figure, f"Best {len(perturbations):,} of {every:,} perturbations by context", objective, how(rows))
    marked = [name for name in rows["decision"].unique() if name in (HIT, UNDECIDED, REFUSED)]
    give_legend(figure, handles(marked))
    return figure


def _above_null(rows: pl.DataFrame, perturbations: list[str], contexts: list[str]) -> Array:
    """Return scores less the null's centre where there is one, (perturbations, contexts), NaN for none."""
    across, down = {name: i for i, name in enumerate(contexts)}, {name: i for i, name in enumerate(perturbations)}
    found = np.full((len(perturbations), len(contexts)), np.nan)
    kept = rows.filter(pl.col("perturbation").is_in(perturbations) & pl.col("context").is_in(contexts))
    for perturbation, context, score, centre in kept.select(
        "perturbation", "context", "score", "null_centre"
    ).iter_rows():
        found[down[perturbation], across[context]] = score - (centre or 0.0)
    return found


def _less(rows: pl.DataFrame) -> str:
    return "above the null " if rows["null_centre"].is_not_null().any() else ""


def _mark(panel: Axes, rows: pl.DataFrame, perturbations: list[str], contexts: list[str]) -> None:
    across, down = {name: i for i, name in enumerate(contexts)}, {name: i for i, name in enumerate(perturbations)}
    for name in (HIT, UNDECIDED, REFUSED):
        own = rows.filter(
            (pl.col("decision") == name)
            & pl.col("perturbation").is_in(perturbations)
            & pl.col("context").is_in(contexts)
        )
        x = [across[each] + 0.5 for each in own["context"]]
        y = [down[each] + 0.5 for each in own["perturbation"]]
        panel.plot(x, y, MARKS[name].shape, color=MARKS[name].colour, ms=4, mec="white", mew=0.7)
