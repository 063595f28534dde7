"""How long the command line takes to answer: wall and CPU seconds of whole processes, medians of five."""

from __future__ import annotations

import resource
import subprocess
import sys
import time

import numpy as np

from benchmarks.report import EXAMPLES, Figures, main, table

REPETITIONS = 5
COMMANDS = {
    "help": ["--help"],
    "run_help": ["run", "--help"],
    "validate": ["validate", str(EXAMPLES / "papalexi/screen.yaml")],
}


def measure() -> Figures:
    """Time every command; all figures."""
    figures: dict[str, float] = {}
    rows = []
    for name, arguments in COMMANDS.items():
        wall, cpu = zip(*(_once(arguments) for _ in range(REPETITIONS)), strict=True)
        figures |= {f"{name}_wall": float(np.median(wall)), f"{name}_cpu": float(np.median(cpu))}
        rows.append([f"lingshu {' '.join(arguments)}", figures[f"{name}_wall"], figures[f"{name}_cpu"]])
    table(["command", "wall, s", "CPU, s"], rows)
    return figures


def _once(arguments: list[str]) -> tuple[float, float]:
    before, started = resource.getrusage(resource.RUSAGE_CHILDREN), time.monotonic()
    subprocess.run([sys.executable, "-m", "screening.cli", *arguments], check=True, capture_output=True)
    wall, after = time.monotonic() - started, resource.getrusage(resource.RUSAGE_CHILDREN)
    return wall, after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime


if __name__ == "__main__":
    main(measure, __doc__ or "")
