"""Who measures a run: counts, values that rise and fall, and durations, by names of `actors.metrics`.

Whatever measures tells a `Meter`. Most tell a `Recorder`, which keeps all until somebody drains it: so measurements of
a replica travel to the planner with the report of each lease, exact, and nobody but the planner has to be scraped. What
a replica has measured since its last report is lost with it.
"""

import threading
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Protocol

Key = tuple[str, tuple[tuple[str, str], ...]]
"""Name of a metric, and its labels with their values, sorted."""


class Meter(Protocol):
    """Hears measurements; each name is one of a table of metrics, and labels are those of the table."""

    def count(self, name: str, amount: float = 1.0, **labels: str) -> None:
        """Add to a counter."""
        ...

    def set(self, name: str, value: float, **labels: str) -> None:
        """Say what a gauge shows from now on."""
        ...

    def observe(self, name: str, value: float, **labels: str) -> None:
        """Add one to the bucket of a histogram that the value falls in."""
        ...


class NoMeter:
    """Hears nothing."""

    def count(self, name: str, amount: float = 1.0, **labels: str) -> None:
        """Let it go."""

    def set(self, name: str, value: float, **labels: str) -> None:
        """Let it go."""

    def observe(self, name: str, value: float, **labels: str) -> None:
        """Let it go."""


@dataclass(frozen=True, slots=True)
class Measures:
    """What was measured in a while; plain data, which travels between processes."""

    counts: Mapping[Key, float] = field(default_factory=dict)
    gauges: Mapping[Key, float] = field(default_factory=dict)
    observed: Mapping[Key, tuple[float, ...]] = field(default_factory=dict)

    def tell(self, meter: Meter) -> None:
        """Tell another meter all of it."""
        for (name, labels), amount in self.counts.items():
            meter.count(name, amount, **dict(labels))
        for (name, labels), value in self.gauges.items():
            meter.set(name, value, **dict(labels))
        for (name, labels), values in self.observed.items():
            for value in values:
                meter.observe(name, value, **dict(labels))


class Recorder:
    """`Meter` that remembers until it is drained."""

    def __init__(self) -> None:
        self._changing = threading.Lock()
        self._clear()

    def count(self, name: str, amount: float = 1.0, **labels: str) -> None:
        """Add to a counter."""
        key = _key(name, labels)
        with self._changing:
            self._counts[key] = self._counts.get(key, 0.0) + amount

    def set(self, name: str, value: float, **labels: str) -> None:
        """Remember the latest value."""
        with self._changing:
            self._gauges[_key(name, labels)] = value

    def observe(self, name: str, value: float, **labels: str) -> None:
        """Remember one more value."""
        with self._changing:
            self._observed.setdefault(_key(name, labels), []).append(value)

    def drain(self) -> Measures:
        """Return what was measured since the last time, and forget it."""
        with self._changing:
            observed = {key: tuple(values) for key, values in self._observed.items()}
            measures = Measures(self._counts, self._gauges, observed)
            self._clear()
        return measures

    def _clear(self) -> None:
        self._counts: dict[Key, float] = {}
        self._gauges: dict[Key, float] = {}
        self._observed: dict[Key, list[float]] = {}


def _key(name: str, labels: Mapping[str, str]) -> Key:
    return name, tuple(sorted(labels.items()))
