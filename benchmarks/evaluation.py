"""Does the model earn its place? Every set × every baseline × the model, as `lingshu evaluate` measures it.

A unit (fold × contender × training seed) is committed to the store of `lingshu evaluate` below
results/benchmarks/evaluation/<set>, and what is there is not computed again; so the runner can be stopped and started
at any time. ``--models baselines`` computes everything but the models, ``--table`` only prints what there is. What has
no chance in it is computed once, whatever the seeds. The sets are in ``evaluation_sets``, the table in
``evaluation_table``.
"""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Iterable, Sequence
from contextlib import ExitStack

import torch

from actors.ledger import Ledger
from benchmarks.evaluation_sets import SEEDS, SETS
from benchmarks.evaluation_table import show
from benchmarks.report import DATA, Silent, among
from screening.evaluating.evaluation_plan import Unit
from screening.evaluating.evaluation_run import (
    PlannedEvaluation,
    collect,
    compute_on,
    missing_tasks,
    plan,
    save,
    worker_spec,
)
from screening.publishing.publication import ledger_url
from screening.run import open_output, open_pool

GROUPS = {"baselines": ("replicate", "baseline"), "models": ("model",), "all": ("replicate", "baseline", "model")}
"""Words for ``--models``, and the roles that they stand for."""


def main() -> None:
    """Compute units until the time is used up, and print the tables."""
    arguments = _arguments()
    torch.set_num_threads(1)
    end = time.monotonic() + 60 * arguments.minutes
    for each in SETS:
        if each.name in arguments.set:
            planned = plan(each.evaluation(scvi=arguments.scvi), Silent())
            ledger = open_output(planned.evaluation.spec.output)[1]
            if not arguments.table:
                run(planned, ledger, wanted(planned, arguments.models, arguments.seeds), end)
            show(each, planned, [run for run in collect(planned.asked, planned.units, ledger, {}) if not run.failed])


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    names = [each.name for each in SETS]
    parser.add_argument("--set", type=among(names), default=names, help=", ".join(names))
    parser.add_argument(
        "--models", type=lambda text: text.split(","), default=["all"], help=f"{', '.join(GROUPS)}, or names [all]"
    )
    parser.add_argument("--seeds", type=_seeds, default=list(SEEDS), help="of the models [0,1,2]")
    parser.add_argument("--minutes", type=float, default=20.0, help="start no new unit after this time [20]")
    parser.add_argument("--scvi", action="store_true", help="the baseline scvi too: slow, needs the extra scvi")
    parser.add_argument("--table", action="store_true", help="only print what there is")
    arguments = parser.parse_args()
    if not DATA.exists():
        parser.error(f"{DATA} is not there; set LINGSHU_DATA to the folder with the data sets")
    _check_models(parser, arguments)
    return arguments


def _seeds(text: str) -> list[int]:
    known = [str(seed) for seed in SEEDS]
    if not set(text.split(",")) <= set(known):
        raise argparse.ArgumentTypeError(f"{text!r} is no list of seeds; there are {','.join(known)}")
    return [int(seed) for seed in text.split(",")]


def _check_models(parser: argparse.ArgumentParser, arguments: argparse.Namespace) -> None:
    """Refuse names that no chosen set has: they would compute nothing, and say nothing."""
    sets = [each for each in SETS if each.name in arguments.set]
    known = list(dict.fromkeys([*GROUPS, *(name for each in sets for name in each.names(scvi=arguments.scvi))]))
    for name in arguments.models:
        if name not in known:
            parser.error(f"--models {name}: there are {', '.join(known)}")


def wanted(planned: PlannedEvaluation, models: Iterable[str], seeds: Sequence[int]) -> list[Unit]:
    """Return the units that were asked for, cheap ones first.

    What is quick goes fold by fold, because the real cells of a fold are measured once for all; trainings go seed by
    seed, so that after a while every fold has been asked once.
    """
    chosen = set(models)
    roles = {contender.name: contender.role for contender in planned.asked}
    asked = chosen | {name for name, role in roles.items() for group in chosen & set(GROUPS) if role in GROUPS[group]}
    units = [unit for unit in planned.units if unit.contender in asked]
    quick = [unit for unit in units if roles[unit.contender] != "model"]
    trained = [unit for unit in units if roles[unit.contender] == "model" and unit.seed in seeds]
    return [*quick, *sorted(trained, key=lambda unit: unit.seed)]  # a stable sort: folds stay in order


def run(planned: PlannedEvaluation, ledger: Ledger, units: Sequence[Unit], end: float) -> None:
    """Compute the units that are not there, one after the other, until a time of the monotonic clock."""
    evaluation = planned.evaluation
    spec = evaluation.spec
    todo = {task.id: task for task in missing_tasks(units, ledger)}
    if not todo:
        return
    worker = worker_spec(evaluation, save(planned.split, planned.cells, spec.output))
    with ExitStack() as resources:
        pool = open_pool(worker, ledger_url(spec.output), spec.compute, resources)
        for number, unit in enumerate([unit for unit in units if unit.task.id in todo], start=1):
            if time.monotonic() > end:
                _say(f"{spec.name}: the minutes are over; start again to go on")
                return
            started = time.process_time()
            failed = compute_on(pool, evaluation, [unit.task], ledger, Silent().progress)
            took = f"{time.process_time() - started:.1f} CPU s"
            what = failed.get(unit.task.id, took)
            _say(f"{spec.name} {number}/{len(todo)}: {unit.contender}, {unit.fold}, seed {unit.seed}: {what}")


def _say(text: str) -> None:
    print(text, file=sys.stderr, flush=True)


if __name__ == "__main__":
    main()
