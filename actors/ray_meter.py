"""Measurements by way of Ray: each node's metrics port shows them to Prometheus, with `ray_` before the names.

Ray collects them from this process every ten seconds, and once more when it leaves the cluster. It forgets a gauge that
isn't set anew for twenty, and keeps counters for as long as the node lives.
"""

import sys
from collections.abc import Mapping
from typing import Any

from actors.metrics import Metric


class RayMeter:
    """`Meter` of a process that is connected to a Ray cluster.

    Parameters
    ----------
    metrics
        Every name that may be measured.
    labels
        What all measurements of this meter share, such as the campaign.
    """

    def __init__(self, metrics: Mapping[str, Metric], labels: Mapping[str, str]) -> None:
        self._metrics, self._labels = metrics, dict(labels)
        self._opened: dict[str, Any] = {}

    def count(self, name: str, amount: float = 1.0, **labels: str) -> None:
        """Add to a counter."""
        if amount > 0:  # Ray refuses to add nothing
            self._instrument(name).inc(amount, self._labels | labels)

    def set(self, name: str, value: float, **labels: str) -> None:
        """Say what a gauge shows from now on."""
        self._instrument(name).set(value, self._labels | labels)

    def observe(self, name: str, value: float, **labels: str) -> None:
        """Add one to a bucket."""
        self._instrument(name).observe(value, self._labels | labels)

    def _instrument(self, name: str) -> Any:
        if name not in self._opened:
            self._opened[name] = self._open(name, self._metrics[name])
        return self._opened[name]

    def _open(self, name: str, metric: Metric) -> Any:
        from ray.util import metrics as ray_metrics  # imported here, so that a run without a cluster doesn't pay for it

        labels = (*self._labels, *metric.label_names)
        if metric.kind == "counter":
            return ray_metrics.Counter(name, metric.meaning, labels)
        if metric.kind == "gauge":
            return ray_metrics.Gauge(name, metric.meaning, labels)
        return ray_metrics.Histogram(name, metric.meaning, list(metric.buckets), labels)


def is_connected() -> bool:
    """Tell whether this process is connected to a Ray cluster; one that has never imported Ray is not."""
    ray = sys.modules.get("ray")
    return ray is not None and bool(ray.is_initialized())
