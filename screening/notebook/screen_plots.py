"""The plots of one screen: `screening.figures` with its tables and its question filled in."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import polars as pl
from matplotlib.figure import Figure

from campaigns.conditions import NULL_TYPE
from screening import figures
from screening.notebook.shown_errors import shown

if TYPE_CHECKING:
    from anndata import AnnData

    from screening.notebook.opened_screen import Screen


class ScreenPlots:
    """Every plot of a screen, as a `matplotlib.figure.Figure` that a notebook shows; ``savefig`` writes it."""

    def __init__(self, screen: Screen) -> None:
        self._screen = screen

    @shown
    def rank(self, top: int = 30, **only: Any) -> Figure:
        """Draw the scores of the best conditions with their intervals; ``only`` is handed to `Screen.hits`.

        Raises
        ------
        FigureError
            As in `screening.figures`, here and below.
        """
        return figures.rank_plot(self._screen.hits(**only), objective=self._screen.question, top=top)

    @shown
    def volcano(self, labels: int = 12, **only: Any) -> Figure:
        """Draw effects above the null against q (FDR under the model)."""
        return figures.volcano(self._screen.hits(**only), objective=self._screen.question, labels=labels)

    @shown
    def heat_map(self, top: int = 30, **only: Any) -> Figure:
        """Draw perturbations × contexts."""
        return figures.heat_map(self._screen.hits(**only), objective=self._screen.question, top=top)

    @shown
    def doses(self, top: int = 6) -> Figure:
        """Draw scores over doses with their Hill curves."""
        hits, question = self._screen.hits(), self._screen.question
        return figures.dose_response(hits, self._table("doses"), objective=question, top=top)

    @shown
    def calibration(self) -> Figure:
        """Draw whether p-values hold where nothing was done."""
        return figures.calibration(self._screen.hits(), self._table("null"), objective=self._screen.question)

    @shown
    def cells(self, real: AnnData | None = None, generated: AnnData | None = None, **options: Any) -> Figure:
        """Draw generated cells over real ones.

        Parameters
        ----------
        real
            Real cells with raw counts.
        generated
            As `screening.draw_cells` gives them; None takes those that the screen kept, without its null.
        options
            Of `screening.figures.cell_map`, such as ``by="cell_type", method="pca"``.
        """
        return figures.cell_map(self._kept() if generated is None else generated, real, **options)

    def _kept(self) -> AnnData:
        """Return the cells that the screen kept, without those of the null: nothing was done to these."""
        cells = self._screen.cells()
        return cells[cells.obs["perturbation_type"] != NULL_TYPE]

    def _table(self, name: str) -> pl.DataFrame | None:
        return self._screen.table(name) if name in self._screen.tables else None
