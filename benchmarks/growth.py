"""What a transformer adds on top of the direct paths as cells and size grow.

Papalexi, replicate 3 left out (controls too), trained on 2,000, 5,000 and all 14,479 other cells, drawn at random.
Every model has the same CPU minutes of one core: the epochs are as many as fit (60 at most), the learning rate falls
over them, and training stops where validation has not gained for eight epochs. The direct paths stop there long before
their time is over, while the rate is still high; so they stand there with fewer epochs too. Figures: loss of the
left-out cells, Pearson-Δ of the 25 knock-outs and of the strong four, and PDS.

A row is a configuration, a number of cells and a seed; it is appended to results/benchmarks/growth/rows.jsonl, and
what is there is not computed again. ``--table`` prints what there is.
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
import torch

from benchmarks.ablation import agreement
from benchmarks.ablation_data import TASKS, Task
from benchmarks.ablation_training import cells_per_second
from benchmarks.agreement import Predictor
from benchmarks.report import DATA, RESULTS, table
from campaigns.training_spec import Configuration, ModelSpec
from lingshu_core.checkpoint import load_checkpoint
from lingshu_core.preparation import training_set
from lingshu_core.reveal import RevealSettings
from lingshu_core.training import validation_loss
from screening.training.training_run import finish, prepare, training_config

MINUTES, MOST_EPOCHS = 2.0, 60
SIZES = (2_000, 14_479, 5_000)
"""In the order in which they are run."""
SETTINGS = RevealSettings(steps=6, schedule="geometric", guidance=0.0)
FOLDER = RESULTS / "growth"
FILE = FOLDER / "rows.jsonl"
FIGURES = {
    "loss": "held-out loss",
    "strong_raw": "Pearson-Δ, strong four",
    "pearson_raw": "all 25",
    "pds": "PDS",
    "parameters": "parameters",
    "epochs": "epochs",
    "cpu_seconds": "training, CPU s",
}

Record = dict[str, Any]


@dataclass(frozen=True)
class Model:
    """A configuration and what is changed in it."""

    name: str
    configuration: Configuration
    overrides: Mapping[str, Any] = field(default_factory=dict)
    rate: float = 0.0005
    """The rate of the direct paths makes a transformer diverge."""
    epochs: int = MOST_EPOCHS
    """At most."""


MODELS = (
    Model("direct", "direct", rate=0.001),
    Model("direct, rate falls over 15 epochs", "direct", rate=0.001, epochs=15),
    Model("tiny (2 × 64)", "tiny"),
    Model("small (4 × 128)", "small"),
    Model("tilt only", "direct", {"pooled_width": 0}, 0.001),
)


def main() -> None:
    """Run rows until the time is used up, and print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seeds", default="0", help="such as 0,1,2 [0]")
    parser.add_argument("--minutes", type=float, default=60.0, help="start no new row after this time [60]")
    parser.add_argument("--table", action="store_true", help="only print what there is")
    parser.add_argument("--json", action="store_true", help="print all rows as one JSON list, last line")
    arguments = parser.parse_args()
    if not arguments.table:
        if not DATA.exists():
            parser.error(f"{DATA} is not there; set LINGSHU_DATA to the folder with the data sets")
        torch.set_num_threads(1)
        run([int(seed) for seed in arguments.seeds.split(",")], arguments.minutes)
    show()
    if arguments.json:
        print(json.dumps(read_records(), ensure_ascii=False))


def run(seeds: Sequence[int], minutes: float) -> None:
    """Compute the rows that are not there, until the time is used up."""
    started, task = time.monotonic(), TASKS["papalexi"]()
    there = {(record["model"], record["cells"], record["seed"]) for record in read_records()}
    for seed in seeds:
        for size in SIZES:
            for model in MODELS:
                if (model.name, size, seed) in there:
                    continue
                if time.monotonic() - started > 60 * minutes:
                    print(f"{minutes:g} minutes are over; start again to go on", file=sys.stderr)
                    return
                record = {"model": model.name, "cells": size, "seed": seed, **compute(task, model, size, seed)}
                FILE.parent.mkdir(parents=True, exist_ok=True)
                with FILE.open("a", encoding="utf-8") as file:
                    file.write(json.dumps(record, ensure_ascii=False) + "\n")
                print(record, file=sys.stderr, flush=True)


def compute(task: Task, model: Model, size: int, seed: int) -> Record:
    """Train and take all figures of one row."""
    folder = FOLDER / f"models/{model.name.split(' (')[0].replace(',', '').replace(' ', '-')}-{size}-{seed}"
    update: dict[str, Any] = {
        "hold_out": (),
        "model": ModelSpec(configuration=model.configuration, overrides=dict(model.overrides)),
        "output": str(folder),
    }
    spec = task.spec.model_copy(update=update)
    rows = np.random.default_rng(seed).permutation(np.flatnonzero(~task.held))[:size]
    cells = task.cells.select(np.isin(np.arange(len(task.cells)), rows))
    fit = round(60 * MINUTES * cells_per_second(spec, cells) / (0.9 * len(cells)))
    config = training_config(spec, {"seed": seed, "threads": 1, "learning_rate": model.rate})
    config = replace(config, epochs=min(model.epochs, max(1, fit)))
    started = time.process_time()
    result = finish(spec, config, prepare(spec, config, (cells, int(task.held.sum()))))
    seconds = time.process_time() - started
    checkpoint = load_checkpoint(str(folder))
    predictor = Predictor(checkpoint, SETTINGS)
    held = training_set(task.cells.select(task.held), checkpoint.vocabulary, checkpoint.denoiser.gene_order)
    return {
        "loss": validation_loss(checkpoint.denoiser, held, checkpoint.denoiser.gene_order.device),
        **agreement(task, {each.label: predictor.effect(each.condition) for each in task.questions}),
        "paths": checkpoint.denoiser.config.paths,
        "parameters": result.parameters,
        "epochs": f"{result.epochs} of {config.epochs}",
        "cpu_seconds": seconds,
    }


def read_records() -> list[Record]:
    """Read the rows that were computed so far."""
    if not FILE.exists():
        return []
    return [json.loads(line) for line in FILE.read_text(encoding="utf-8").splitlines()]


def show() -> None:
    """Print the table, a line for every row that was run or not."""
    records = read_records()
    rows = []
    for size in sorted(SIZES):
        for model in MODELS:
            found = [each for each in records if (each["model"], each["cells"]) == (model.name, size)]
            seeds = ", ".join(str(each["seed"]) for each in found) or "*not run*"
            paths = found[0]["paths"] if found else "–"
            rows.append([f"{size:,}", model.name, paths, seeds, *(_shown(found, key) for key in FIGURES)])
    table(["cells", "model", "paths", "seeds", *FIGURES.values()], rows)


def _shown(found: Sequence[Record], key: str) -> str:
    if not found:
        return "–"
    values = [each[key] for each in found]
    if key == "epochs":
        return ", ".join(values)
    digits = {"loss": 4, "cpu_seconds": 0, "parameters": 0}.get(key, 3)
    return f"{float(np.median(values)):,.{digits}f}"


if __name__ == "__main__":
    main()
