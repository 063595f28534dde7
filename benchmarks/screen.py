"""How many conditions a second a screen on one CPU does, from its file to its hits, and where the time goes.

One trained model (Papalexi's knock-outs in THP-1, alone, in pairs and in triples), three geometric steps, guidance 0,
8 shards of 16 cells, one process and one thread, results in a folder. 500 and 2,000 conditions, each once and whole: if
nothing grows faster than the number of conditions, each takes as long. Stages are those of `screening.run`; the model's
share is the time in shards, the store's the time for which the run waits for it.
"""

from __future__ import annotations

import tempfile
from pathlib import Path

from benchmarks.papalexi_screen import write_screen
from benchmarks.report import Figures, main, table
from benchmarks.stage_clock import Spent, StageClock, model_watched, store_watched
from screening.run import STAGES, run_campaign

SIZES = (500, 2_000)
STEPS, SHARDS, STRATA = 3, 8, 16


def measure() -> Figures:
    """Run both sizes; all figures, those without a number in their name of the larger one."""
    figures: dict[str, float] = {}
    found = {size: measure_screen(size) for size in SIZES}
    table(["figure", *(f"{size} conditions" for size in SIZES)], rows_of(found))
    few, many = (found[size] for size in SIZES)
    figures |= many
    figures |= {f"{name}_{SIZES[0]}": value for name, value in few.items()}
    figures["scaling"] = many["cpu_ms_a_condition"] / few["cpu_ms_a_condition"]
    print(f"\nCPU seconds a condition, {SIZES[1]} over {SIZES[0]}: {figures['scaling']:.3f}")
    return figures


def measure_screen(conditions: int) -> dict[str, float]:
    """Run one screen."""
    clock = StageClock()
    with tempfile.TemporaryDirectory() as name, store_watched() as store, model_watched() as model:
        path = write_screen(Path(name), conditions, f"{name}/screen", steps=STEPS, shards=SHARDS, depth_strata=STRATA)
        began = clock.now()
        result = run_campaign(path, clock)
        whole, stages = clock.now() - began, clock.stages()
    if not result.complete:
        raise SystemExit(result.shortfall)
    return {
        **throughput(conditions, conditions * SHARDS * STRATA, whole),
        **shares(stages, whole.wall),
        "model_share": model.seconds / whole.wall,
        "store_share": store.seconds / whole.wall,
        "store_requests_a_condition": sum(store.calls.values()) / conditions,
    }


def throughput(conditions: int, cells: int, whole: Spent) -> dict[str, float]:
    """Return what was done in a second."""
    return {
        "wall_seconds": whole.wall,
        "cpu_seconds": whole.cpu,
        "conditions_per_second": conditions / whole.wall,
        "conditions_per_cpu_second": conditions / whole.cpu,
        "cells_per_second": cells / whole.wall,
        "cells_per_cpu_second": cells / whole.cpu,
        "cpu_ms_a_condition": 1e3 * whole.cpu / conditions,
    }


def shares(stages: dict[str, Spent], wall: float) -> dict[str, float]:
    """Return the share of the time that each stage took; nothing where it didn't happen."""
    return {f"share_{name}": stages.get(name, Spent()).wall / wall for name in STAGES}


def rows_of(found: dict[int, dict[str, float]]) -> list[list[str | float]]:
    """Put the figures of several sizes side by side."""
    names = next(iter(found.values()))
    return [[name.replace("_", " "), *(figures[name] for figures in found.values())] for name in names]


if __name__ == "__main__":
    main(measure, __doc__ or "")
