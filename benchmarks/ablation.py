"""Which parts of the model and of the sampler earn their place: one factor at a time, on three data sets.

Kang (stimulated CD14+ monocytes left out), Papalexi (replicate 3 left out) and Norman (doubles left out, both singles
seen); see ``ablation_data``. A row is a data set, a factor, a value and a seed; its figures are appended to
results/benchmarks/ablation/rows.jsonl, and what is there is not computed again. So the runner can be stopped and
started at any time; ``--table`` prints what there is: medians of the seeds that were run, and *not run*.
"""

from __future__ import annotations

import argparse
import json
import math
import sys
import time
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
import torch

from benchmarks.ablation_data import TASKS, Task, halves_against_halves
from benchmarks.ablation_rows import ROWS, Row
from benchmarks.ablation_training import FOLDER, Trained, blinded, settings_digest, trained
from benchmarks.agreement import Predictor, scaled
from benchmarks.report import DATA, among, table
from lingshu_core.denoiser import configuration
from lingshu_core.preparation import training_set
from lingshu_core.training import validation_loss

SEEDS = (0, 1, 2)
EVALUATION = 1
"""Raised whenever the same model would get other figures."""
FILE = FOLDER / "rows.jsonl"
FIGURES = {
    "pearson_raw": "Pearson-Δ, raw",
    "pearson_matched": "depth-matched",
    "strong_raw": "strong four, raw",
    "pds": "PDS",
    "mmd": "MMD",
    "loss": "held-out loss",
    "cpu_seconds": "training, CPU s",
    "epochs": "epochs",
}

Record = dict[str, Any]


def main() -> None:
    """Run rows until the time is used up, and print the table."""
    arguments = _arguments()
    torch.set_num_threads(1)
    if not arguments.table:
        run(arguments.data, arguments.factor, arguments.seeds, arguments.minutes)
    records = read_records()
    for name in arguments.data:
        print(f"\n### {name}\n")
        show(name, records, arguments.factor)


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    factors = list(dict.fromkeys(row.factor for row in ROWS))
    parser.add_argument("--data", type=among(list(TASKS)), default=list(TASKS), help=", ".join(TASKS))
    parser.add_argument("--factor", type=among(factors), default=factors, help=", ".join(factors))
    parser.add_argument("--seeds", type=_seeds, default=list(SEEDS), help="0,1,2")
    parser.add_argument("--minutes", type=float, default=20.0, help="start no new row after this time [20]")
    parser.add_argument("--table", action="store_true", help="only print what there is")
    arguments = parser.parse_args()
    if not arguments.table and not DATA.exists():
        parser.error(f"{DATA} is not there; set LINGSHU_DATA to the folder with the data sets")
    return arguments


def _seeds(text: str) -> list[int]:
    if not all(seed.isdecimal() for seed in text.split(",")):
        raise argparse.ArgumentTypeError(f"{text!r} is no list of seeds such as 0,1,2")
    return [int(seed) for seed in text.split(",")]


def run(data: Sequence[str], factors: Sequence[str], seeds: Sequence[int], minutes: float) -> None:
    """Compute the rows that are not there, cheapest first, until the time is used up."""
    started = time.monotonic()
    there = {record["digest"] for record in read_records()}
    tasks = {name: TASKS[name]() for name in TASKS if name in data}
    for task in tasks.values():
        if f"baselines-{task.name}-{EVALUATION}" not in there:
            for record in baseline_records(task):
                _append(record)
    for row, task, seed in _order(tasks, factors, seeds):
        digest = settings_digest(task, row, seed, EVALUATION)
        if digest in there:
            continue
        if time.monotonic() - started > 60 * minutes:
            print(f"{minutes:g} minutes are over; start again to go on", file=sys.stderr)
            return
        record = {"digest": digest, **compute(task, row, seed)}
        _append(record)
        print(json.dumps(record, ensure_ascii=False), file=sys.stderr, flush=True)


def _order(tasks: dict[str, Task], factors: Sequence[str], seeds: Sequence[int]) -> Iterator[tuple[Row, Task, int]]:
    """Yield what can be run: base and estimator first, then what has to be trained, transformers last.

    In each of the three seed by seed, and the smaller data set first.
    """
    for cost in range(3):
        for seed in seeds:
            for task in tasks.values():
                for row in ROWS:
                    if task.name not in row.not_for and row.factor in factors and _cost(row) == cost:
                        yield row, task, seed


def _cost(row: Row) -> int:
    if row.cpu_minutes is not None:
        return 2
    return int(row.blind or row.features or bool(row.overrides) or bool(row.training))


def compute(task: Task, row: Row, seed: int) -> Record:
    """Train, or load the model, and take all figures of one row."""
    model = trained(task, row, seed)
    return {
        "data": task.name,
        "factor": row.factor,
        "value": row.value,
        "seed": seed,
        "paths": model.checkpoint.denoiser.config.paths,
        **_figures(task, row, model),
        "cpu_seconds": model.cpu_seconds,
        "epochs": model.epochs,
    }


def _figures(task: Task, row: Row, model: Trained) -> Record:
    predictor = Predictor(model.checkpoint, row.settings, prior=row.prior)
    asked = {q.label: q.condition.as_control() if row.blind else q.condition for q in task.questions}
    figures: Record = {"loss": _held_out_loss(task, row, model)}
    figures["mmd"] = task.truth.discrepancy(lambda question, cells: predictor.drawn(asked[question.label], cells))
    if not row.blind:  # who knows no perturbation predicts no effect
        predicted = {label: predictor.effect(condition) for label, condition in asked.items()}
        injected = {label: predictor.injected(condition) for label, condition in asked.items()}
        figures |= agreement(task, predicted, injected)
        figures["injected"] = sum(map(len, injected.values())) / len(injected)
    return figures


def agreement(task: Task, predicted: Any, injected: Any = None) -> Record:
    """Agreement over all questions, and over the strong ones where the task names some."""
    truth = task.truth
    used = {q.label: truth.used(q, (injected or {}).get(q.label, ())) for q in task.questions}
    figures: Record = dict(truth.agreement(predicted, used))
    if task.strong:
        strong = {label: predicted[label] for label in task.strong}
        figures["strong_raw"] = truth.agreement(strong, used)["pearson_raw"]
    return figures


def _held_out_loss(task: Task, row: Row, model: Trained) -> float:
    held = task.cells.select(task.held)
    denoiser = model.checkpoint.denoiser
    data = training_set(blinded(held) if row.blind else held, model.checkpoint.vocabulary, denoiser.gene_order)
    return validation_loss(denoiser, data, denoiser.gene_order.device)


def baseline_records(task: Task) -> list[Record]:
    """Figures of what needs no model: baselines, the real controls as a prediction, real cells against real ones."""
    common = {"digest": f"baselines-{task.name}-{EVALUATION}", "data": task.name, "factor": "baseline"}
    records: list[Record] = [
        {**common, "value": name, **agreement(task, effects)} for name, effects in task.baselines.items()
    ]
    controls = task.truth.discrepancy(lambda asked, cells: _some(task, asked.controls, cells))
    records.append({**common, "value": "control cells (no change)", "mmd": controls})
    records.append({**common, "value": "real cells: one half against the other", **halves_against_halves(task)})
    return records


def _some(task: Task, group: Any, cells: int) -> Any:
    rows = np.random.default_rng(1).permutation(np.flatnonzero(group))[:cells]
    return scaled(task.cells, rows)


def read_records() -> list[Record]:
    """Read the rows that were computed so far."""
    if not FILE.exists():
        return []
    return [json.loads(line) for line in FILE.read_text(encoding="utf-8").splitlines()]


def _append(record: Record) -> None:
    FILE.parent.mkdir(parents=True, exist_ok=True)
    clean = {key: None if isinstance(value, float) and math.isnan(value) else value for key, value in record.items()}
    with FILE.open("a", encoding="utf-8") as file:
        file.write(json.dumps(clean, ensure_ascii=False) + "\n")


def show(name: str, records: Sequence[Record], factors: Sequence[str]) -> None:
    """Print the table of one data set: medians over the seeds run."""
    mine = [record for record in records if record["data"] == name]
    shown = [key for key in FIGURES if any(record.get(key) is not None for record in mine)]
    rows = [
        [record["factor"], record["value"], *["–"] * 5, *(_number(key, [record]) for key in shown)]
        for record in mine
        if record["factor"] == "baseline"
    ]
    for row in ROWS:
        if row.factor in factors:
            found = [record for record in mine if (record["factor"], record["value"]) == (row.factor, row.value)]
            rows.append([*_settings(row, found), *(_result(name, row, found, key) for key in shown)])
    table(["factor", "value", "T", "schedule", "w", "paths", "seeds", *(FIGURES[key] for key in shown)], rows)


def _settings(row: Row, found: Sequence[Record]) -> list[Any]:
    settings = row.settings
    paths = configuration(row.configuration, row.overrides).paths
    seeds = ", ".join(str(record["seed"]) for record in sorted(found, key=lambda each: each["seed"]))
    return [row.factor, row.value, settings.steps, settings.schedule, f"{settings.guidance:g}", paths, seeds or "–"]


def _result(name: str, row: Row, found: Sequence[Record], key: str) -> str:
    if found:
        return _number(key, found)
    reason = row.not_for.get(name, "")
    if key != "pearson_raw":  # once is enough
        return "–"
    return f"*not run* ({reason})" if reason else "*not run*"


def _number(key: str, found: Sequence[Record]) -> str:
    values = [record[key] for record in found if record.get(key) is not None]
    if not values:
        return "–"
    digits = {"cpu_seconds": 0, "epochs": 0, "mmd": 4, "loss": 4}.get(key, 3)
    return f"{float(np.median(values)):.{digits}f}"


if __name__ == "__main__":
    main()
