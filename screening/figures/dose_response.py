"""Scores over doses with their Hill curves, a panel for each drug in each context."""

from __future__ import annotations

import math
import re
from typing import Any

import numpy as np
import polars as pl
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from screening.answers.dose_response import ABOVE, BELOW, FITTED, FLAT, NOT_MONOTONE, TOO_FEW
from screening.answers.hill_curve import HillCurves
from screening.errors import FigureError
from screening.figures.canvas import blank, give_legend, give_title, short, tidy
from screening.figures.marks import MARKS, handles
from screening.figures.scored_rows import how, label_of, scored_rows, unit_of

_ACROSS = 3
_WORDS = {
    FITTED: "",
    ABOVE: "EC50 above the doses",
    BELOW: "EC50 below the doses",
    FLAT: "flat",
    NOT_MONOTONE: "not monotone",
    TOO_FEW: "too few doses for a curve",
}


def dose_response(hits: pl.DataFrame, doses: pl.DataFrame | None, *, objective: str = "", top: int = 6) -> Figure:
    """Draw scores over doses, with the Hill curve and the interval of the EC50 where there are some.

    Parameters
    ----------
    hits
        The ranked table (`screening.deciding.hits.COLUMNS`).
    doses
        ``doses.parquet`` (`screening.answers.dose_response.COLUMNS`).
    objective
        The question, for the title.
    top
        How many panels, a perturbation in a context each: those of the highest scores.

    Raises
    ------
    FigureError
        If nothing has a dose.
    """
    if doses is None or doses.is_empty():
        raise FigureError("there is nothing to draw: no perturbation of this screen has a dose")
    rows = scored_rows(hits)
    best = doses.sort("best_score", descending=True, nulls_last=True).head(top)
    across = min(_ACROSS, math.ceil(math.sqrt(best.height)))
    down = math.ceil(best.height / across)
    figure = blank(2.4 * max(across, 2), 1.5 + 2.0 * down)
    panels = figure.subplots(down, across, squeeze=False, sharey=True)
    contexts, seen = doses["context"].n_unique(), list[str]()
    for panel, curve in zip(panels.flat, best.iter_rows(named=True), strict=False):
        own = _rows_of(rows, curve)
        seen += own["decision"].to_list()
        _draw(panel, curve, own)
        note = _WORDS.get(curve["outcome"], curve["outcome"])
        panel.set_title(short(label_of(curve, contexts=contexts), 34) + (f"\n{note}" if note else ""), fontsize=7)
    for panel in panels.flat[best.height :]:
        panel.set_axis_off()
    for panel in panels.flat[: best.height]:
        panel.set_xlabel("dose (units of the\ntraining data, log)", fontsize=7)
    for panel in panels[:, 0]:
        panel.set_ylabel(f"score ({unit_of(rows)})", fontsize=7)
    give_title(figure, f"Dose–response, best {best.height:,} of {doses.height:,}", objective, how(rows))
    give_legend(figure, handles(seen), columns=4)
    return figure


def _rows_of(rows: pl.DataFrame, curve: dict[str, Any]) -> pl.DataFrame:
    """Return the doses of one perturbation in one context; their labels are the name with ``@dose`` at every part."""
    here = rows.filter((pl.col("context") == curve["context"]) & pl.col("dose").is_not_null())
    names = [_undosed(label, dose) for label, dose in here.select("perturbation", "dose").iter_rows()]
    return here.filter(pl.Series(names, dtype=pl.String) == curve["perturbation"]).sort("dose")


def _undosed(label: str, dose: float) -> str:
    return re.sub(rf"@{re.escape(repr(dose).removesuffix('.0'))}(?=\+|$)", "", label)


def _draw(panel: Axes, curve: dict[str, Any], rows: pl.DataFrame) -> None:
    for row in rows.iter_rows(named=True):
        mark = MARKS[row["decision"]]
        if row["score_low"] is not None:
            panel.plot([row["dose"]] * 2, [row["score_low"], row["score_high"]], color=mark.colour, lw=2, alpha=0.5)
        panel.plot([row["dose"]], [row["score"]], mark.shape, color=mark.colour, ms=5, mec="white", mew=0.6, zorder=3)
    panel.axhline(0, color="#aaaaaa", lw=0.7, zorder=0)
    panel.set_xscale("log")
    if curve["outcome"] == FITTED:
        _draw_curve(panel, curve)
    tidy(panel)


def _draw_curve(panel: Axes, curve: dict[str, Any]) -> None:
    hill = HillCurves(*(np.array([curve[name]]) for name in ("emax", "ec50", "slope")))
    doses = np.geomspace(curve["lowest_dose"], curve["highest_dose"], 60)
    panel.plot(doses, [hill.at(dose)[0] for dose in doses], color="#000000", lw=1, zorder=1)
    low, high = curve["ec50_low"] or curve["lowest_dose"], curve["ec50_high"] or curve["highest_dose"]
    panel.axvspan(low, high, color="#cccccc", alpha=0.5, lw=0, zorder=0)
    panel.axvline(curve["ec50"], color="#444444", lw=0.8, ls="--", zorder=1)
    panel.text(0.03, 0.97, f"EC50 {curve['ec50']:.3g}", transform=panel.transAxes, va="top", fontsize=6)
