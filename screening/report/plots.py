"""The plots of a report, as SVG within the page."""

from __future__ import annotations

import base64
import io
from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING

from screening.report.source import ReportSource

if TYPE_CHECKING:
    from matplotlib.figure import Figure


@dataclass(frozen=True)
class Plot:
    """A plot: its title, what it shows in words, and the SVG as base64."""

    title: str
    caption: str
    encoded: str


def plots(source: ReportSource) -> Iterator[Plot]:
    """Yield the plots that these results have."""
    yield from ()
