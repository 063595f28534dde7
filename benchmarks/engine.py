"""The engine around a worker that only waits: planning, leases, busy replicas, weak scaling; Ray Data beside it."""

from __future__ import annotations

import json
import os
import statistics
import subprocess
import sys
from typing import Any

from benchmarks.report import Figures, main, table

REPLICAS, TASKS_EACH, TASK_SECONDS = 64, 60, 1.0
LEASES = 100_000
REPETITIONS, SHORT_TASK_SECONDS = 5, 0.25


def measure() -> Figures:
    """Measure everything, each in a process of its own; all figures."""
    return {**planning(), **planner(), **overhead(), **scaling(), **ray_leases()}


def planning() -> Figures:
    """Plan a million conditions."""
    found = _run("engine_planning")
    print("\n### Planning 20,000 perturbations x 50 contexts\n")
    rows = [[name.replace("_", " "), value] for name, value in found.items()]
    table(["figure", "value"], rows)
    return {f"planning_{name}": value for name, value in found.items()}


def planner() -> Figures:
    """Hand out a hundred thousand leases to replicas that are arithmetic."""
    found = _run("engine_leases", LEASES)
    print("\n### The planner alone\n")
    table(["figure", "value"], [[name.replace("_", " "), value] for name, value in found.items()])
    return {f"planner_{name}": value for name, value in found.items()}


def overhead() -> Figures:
    """Compare the time of a run on one replica with what its worker waits."""
    runs = [_run("engine_replicas", "busy", 1, 40, SHORT_TASK_SECONDS) for _ in range(REPETITIONS)]
    value = statistics.median(run["overhead"] for run in runs)
    print(f"\n### One replica, tasks of {SHORT_TASK_SECONDS} s\n")
    table(["run", "wall, s", "wall over waiting"], [[i, r["wall_seconds"], r["overhead"]] for i, r in enumerate(runs)])
    return {"overhead": value}


def scaling() -> Figures:
    """Give every replica the same work, one of them and 64; and the same to Ray Data."""
    one = _run("engine_replicas", "busy", 1, TASKS_EACH, TASK_SECONDS)
    many = _run("engine_replicas", "busy", REPLICAS, TASKS_EACH, TASK_SECONDS)
    data = _run("engine_replicas", "data", REPLICAS, TASKS_EACH, TASK_SECONDS)
    print(f"\n### {TASKS_EACH} tasks of {TASK_SECONDS} s a replica\n")
    rows = [
        [name, r["replicas"], r["load_seconds"], r["wall_seconds"], r["span_seconds"], r["busy"]]
        for name, r in (("pool", one), ("pool", many), ("Ray Data map_batches", data))
    ]
    table(["executor", "replicas", "loading, s", "wall, s", "first to last, s", "busy"], rows)
    return {
        "busy": many["busy"],
        "weak_scaling": one["wall_seconds"] / many["wall_seconds"],
        "load_seconds": many["load_seconds"],
        "data_busy": data["busy"],
        "data_weak_scaling": one["wall_seconds"] / data["wall_seconds"],
        "data_load_seconds": data["load_seconds"],
    }


def ray_leases() -> Figures:
    """Hand out a hundred thousand leases to real replicas, as fast as it goes."""
    found = _run("engine_replicas", "leases", 4, LEASES // 4, 0)
    print("\n### Leases through Ray, one task that takes no time in each\n")
    table(["figure", "value"], [[name.replace("_", " "), value] for name, value in found.items()])
    return {f"ray_{name}": value for name, value in found.items()}


def _run(module: str, *arguments: object) -> dict[str, Any]:
    command = [sys.executable, "-m", f"benchmarks.{module}", *map(str, arguments)]
    done = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True, env={**os.environ})
    found: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return found


if __name__ == "__main__":
    main(measure, __doc__ or "")
