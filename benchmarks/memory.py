"""How much memory this process has, now and over time."""

from __future__ import annotations

import time
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np


def resident() -> int:
    """Return the resident memory of this process in bytes (Linux)."""
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return pages * 4096


@dataclass
class MemoryLog:
    """Resident memory beside the amount of work that is done, one sample every so often.

    Parameters
    ----------
    every
        Seconds between two samples.
    """

    every: float = 0.5
    samples: list[tuple[int, int]] = field(default_factory=list)
    _due: float = 0.0

    def look(self, done: int) -> None:
        """Take a sample, if it is time for one."""
        if time.monotonic() >= self._due:
            self._due = time.monotonic() + self.every
            self.samples.append((done, resident()))

    @property
    def mb_at_the_end(self) -> float:
        """Memory of the last sample."""
        return self.samples[-1][1] / 1e6

    @property
    def bytes_each(self) -> float:
        """Slope of a straight line through the samples of the second half of the work: growth for each unit of it."""
        done, memory = np.array(self.samples[len(self.samples) // 2 :], dtype=float).T
        return float(np.polyfit(done, memory, 1)[0]) if len(done) > 2 else 0.0
