"""What all plots share: a figure without pyplot, its title, and plain text where matplotlib would read formulas."""

from __future__ import annotations

import io
import textwrap
from collections.abc import Sequence

import matplotlib
from matplotlib.artist import Artist
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

LONGEST_LABEL = 36
_LETTERS_PER_INCH = 13
_SCREEN_DOTS = 90


class ShownFigure(Figure):
    """A figure that a notebook shows although pyplot knows nothing of it."""

    def _repr_png_(self) -> bytes:
        return as_png(self, _SCREEN_DOTS)


def blank(width: float, height: float) -> Figure:
    """Return an empty figure of so many inches."""
    figure = ShownFigure(figsize=(width, height), layout="constrained")
    FigureCanvasAgg(figure)
    return figure


def give_title(figure: Figure, what: str, objective: str, how: str = "") -> None:
    """Write above a figure what it shows, that it is predicted, for which objective, and how it was computed."""
    letters = int(figure.get_figwidth() * _LETTERS_PER_INCH)
    lines = [f"{what} (predicted)", objective, how]
    wrapped = [textwrap.fill(plain(line), letters) for line in lines if line]
    figure.suptitle("\n".join(wrapped), fontsize=9)


def give_legend(figure: Figure, handles: Sequence[Artist], columns: int = 3) -> None:
    """Put a legend below everything."""
    figure.legend(handles=list(handles), loc="outside lower center", ncols=columns, fontsize=7, frameon=False)


def tidy(panel: Axes) -> None:
    """Take away the lines that say nothing."""
    panel.spines[["top", "right"]].set_visible(False)
    panel.tick_params(labelsize=7)


def plain(text: str) -> str:
    """Keep matplotlib from reading dollar signs as formulas: names come from people."""
    return text.replace("$", r"\$")


def short(text: str, longest: int = LONGEST_LABEL) -> str:
    """Return a label that fits beside an axis, as plain text."""
    return plain(text if len(text) <= longest else f"{text[: longest - 1]}…")


def as_svg(figure: Figure) -> str:
    """Return a figure as SVG; the same figure is the same text, without a date or a random name in it."""
    buffer = io.StringIO()
    with matplotlib.rc_context({"svg.hashsalt": "lingshu", "svg.fonttype": "path"}):
        figure.savefig(buffer, format="svg", metadata={"Date": None, "Creator": None})
    return buffer.getvalue()


def as_png(figure: Figure, dots_per_inch: int = 150) -> bytes:
    """Return a figure as PNG; the same figure is the same bytes."""
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png", dpi=dots_per_inch, metadata={"Software": None})
    return buffer.getvalue()
