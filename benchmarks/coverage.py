"""Do 50 and 90 % intervals of effects cover what they say, on combinations that training never saw?

Simulated screens (five seeds, single models; three of them with ensembles of three), where the true effects are known,
and Kang's interferon-beta, one cell type left out after the other. A row is a training with its predictions; they are
kept in results/benchmarks/coverage, and what is there is not computed again, so the runner can be stopped and started
at any time. ``--table`` prints what there is, and *not run*.
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from collections.abc import Mapping, Sequence
from typing import Any

import torch

from benchmarks.coverage_questions import Task, answers, kang, kang_cell_types, simulated, train
from benchmarks.coverage_rows import FOLDER, VERSION, Row, kang_rows, save_answers, simulation_rows
from benchmarks.coverage_tables import show_kang, show_simulations
from benchmarks.report import DATA, EXAMPLES
from campaigns.source import load_training
from lingshu_core.simulation_config import SimulationConfig
from screening.objective.readouts import read_data

FILE = FOLDER / "rows.jsonl"
EPOCHS = 8
SCREEN = {
    **{"genes": 300, "regulators": 120, "program_genes": 24, "cell_types": 3, "donors": 2, "knockouts": 112},
    **{"knockdowns": 0, "drugs": 0, "combinations": 0, "planted_knockouts": 4, "planted_knockdowns": 0},
    **{"planted_drugs": 0, "planted_combinations": 0, "control_cells": 150, "cells_per_condition": 40},
    **{"measured_share": 1.0, "truth_draws": 64, "hit_margin": 0.01},
}
"""Every knock-out has cells in all three cell types; in one of them they are held out."""


def main() -> None:
    """Run rows until the time is used up, and print the tables."""
    arguments = _arguments()
    torch.set_num_threads(1)
    types = kang_cell_types(_kang_cells()) if DATA.exists() else []
    if not arguments.table:
        run([*simulation_rows(), *(kang_rows(types)[: arguments.kang])], arguments.minutes)
    figures = show_simulations() | show_kang(types)
    if arguments.json:
        print(json.dumps(figures))


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--minutes", type=float, default=20.0, help="start no new row after this time [20]")
    parser.add_argument("--kang", type=int, default=None, help="at most so many cell types of Kang [all]")
    parser.add_argument("--table", action="store_true", help="only print what there is")
    parser.add_argument("--json", action="store_true", help="print the figures as one JSON object, last line")
    return parser.parse_args()


def _kang_cells() -> Any:
    return read_data(load_training(EXAMPLES / "kang/train.yaml").spec.data)


def run(wanted: Sequence[Row], minutes: float) -> None:
    """Compute the rows that are not there, in their order, until the time is used up."""
    started = time.monotonic()
    there = {record["name"] for record in read_records()}
    for row in wanted:
        if row.name in there and row.file.exists():
            continue
        if time.monotonic() - started > 60 * minutes:
            print(f"{minutes:g} minutes are over; start again to go on", file=sys.stderr)
            return
        record = compute(row)
        FILE.parent.mkdir(parents=True, exist_ok=True)
        with FILE.open("a", encoding="utf-8") as file:
            file.write(json.dumps(record, ensure_ascii=False) + "\n")
        print(json.dumps(record, ensure_ascii=False), file=sys.stderr, flush=True)


def compute(row: Row) -> Mapping[str, Any]:
    """Train what isn't there, ask it, and keep the answers."""
    started = time.process_time()
    task = _task(row)
    predictors = [train(task, seed) for seed in row.members]
    trained = time.process_time() - started
    found = answers(task, predictors)
    save_answers(found, row.file)
    facts = {"name": row.name, "data": row.data, "part": row.part, "members": len(row.members)}
    return facts | {"questions": len(found), "training_cpu_seconds": trained, "version": VERSION}


def _task(row: Row) -> Task:
    folder = FOLDER / f"{row.data}-{row.part}".replace(" ", "_")
    if row.data == "kang":
        return kang(row.part, folder)
    return simulated(SimulationConfig(**SCREEN, seed=int(row.part)), folder, EPOCHS)  # type: ignore[arg-type]


def read_records() -> list[Mapping[str, Any]]:
    """Read the rows that were computed so far."""
    if not FILE.exists():
        return []
    return [json.loads(line) for line in FILE.read_text(encoding="utf-8").splitlines()]


if __name__ == "__main__":
    main()
