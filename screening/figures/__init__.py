"""Plots of a screen: pure functions from published tables to a figure of matplotlib.

::

    rank_plot(hits, *, objective="", top=30)                      scores with their intervals, best first
    volcano(hits, *, objective="", labels=12)                     effect above the null against q
    dose_response(hits, doses, *, objective="", top=6)            scores over doses with their Hill curves
    heat_map(hits, *, objective="", top=30)                       perturbation × context
    cell_map(generated, real=None, *, by="perturbation", method="umap", most=2000, seed=0)  cells in two dimensions
    calibration(hits, null, *, objective="")                      whether p-values hold where nothing was done

    as_svg(figure) -> str                                         the same figure is the same text
    as_png(figure, dots_per_inch=150) -> bytes

``hits``, ``doses`` and ``null`` are the published tables (``hits.parquet``, ``doses.parquet``, ``null.parquet``) as
polars reads them, in any order of rows; ``generated`` and ``real`` are AnnData with raw counts in ``X``; ``objective``
is the question of the manifest, for the title. All give a `matplotlib.figure.Figure` and use no pyplot: no global
state, no window.

Where a table doesn't have what a plot shows, `screening.errors.FigureError` says why, in a sentence that can stand in
its place. Colours are those of Okabe and Ito, and each decision has a shape too (`screening.figures.marks`).
"""

from screening.figures.calibration import calibration
from screening.figures.canvas import as_png, as_svg
from screening.figures.cell_map import cell_map
from screening.figures.dose_response import dose_response
from screening.figures.heat_map import heat_map
from screening.figures.rank_plot import rank_plot
from screening.figures.volcano import volcano

__all__ = ["as_png", "as_svg", "calibration", "cell_map", "dose_response", "heat_map", "rank_plot", "volcano"]
