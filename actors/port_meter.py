"""Measurements at a port of this process, for a run without a cluster."""

import threading
from collections.abc import Mapping
from typing import Any
from wsgiref.simple_server import WSGIServer

from actors.errors import MetricsUnavailable
from actors.metrics import Metric

HOST = "127.0.0.1"


class PortMeter:
    """`Meter` that shows everything at `http://127.0.0.1:PORT/metrics` until it is closed.

    Parameters
    ----------
    metrics
        Every name that may be measured.
    labels
        What all measurements of this meter share, such as the campaign.
    port
        0 for any that is free.

    Attributes
    ----------
    url
        Where Prometheus finds them.

    Raises
    ------
    MetricsUnavailable
        The port is taken, or may not be opened.
    """

    def __init__(self, metrics: Mapping[str, Metric], labels: Mapping[str, str], port: int) -> None:
        self._labels = dict(labels)
        self._server, self._thread, registry = _serve(port)
        self.url = f"http://{HOST}:{self._server.server_port}/metrics"
        self._instruments = {name: _open(name, metric, labels, registry) for name, metric in metrics.items()}

    def count(self, name: str, amount: float = 1.0, **labels: str) -> None:
        """Add to a counter."""
        self._child(name, labels).inc(amount)

    def set(self, name: str, value: float, **labels: str) -> None:
        """Say what a gauge shows from now on."""
        self._child(name, labels).set(value)

    def observe(self, name: str, value: float, **labels: str) -> None:
        """Add one to a bucket."""
        self._child(name, labels).observe(value)

    def close(self) -> None:
        """Give the port back."""
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()

    def _child(self, name: str, labels: Mapping[str, str]) -> Any:
        return self._instruments[name].labels(**self._labels, **labels)


def _serve(port: int) -> tuple[WSGIServer, threading.Thread, Any]:
    from prometheus_client import CollectorRegistry, start_http_server  # imported here: few runs need it

    registry = CollectorRegistry()
    try:
        return *start_http_server(port, HOST, registry), registry
    except OSError as error:
        raise MetricsUnavailable(
            f"metrics can't be shown at {HOST}:{port}: {error.strerror or error}. Choose another port, or leave it out"
        ) from None


def _open(name: str, metric: Metric, labels: Mapping[str, str], registry: Any) -> Any:
    from prometheus_client import Counter, Gauge, Histogram

    names = (*labels, *metric.label_names)
    if metric.kind == "counter":
        return Counter(name, metric.meaning, names, registry=registry)
    if metric.kind == "gauge":
        return Gauge(name, metric.meaning, names, registry=registry)
    return Histogram(name, metric.meaning, names, registry=registry, buckets=metric.buckets)
