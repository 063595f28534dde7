"""The plots of a report, each as SVG within the page; where there is nothing to draw, why."""

from __future__ import annotations

import base64
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

from screening.answers.dose_response import DOSES
from screening.errors import FigureError
from screening.figures import as_svg, calibration, dose_response, heat_map, rank_plot, volcano
from screening.publishing.publication import NULL
from screening.report.source import ReportSource

if TYPE_CHECKING:
    from matplotlib.figure import Figure


@dataclass(frozen=True)
class Plot:
    """A plot: its title, what it shows in words, and the SVG as base64; without one, why there is none."""

    title: str
    caption: str
    encoded: str = ""


def plots(source: ReportSource) -> Iterator[Plot]:
    """Yield the plots of these results; the same results give the same pictures."""
    for title, (caption, draw) in _PLOTS.items():
        try:
            figure = draw(source)
        except FigureError as error:
            yield Plot(title, str(error))
        else:
            yield Plot(title, caption, base64.b64encode(as_svg(figure).encode()).decode())


# The question is the title of the page, and not repeated above each plot.
_PLOTS: Mapping[str, tuple[str, Callable[[ReportSource], Figure]]] = {
    "Ranks": (
        "The best conditions, best on top, with the interval of their score and of their rank. Where intervals overlap,"
        " the order between two conditions is not settled.",
        lambda source: rank_plot(source.hits),
    ),
    "Volcano": (
        "Effect above the null against −log10 q, the FDR under the model. Up and to the right is far from chance and"
        " large.",
        lambda source: volcano(source.hits),
    ),
    "Perturbation by context": (
        "Scores of the best perturbations in every context. Hatched: no score there.",
        lambda source: heat_map(source.hits),
    ),
    "Doses": (
        "Scores over doses with Hill curves and the interval of the EC50, where doses span one.",
        lambda source: dose_response(source.hits, source.tables.get(DOSES)),
    ),
    "Whether p-values hold": (
        "Pseudo-perturbations, to which nothing was done, each against the null of the others. On the diagonal the"
        " p-values are right; above it they promise too much.",
        lambda source: calibration(source.hits, source.tables.get(NULL)),
    ),
}
