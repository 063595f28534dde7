"""What the engine measures of a run, in one table; `screening.watching.run_metrics` adds what only a screen knows.

Names are Prometheus's: counters end in `_total`, and units stand in the name. Ray puts `ray_` before them.
"""

from dataclasses import dataclass
from typing import Literal

Kind = Literal["counter", "gauge", "histogram"]
PREFIX = "lingshu_"
LATENCY_BUCKETS = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0)
"""Upper bounds in seconds, from a local disk to a store that was silent for as long as a replica waits for it."""
LEASE_BUCKETS = (0.1, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0, 120.0, 300.0, 600.0, 1800.0, 3600.0)
"""Upper bounds in seconds, around the half minute that a lease should take."""


@dataclass(frozen=True, slots=True)
class Metric:
    """A thing that is measured.

    Attributes
    ----------
    unit
        What the numbers count, or `seconds`, `bytes`.
    labels
        Label → the values that it has, in words; each run adds a label `campaign` to all of them.
    buckets
        Upper bounds, of a histogram.
    """

    kind: Kind
    unit: str
    meaning: str
    labels: tuple[tuple[str, str], ...] = ()
    buckets: tuple[float, ...] = ()

    @property
    def label_names(self) -> tuple[str, ...]:
        """Names of the labels."""
        return tuple(name for name, _ in self.labels)


METRICS: dict[str, Metric] = {
    "lingshu_tasks": Metric(
        "gauge",
        "tasks",
        "tasks of this run: committed, set aside after their last attempt, and still to do",
        (("state", "done, failed, open"),),
    ),
    "lingshu_leases_in_flight": Metric("gauge", "leases", "leases that are handed out: running, or next in a queue"),
    "lingshu_replicas": Metric("gauge", "replicas", "replicas that are up or starting"),
    "lingshu_epoch": Metric(
        "gauge",
        "runs",
        "number of the run that holds the place of results; one more with every run that has begun or taken over there",
    ),
    "lingshu_task_attempts_total": Metric(
        "counter",
        "tasks",
        "attempts that were reported: committed; duplicate, computed while another attempt won; found committed by"
        " then, not computed; failed, and tried again or set aside",
        (("outcome", "committed, duplicate, found, failed"),),
    ),
    "lingshu_leases_total": Metric(
        "counter",
        "leases",
        "leases that were reported: finished; lost with their replica or by their deadline; returned untouched",
        (("status", "finished, lost, returned"),),
    ),
    "lingshu_second_leases_total": Metric("counter", "leases", "leases handed out beside others that were late"),
    "lingshu_lease_seconds_total": Metric(
        "counter", "seconds", "from the handing out of a lease to its report, waiting in the queue included"
    ),
    "lingshu_lease_duration_seconds": Metric(
        "histogram", "seconds", "the same, lease by lease; its sum is approximate on Ray", buckets=LEASE_BUCKETS
    ),
    "lingshu_replica_seconds_total": Metric(
        "counter", "seconds", "time of all replicas together, from their start, whether they work or wait"
    ),
    "lingshu_replica_busy_seconds_total": Metric(
        "counter", "seconds", "of that, time at tasks: in the worker and in the store; known when a lease is reported"
    ),
    "lingshu_commit_seconds_total": Metric(
        "counter", "seconds", "time that commits took: data, record, and trying again"
    ),
    "lingshu_commit_latency_seconds": Metric(
        "histogram", "seconds", "the same, commit by commit; its sum is approximate on Ray", buckets=LATENCY_BUCKETS
    ),
    "lingshu_store_requests_total": Metric(
        "counter",
        "requests",
        "operations asked of the object store, the page of a listing not counted by itself",
        (("operation", "get, load, put, create, swap, copy, exists, delete, list"),),
    ),
    "lingshu_store_errors_total": Metric(
        "counter",
        "requests",
        "operations without a usable answer: unavailable, after the client's own retries; refused, for credentials or"
        " a missing bucket. That a key is absent or taken is an answer",
        (("operation", "as above"), ("kind", "unavailable, refused")),
    ),
    "lingshu_store_retries_total": Metric(
        "counter",
        "steps",
        "steps of a commit or a read of the ledger that were tried again after no answer",
    ),
    "lingshu_store_bytes_total": Metric(
        "counter", "bytes", "content of objects that were read or written", (("direction", "read, written"),)
    ),
}
"""Name → what it is."""
