"""How a decision looks: a colour that colour-blind readers tell apart (Okabe and Ito 2008), and a shape."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from matplotlib.lines import Line2D

from screening.deciding.decisions import HIT, NOT, REFUSED, UNDECIDED

UNKNOWN = "no decision"
"""Of tables that are older than decisions."""
PALETTE = ("#0072b2", "#d55e00", "#009e73", "#cc79a7", "#56b4e9", "#e69f00", "#000000", "#b3a100")
"""For things that are no decisions; eight of them, then from the beginning."""


@dataclass(frozen=True)
class Mark:
    """Colour, shape (in matplotlib's code) and words of a decision."""

    colour: str
    shape: str
    words: str

    def handle(self, size: float = 6) -> Line2D:
        """Return its entry of a legend."""
        return Line2D([], [], ls="", marker=self.shape, ms=size, color=self.colour, mec="white", label=self.words)


MARKS: Mapping[str, Mark] = {
    HIT: Mark("#d55e00", "o", "hit"),
    UNDECIDED: Mark("#0072b2", "D", "undecided"),
    NOT: Mark("#6b6b6b", "s", "not (too small to matter)"),
    REFUSED: Mark("#000000", "X", "refused (gate fails)"),
    UNKNOWN: Mark("#009e73", "v", "no decision"),
}
"""In the order of a legend; a failed condition has no score, so it is in no plot."""


def handles(decisions: Sequence[str]) -> list[Line2D]:
    """Return the legend of those decisions that occur."""
    return [mark.handle() for name, mark in MARKS.items() if name in set(decisions)]
