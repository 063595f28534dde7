"""An evaluation, in eight stages: load → split → check → plan → compute → collect → compare → publish.

*Compute* trains, predicts and scores: a unit is one model on one fold with one seed, a task of the same engine that
runs screens, committed as a whole. The stages before it only decide what is asked; those after it are a fold over what
is committed, and give the same tables whatever happened on the way.
"""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from typing import Any

from actors.ledger import Ledger
from actors.planner import Planner, PlannerSettings
from actors.pool import Pool
from actors.progress import OnProgress
from actors.run_label import RunLabel
from actors.snapshot import Snapshot
from actors.tasks import Task
from actors.worker import WorkerSpec
from campaigns.evaluation_spec import EvaluateSpec
from lingshu_core.cells import Cells
from lingshu_core.splits import Split, save_split
from screening.errors import LeakError
from screening.evaluating.evaluation_checks import check_evaluation, look_for_leaks
from screening.evaluating.evaluation_findings import gather_findings
from screening.evaluating.evaluation_plan import Contender, Evaluation, Unit, contenders, make_units, read_evaluation
from screening.evaluating.evaluation_publication import publish_evaluation
from screening.evaluating.evaluation_store import decode_unit
from screening.evaluating.evaluation_tables import Run
from screening.evaluating.evaluation_verdict import Verdict
from screening.evaluating.leak_checker import LeakReport
from screening.evaluating.splitting import make_split
from screening.folding.aggregation import CommittedBlocks
from screening.objective.readouts import read_data
from screening.planning.placed_errors import placing
from screening.publishing.publication import ledger_url, location
from screening.run import begin_epoch, describe_dashboard, open_cluster, open_output, open_pool, until_fenced
from screening.watching.run_listener import RunListener

STAGES = ("load", "split", "check", "plan", "compute", "collect", "compare", "publish")
MODELS, SPLITS = "models", "splits"
ATTEMPTS = 2
"""A unit that failed is tried once more: on another replica, where a training goes on from its last state."""


@dataclass(frozen=True)
class EvaluationResult:
    """How an evaluation ended; ``failures`` are model, fold, seed and reason."""

    name: str
    output: str
    verdicts: tuple[Verdict, ...]
    computed: int
    reused: int
    failures: tuple[tuple[str, str, int, str], ...]
    files: Mapping[str, Any]

    @property
    def complete(self) -> bool:
        """Whether every unit succeeded."""
        return not self.failures


def run_evaluation(
    path: str | os.PathLike[str], listener: RunListener, overrides: Mapping[str, Any] | None = None
) -> EvaluationResult:
    """Run an evaluation from its YAML to a published report; run again, it goes on where it was.

    Raises
    ------
    CampaignError, LingshuCoreError, ActorsError, ScreeningError
        When it can't be run as it is asked; `LeakError` when an answer is to be found in what models learn from.
        What was committed stays committed.
    """
    listener.stage("load", str(path))
    evaluation = read_evaluation(path, overrides)
    spec = evaluation.spec
    planned = plan(evaluation, listener)
    units, cells, split = planned.units, planned.cells, planned.split
    with ExitStack() as resources:
        blobs, ledger = open_output(spec.output)
        epoch = begin_epoch(blobs, spec.name)
        missing = missing_tasks(units, ledger)
        dashboard = open_cluster(spec.compute, resources, label_of(spec), evaluation.source) if missing else ""
        there = len({unit.task.id for unit in units}) - len(missing)
        listener.stage("compute", f"{len(missing):,} units, {there:,} are there already{describe_dashboard(dashboard)}")
        worker = worker_spec(evaluation, save(split, cells, spec.output))
        progress = until_fenced(epoch, blobs, listener.progress)
        failures = compute(evaluation, worker, missing, ledger, progress, resources) if missing else {}
    listener.stage("collect", f"{len(units) - len(failures)} of {len(units)} units")
    snapshot = Snapshot(ledger)
    runs = collect(planned.asked, units, snapshot, failures)
    listener.stage("compare", ", ".join(spec.chosen_baselines) or "without baselines")
    findings = gather_findings(evaluation, planned.asked, cells, split, runs, planned.leaks)
    listener.stage("publish", spec.output)
    manifest = publish_evaluation(epoch, evaluation, split, cells, planned.leaks, findings, snapshot.digests)
    return EvaluationResult(
        name=spec.name,
        output=spec.output,
        verdicts=findings.verdicts,
        computed=len(missing) - len(failures),
        reused=there,
        failures=tuple((run.unit.contender, run.unit.fold, run.unit.seed, run.reason) for run in runs if run.failed),
        files=manifest["files"],
    )


@dataclass(frozen=True)
class PlannedEvaluation:
    """Cells, split and units of an evaluation: all that is known before anything is computed."""

    evaluation: Evaluation
    cells: Cells
    split: Split
    leaks: LeakReport
    asked: tuple[Contender, ...]
    units: tuple[Unit, ...]


def plan(evaluation: Evaluation, listener: RunListener) -> PlannedEvaluation:
    """Read the cells, split them, look for leaks, and list what is to be computed; errors as in `run_evaluation`."""
    check_evaluation(evaluation)
    spec = evaluation.spec
    with placing(evaluation.source):
        cells = read_data(spec.data)
    listener.stage("split", f"{spec.split.kind}: {len(cells):,} cells, {len(cells.genes):,} genes")
    with placing(evaluation.source):
        split = make_split(spec.split, cells, spec.name)
    listener.stage("check", f"{len(split.folds)} folds, {_questions(split)} questions")
    leaks = look_for_leaks(evaluation, cells, split)
    asked = contenders(evaluation)
    listener.stage("plan", ", ".join(contender.name for contender in asked))
    return PlannedEvaluation(evaluation, cells, split, leaks, asked, make_units(evaluation, cells, split, asked))


def missing_tasks(units: Sequence[Unit], ledger: Ledger) -> list[Task]:
    """Return the units that nobody has committed yet; two names of the same thing are one task."""
    committed = ledger.committed()
    return list({unit.task.id: unit.task for unit in units if unit.task.id not in committed}.values())


def save(split: Split, cells: Cells, output: str) -> str:
    """Save the split where every replica finds it, under its own digest; returns the place."""
    place = f"{location(output).rstrip('/')}/{SPLITS}/{split.digest[:16]}.json"
    save_split(split, cells, place)
    return place


def label_of(spec: EvaluateSpec) -> RunLabel:
    """Return the names by which Ray's dashboard and the logs know an evaluation."""
    return RunLabel(spec.name, stage="compute")


def worker_spec(evaluation: Evaluation, split: str) -> WorkerSpec:
    """Say how a replica opens the cells and the split."""
    spec = evaluation.spec
    options = {
        "data": spec.data.as_data(),
        "split": split,
        "models": f"{location(spec.output).rstrip('/')}/{MODELS}",
        "device": "cuda" if spec.compute.gpus_per_replica else "cpu",
        "threads": spec.compute.threads,
        "licence": spec.licence,
        "source": spec.source,
    }
    return WorkerSpec("screening.evaluating.evaluation_worker:open_evaluation_worker", options)


def compute(
    evaluation: Evaluation,
    worker: WorkerSpec,
    tasks: list[Task],
    ledger: Ledger,
    on_progress: OnProgress,
    resources: ExitStack,
) -> Mapping[str, str]:
    """Compute the units; replicas commit each of them themselves. Returns the reasons of those set aside.

    Raises
    ------
    LeakError
        If a unit found that it would learn what it is to be asked: then nothing of this evaluation can be believed.
    """
    spec = evaluation.spec
    pool = open_pool(worker, ledger_url(spec.output), spec.compute, resources, label=label_of(spec))
    return compute_on(pool, evaluation, tasks, ledger, on_progress)


def compute_on(
    pool: Pool, evaluation: Evaluation, tasks: list[Task], ledger: Ledger, on_progress: OnProgress
) -> Mapping[str, str]:
    """Compute units on replicas that are open; result and errors as in `compute`."""
    # A unit takes minutes to hours, so a lease has one of them, and a deadline to match.
    settings = PlannerSettings(
        lease_seconds=0.0, deadline_seconds=3600.0 * evaluation.spec.compute.hours, attempts=ATTEMPTS
    )
    failures = Planner(pool, ledger, settings, on_progress).run(tasks).failed
    leaks = [reason for reason in failures.values() if reason.startswith(LeakError.__name__)]
    if leaks:
        raise LeakError("; ".join(dict.fromkeys(leaks)))
    return failures


def collect(
    asked: Sequence[Contender], units: Sequence[Unit], ledger: CommittedBlocks, failures: Mapping[str, str]
) -> list[Run]:
    """Read back what is committed, a run for every unit."""
    named = {contender.name: contender for contender in asked}
    committed = ledger.committed()
    runs = []
    for unit in units:
        result = decode_unit(ledger.read(unit.task.id)) if unit.task.id in committed else None
        runs.append(Run(named[unit.contender], unit, result, failures.get(unit.task.id, "")))
    return runs


def _questions(split: Split) -> int:
    return sum(len(fold.questions) for fold in split.folds)
