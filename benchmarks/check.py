"""Is anything slower than it was? ``make bench-check`` measures again and holds the ratios against those stored.

Every figure is a ratio of two things measured side by side in one run, so it can be compared between machines. Those
stored are in ``benchmarks/ratios.json``, by benchmark. A figure that has become worse by more than a fifth is a loss,
and the exit code is 1: of ``overhead``, which is wall time over pure model time, it is what it has above 1.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from benchmarks.report import among, table

STORED = Path(__file__).with_name("ratios.json")
LOSS = 0.2
"""The share of a figure that may be lost: what side-by-side medians differ by on a busy machine."""
COSTS = frozenset({"overhead"})
"""Figures of which less is better: one plus a cost. All others are better the higher they are."""
LEAST_COST = 0.02
"""A cost below this is noise: a fifth of it says nothing."""


@dataclass(frozen=True)
class Comparison:
    """A figure as it is stored and as it was found."""

    benchmark: str
    figure: str
    stored: float
    found: float

    @property
    def is_loss(self) -> bool:
        """Whether more than a fifth of it is lost."""
        if self.figure in COSTS:
            return self.found - 1.0 > (1.0 + LOSS) * max(self.stored - 1.0, LEAST_COST)
        return self.found < (1.0 - LOSS) * self.stored


def main() -> None:
    """Measure, print, and leave with 1 if anything was lost."""
    stored: dict[str, dict[str, float]] = json.loads(STORED.read_text())
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--only", type=among(list(stored)), default=list(stored), help=", ".join(stored))
    chosen = parser.parse_args().only
    found = [each for name in chosen for each in compare(name, stored[name], measured(name))]
    rows = [[c.benchmark, c.figure, c.stored, c.found, "LOST" if c.is_loss else "kept"] for c in found]
    table(["benchmark", "figure", "stored", "found", ""], rows)
    sys.exit(any(each.is_loss for each in found))


def compare(benchmark: str, stored: Mapping[str, float], found: Mapping[str, float]) -> list[Comparison]:
    """Hold the figures of one benchmark against those stored.

    Raises
    ------
    SystemExit
        If a figure that is stored wasn't measured.
    """
    if missing := [name for name in stored if name not in found]:
        raise SystemExit(f"{STORED}: benchmark {benchmark!r} has no figure {missing[0]!r}; it has {', '.join(found)}")
    return [Comparison(benchmark, name, float(value), float(found[name])) for name, value in stored.items()]


def measured(benchmark: str) -> dict[str, float]:
    """Run a benchmark in a process of its own and return its figures, the object of its last line."""
    command = [sys.executable, "-m", f"benchmarks.{benchmark}", "--json"]
    done = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True)
    figures: dict[str, float] = json.loads(done.stdout.splitlines()[-1])
    return figures


if __name__ == "__main__":
    main()
