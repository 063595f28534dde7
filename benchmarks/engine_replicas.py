"""Real replicas that only wait: how busy they are, how it scales, what a lease costs; Ray Data with the same work.

One measurement a process, so that none inherits the memory of another::

    python -m benchmarks.engine_replicas busy 64 60 1.0     replicas, tasks each, seconds of a task
    python -m benchmarks.engine_replicas data 64 60 1.0     the same with Ray Data
    python -m benchmarks.engine_replicas leases 8 12500 0   every task a lease of its own

Replicas take a sliver of a CPU each: waiting needs none, and Ray would start idle processes for every CPU.
"""

from __future__ import annotations

import json
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from actors.blobs import open_blobs
from actors.cluster import ray_session
from actors.ledger import Ledger
from actors.planner import Planner, PlannerSettings
from actors.pool import LEASES_PER_REPLICA
from actors.progress import Progress
from actors.ray_pool import RayPool, ReplicaShape
from actors.worker import WorkerSpec
from benchmarks.engine_worker import BatchWaiter, tasks, waited
from benchmarks.memory import MemoryLog

SHARE = 0.01
TASKS_PER_LEASE = 2
SPEC = WorkerSpec("benchmarks.engine_worker:Waiter")


def busy(replicas: int, tasks_each: int, seconds: float) -> dict[str, Any]:
    """Run so many tasks a replica, from when all replicas are up."""
    with tempfile.TemporaryDirectory() as store, opened(replicas, store) as (pool, loading):
        settings = PlannerSettings(lease_seconds=TASKS_PER_LEASE * seconds * 1.01)
        summary = Planner(pool, Ledger(open_blobs(store)), settings).run(tasks(replicas * tasks_each, seconds))
        found = waited(store)
    return {
        "replicas": replicas,
        "tasks": summary.committed,
        "load_seconds": loading,
        "wall_seconds": summary.elapsed_seconds,
        "span_seconds": found.span,
        "busy": found.seconds / (replicas * found.span),
        "overhead": summary.elapsed_seconds * replicas / found.seconds,
    }


def data(replicas: int, tasks_each: int, seconds: float) -> dict[str, Any]:
    """Do the same with `map_batches` of Ray Data, which waits for all its actors before it begins."""
    import ray

    with tempfile.TemporaryDirectory() as store, ray_session(num_cpus=2, dashboard=False, auth="disabled"):
        context = ray.data.DataContext.get_current()
        context.wait_for_min_actors_s, context.enable_progress_bars = 600, False
        rows = replicas * tasks_each
        began = time.time()
        ray.data.range(rows, override_num_blocks=rows // TASKS_PER_LEASE).map_batches(
            BatchWaiter,
            fn_constructor_kwargs={"store": store, "seconds": seconds},
            compute=ray.data.ActorPoolStrategy(size=replicas),
            batch_size=TASKS_PER_LEASE,
            num_cpus=SHARE,
        ).materialize()
        wall, found = time.time() - began, waited(store)
    return {
        "replicas": replicas,
        "tasks": rows,
        "load_seconds": found.first - began,
        "wall_seconds": began + wall - found.first,
        "span_seconds": found.span,
        "busy": found.seconds / (replicas * found.span),
    }


def leases(replicas: int, tasks_each: int, seconds: float) -> dict[str, Any]:
    """Hand out every task as a lease of its own, as fast as it goes."""
    memory = MemoryLog(every=1.0)

    def look(progress: Progress) -> None:
        memory.look(progress.done)

    with tempfile.TemporaryDirectory() as store, opened(replicas, store) as (pool, _):
        count, cpu = replicas * tasks_each, time.process_time()
        settings = PlannerSettings(lease_seconds=0.0)
        summary = Planner(pool, Ledger(open_blobs(store)), settings, look).run(tasks(count, seconds))
        cpu = time.process_time() - cpu
    return {
        "leases": summary.committed,
        "seconds": summary.elapsed_seconds,
        "leases_per_second": summary.committed / summary.elapsed_seconds,
        "driver_cpu_ms_per_lease": 1000 * cpu / summary.committed,
        "rss_mb": memory.mb_at_the_end,
        "rss_bytes_per_lease": memory.bytes_each,
    }


@contextmanager
def opened(replicas: int, store: str) -> Iterator[tuple[RayPool, float]]:
    """Start a cluster on this machine and a pool; give it when all replicas are up, with how long that took."""
    with ray_session(num_cpus=2, dashboard=False, auth="disabled"):
        began = time.monotonic()
        with RayPool(replicas, SPEC, store, ReplicaShape(num_cpus=SHARE)) as pool:
            while pool.free_slots() < LEASES_PER_REPLICA * replicas:
                pool.poll(1.0)
            yield pool, time.monotonic() - began


MEASURES: dict[str, Callable[[int, int, float], dict[str, Any]]] = {"busy": busy, "data": data, "leases": leases}

if __name__ == "__main__":
    name, replicas, tasks_each, seconds = sys.argv[1:]
    print(json.dumps(MEASURES[name](int(replicas), int(tasks_each), float(seconds))))
