"""Tables and JSON of a benchmark, printed in one way."""

from __future__ import annotations

import argparse
import json
import os
import platform
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import torch

EXAMPLES = Path("campaigns/examples")
RESULTS = Path("results/benchmarks")
DATA = Path(os.environ.get("LINGSHU_DATA", "../shared/data"))

Figures = Mapping[str, Any]


def main(measure: Callable[[], Figures], about: str) -> None:
    """Run one benchmark; with ``--json`` the last line is one object of all figures."""
    parser = argparse.ArgumentParser(description=about)
    parser.add_argument("--json", action="store_true", help="print the figures as one JSON object, last line")
    arguments = parser.parse_args()
    if not DATA.exists():
        parser.error(f"{DATA} is not there; set LINGSHU_DATA to the folder with the data sets")
    torch.set_num_threads(1)
    figures = measure()
    print(f"\nmachine: {platform.machine()}, {os.cpu_count()} CPUs, one thread; torch {torch.__version__}")
    if arguments.json:
        print(json.dumps(figures))


def among(known: Sequence[str]) -> Callable[[str], list[str]]:
    """Return a reader of a command line's list: names with commas between them, refused where one isn't known."""

    def read(text: str) -> list[str]:
        chosen = text.split(",")
        for name in chosen:
            if name not in known:
                raise argparse.ArgumentTypeError(f"{name!r} is none of {', '.join(known)}")
        return chosen

    return read


def table(columns: Sequence[str], rows: Sequence[Sequence[Any]]) -> None:
    """Print a Markdown table."""
    print(f"| {' | '.join(columns)} |")
    print(f"|{'---|' * len(columns)}")
    for row in rows:
        print(f"| {' | '.join(_cell(value) for value in row)} |", flush=True)


def _cell(value: Any) -> str:
    return f"{value:.3f}" if isinstance(value, float) else str(value)


class Silent:
    """A listener that hears nothing."""

    def stage(self, name: str, detail: str) -> None:
        """Ignore a stage."""

    def progress(self, progress: object) -> None:
        """Ignore progress."""
