"""What the command line shows: tables, progress, summaries. Plain lines where there is no terminal."""

from __future__ import annotations

import sys
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from types import TracebackType
from typing import TYPE_CHECKING, Any

import polars as pl
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TaskID, TextColumn, TimeRemainingColumn
from rich.table import Table
from rich.text import Text

from actors.errors import ClusterUnavailable, JobSilent
from actors.job import Look
from actors.orphans import Orphan
from actors.verification import Verification
from campaigns.conditions import FEATURES_ONLY
from campaigns.errors import printable
from lingshu_core.simulator import Simulation, SimulationFiles
from lingshu_core.training import TrainingProgress
from screening.answers.safety import SAFETY
from screening.doctor import Check
from screening.models.embed import EmbeddingResult
from screening.models.generate import GenerationResult
from screening.planning.campaign import PlannedCampaign
from screening.planning.gates import NOT_MEASURED
from screening.planning.support import describe_support
from screening.publishing.publication import open_results
from screening.publishing.safety_view import with_safety
from screening.run import STAGES, RunResult
from screening.running.rehearsal import describe_strikes
from screening.training.adapt import AdaptationResult
from screening.training.baseline_training import BaselineResult
from screening.training.ensemble_training import EnsembleResult
from screening.training.training_run import TrainingResult
from screening.watching.attachment import cluster_address, describe_owner, live_look
from screening.watching.following import describe_run_of, look_of
from screening.watching.progress_text import leading_lines, progress_line, setback_line
from screening.watching.run_news import RunNews
from screening.watching.status import CampaignStatus, run_in

if TYPE_CHECKING:
    from screening.evaluating.evaluation_run import EvaluationResult  # brings matplotlib, which no other command needs

# A pipe or a log has no width of its own: wide enough for every column.
# Markup is off: names of drugs and folders have brackets of their own.
console = Console(width=None if sys.stdout.isatty() else 120, highlight=False, markup=False)
_WIDTH_WITH_GENES = 100
REASONS = 3
"""Rows of a ranked table whose decisions are explained below it."""
_LINE_SECONDS = 10.0
"""Without a terminal, progress is a plain line this often."""


class TrainingDisplay:
    """Shows loss, cells/s and time left of a training."""

    def __init__(self) -> None:
        columns = (
            TextColumn("{task.description}", markup=False),
            BarColumn(),
            MofNCompleteColumn(),
            TimeRemainingColumn(),
        )
        self._bar = Progress(*columns, console=console, disable=not console.is_terminal)
        self._task: TaskID | None = None
        self._line_due = 0.0

    def __enter__(self) -> TrainingDisplay:
        """Start the display."""
        self._bar.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Stop the display."""
        self._bar.stop()

    def update(self, progress: TrainingProgress) -> None:
        """Show where training stands."""
        validation = "" if progress.validation_loss is None else f"  validation {progress.validation_loss:.4f}"
        text = (
            f"epoch {progress.epoch + 1}  loss {progress.loss:.4f}{validation}"
            f"  {progress.cells_per_second:,.0f} cells/s"
        )
        if self._task is None:
            self._task = self._bar.add_task(text, total=progress.steps)
        self._bar.update(self._task, completed=progress.step, description=text)
        if not console.is_terminal and time.monotonic() >= self._line_due:
            self._line_due = time.monotonic() + _LINE_SECONDS
            console.print(f"{text}  step {progress.step}/{progress.steps}  {progress.seconds_left:.0f} s left")

    def member(self, number: int, members: int, seed: int) -> None:
        """Show that a member of an ensemble begins."""
        console.print(f"member {number + 1} of {members}, seed {seed}")
        if self._task is not None:
            self._bar.remove_task(self._task)
            self._task = None
        self._line_due = 0.0


class CellDisplay:
    """Shows how many cells are done."""

    def __init__(self, what: str) -> None:
        columns = (
            TextColumn("{task.description}", markup=False),
            BarColumn(),
            MofNCompleteColumn(),
            TimeRemainingColumn(),
        )
        self._bar = Progress(*columns, console=console, disable=not console.is_terminal, transient=True)
        self._what, self._task = what, TaskID(0)
        self._line_due = time.monotonic() + _LINE_SECONDS

    def __enter__(self) -> CellDisplay:
        """Start the display."""
        self._bar.start()
        self._task = self._bar.add_task(self._what, total=None)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Stop the display."""
        self._bar.stop()

    def update(self, done: int, total: int | None) -> None:
        """Show how many are done, of how many if that is known."""
        self._bar.update(self._task, completed=done, total=total)
        if not console.is_terminal and time.monotonic() >= self._line_due:
            self._line_due = time.monotonic() + _LINE_SECONDS
            console.print(f"{done:,}{'' if total is None else f'/{total:,}'} {self._what}")


def describe_generation(result: GenerationResult) -> str:
    """Say what was drawn and where it is."""
    lines = (f"{result.cells:,} cells × {result.genes:,} genes: {result.condition}", *result.notices)
    return "\n".join((*lines, f"{result.output} (model {result.model_digest[:12]})"))


def describe_embedding(result: EmbeddingResult) -> str:
    """Say what was represented and where it is."""
    return (
        f"{result.cells:,} cells in {result.dimensions} dimensions ({result.kind}): obsm['X_lingshu']\n{result.genes}\n"
        f"{result.output} (model {result.model_digest[:12]})"
    )


def describe_adaptation(result: AdaptationResult) -> str:
    """Say what the model has learned and where it is."""
    values = "; ".join(f"{factor} {', '.join(new)}" for factor, new in result.new_values.items() if new)
    shown = ", ".join(f"({name})" for name in result.contexts[:5]) + (" …" if len(result.contexts) > 5 else "")
    return (
        f"{len(result.contexts)} new contexts from {result.cells:,} control cells: {shown}\n"
        f"new values: {values or 'none, only combinations'}\n"
        f"loss on these cells {result.loss_before:.4f} → {result.loss_after:.4f} nats per gene\n{result.genes}\n"
        f"{result.output} (model {result.digest[:12]})"
    )


def hit_view(hits: pl.DataFrame) -> Table:
    """Show the columns that a person reads first; the file has all of them."""
    table = Table(header_style="bold", box=None, pad_edge=False)
    told = ["rank", "perturbation", "context", "score", "±", "members ±", "decision", "q", "trained on", "gate"]
    told += ["safety", "layer"]
    names = [*told, "rises most", "falls most"]
    shown = names if console.width >= _WIDTH_WITH_GENES else told
    if "score_sd" not in hits.columns or hits["score_sd"].is_null().all():
        shown = [name for name in shown if name != "members ±"]
    if "null_blocks" not in hits.columns or hits["null_blocks"].is_null().all():
        shown = [name for name in shown if name not in ("decision", "q")]
    if "gate" not in hits.columns or set(hits["gate"]) <= {None, NOT_MEASURED}:
        shown = [name for name in shown if name != "gate"]
    is_marked = "campaign" in hits.columns and "results" in hits.columns  # of several campaigns together
    if is_marked:
        table.add_column("campaign", no_wrap=True)
    if "safety" not in hits.columns or hits["safety"].is_null().all():
        shown = [name for name in shown if name not in ("safety", "layer")]
    for name in shown:
        right = name in ("rank", "score", "±", "members ±", "q", "trained on", "layer")
        table.add_column(name, justify="right" if right else "left", no_wrap=True)
    for row in hits.iter_rows(named=True):
        cells = dict(zip(names, _hit_row(row), strict=True))
        whose = (Text(row["campaign"]),) if is_marked else ()
        table.add_row(*whose, *(Text(cells[name]) for name in shown))
    return table


def _hit_row(row: Mapping[str, Any]) -> tuple[str, ...]:
    context = ", ".join(part.split("=", 1)[-1] for part in row["context"].split(", "))
    if row["status"] != "done":
        nothing, gate = ("",) * 5, row.get("gate") or ""
        return ("–", row["perturbation"], context, row["status"], *nothing, gate, *_safety(row), "", "")
    seen = row["training_cells"]
    trained = f"{seen} cells" if seen else _without_cells(row)
    rises, falls = row["top_up"].split(", ")[0], row["top_down"].split(", ")[0]
    score, error = f"{row['score']:+.3f}", f"{row['score_se']:.3f}"
    spread = "" if row.get("score_sd") is None else f"{row['score_sd']:.3f}"
    gate, decision = row.get("gate") or "", row.get("decision") or ""
    rate = "" if row.get("q_value") is None else f"{row['q_value']:.2g}"
    place = (str(row["rank"]), row["perturbation"], context)
    return *place, score, error, spread, decision, rate, trained, gate, *_safety(row), rises, falls


def _safety(row: Mapping[str, Any]) -> tuple[str, str]:
    layer = row.get("pareto_layer")
    return row.get("safety") or "", "" if layer is None else str(layer)


def reasons_of(hits: pl.DataFrame, most: int) -> Iterator[str]:
    """Say of the first rows why they are decided so, and why they are safe or not; nothing where nothing judges."""
    is_judged = "null_blocks" in hits.columns and hits["null_blocks"].count() > 0
    for row in hits.head(most).iter_rows(named=True):
        decided = f"{row['decision']}: {row['decision_reason']}" if is_judged and row.get("decision") else ""
        safe = f"{row['safety']}: {row['safety_reason']}" if row.get("safety") else ""
        if told := "; ".join(filter(None, (decided, safe))):
            yield f"  {row['rank']} {row['perturbation']} in {row['context']}: {told}"


def _without_cells(row: Mapping[str, Any]) -> str:
    if row["support"] == FEATURES_ONLY:
        return "features"
    return "elsewhere" if row["training_cells_all"] else "parts"


def describe_simulation(simulation: Simulation, files: SimulationFiles) -> str:
    """Say what was simulated and where it is."""
    cells = simulation.cells
    truth = simulation.true_effects.obs
    written = "\n".join(f"  {path}" for path in vars(files).values())
    return (
        f"{cells.n_obs:,} cells × {cells.n_vars} genes simulated; {int(truth['true_hit'].sum())} planted hits among"
        f" {len(truth)} conditions, {int((~truth['measured']).sum())} of them without cells\n{written}"
    )


def describe_training(result: TrainingResult | EnsembleResult | BaselineResult) -> str:
    """Say what was trained, for how long, and why it stopped."""
    if isinstance(result, BaselineResult):
        return _describe_baseline(result)
    if isinstance(result, TrainingResult):
        return _describe_model(result)
    trained = [f"{m.folder}, seed {m.seed}: {_describe_model(m.result)}" for m in result.members if m.result]
    there = [f"{m.folder}, seed {m.seed}: was there already ({m.digest[:12]})" for m in result.members if not m.result]
    made = f"ensemble of {len(result.members)} members {result.output} ({result.digest[:12]})"
    return "\n".join((*there, *trained, made))


def _describe_baseline(result: BaselineResult) -> str:
    held = f", {result.held_out:,} held out" if result.held_out else ""
    lines = (
        f"baseline {result.kind}, fitted to {result.cells:,} cells{held} in {result.seconds:.0f} s:"
        f" {result.perturbations:,} perturbations in {result.contexts:,} contexts",
        *result.notices,
        f"checkpoint {result.output} ({result.digest[:12]})",
    )
    return "\n".join(lines)


def _describe_model(result: TrainingResult) -> str:
    held = f", {result.held_out:,} held out" if result.held_out else ""
    resumed = f" (resumed at step {result.resumed_at})" if result.resumed_at else ""
    return (
        f"trained on {result.cells:,} cells{held}: {result.parameters / 1e6:.1f}M parameters ({result.paths}),"
        f" {result.epochs} epochs in {result.seconds:.0f} s{resumed}, stopped by {result.stopped_by}\n"
        f"validation loss {result.validation_loss:.4f} nats per gene\n"
        + "".join(f"{notice}\n" for notice in result.notices)
        + f"checkpoint {result.output} ({result.digest[:12]})"
    )


def describe_plan(planned: PlannedCampaign, status: CampaignStatus) -> str:
    """Say what a campaign would compute."""
    plan, estimator = planned.plan, planned.campaign.spec.estimator
    passes = plan.n_cells * estimator.passes_per_cell
    question = next(iter(planned.readouts.values())).question
    how = (
        f" {passes:,} passes ({estimator.kind}, {estimator.steps} {estimator.schedule} steps,"
        f" guidance {estimator.guidance:g})"
    )
    if planned.campaign.is_baseline:
        how = f" no pass: {planned.campaign.paths} is a baseline ({estimator.kind})"
    members = f"{plan.n_models} members × " if plan.members else ""
    allocation = planned.campaign.spec.allocation
    if estimator.precision is not None and plan.allocation is not None:
        least = plan.n_cells // plan.shards * int(plan.allocation["first"])
        members = f"precision {estimator.precision:g}: from {plan.allocation['first']} up to {members}"
        how = f" at most{how}; at least {least:,} cells, {least * planned.campaign.passes_per_cell:,} passes"
    elif plan.allocation is not None:
        members = f"{allocation.kind} for the best {allocation.top}: from {allocation.first} shards up to {members}"
        how = f" at most{how}"
    lines = [
        f"{plan.name}: {question}",
        f"{status.conditions:,} conditions in {len(planned.readouts):,} contexts, controls included",
        f"{members}{plan.shards} shards × {estimator.depth_strata} depth strata a condition: {plan.n_cells:,} cells,"
        + how,
        f"{status.blocks:,} blocks, {status.committed:,} of them in {status.output} already",
        describe_support(plan),
        planned.gate_notice,
        f"run {plan.run_id[:16]}",
        *plan.notices,
    ]
    return "\n".join(lines)


def describe_status(planned: PlannedCampaign, status: CampaignStatus) -> str:
    """Say how far a campaign is."""
    share = 100 * status.committed / status.blocks
    state = "all computed" if status.done else "run the campaign to go on"
    members = f", {planned.plan.n_models} members" if planned.plan.members else ""
    return (
        f"{planned.plan.name} (run {planned.plan.run_id[:16]}{members}):"
        f" {status.committed:,} of {status.blocks:,} blocks committed ({share:.0f} %),"
        f" {status.complete_conditions:,} of {status.conditions:,} conditions complete;"
        f" {state}\n{describe_support(planned.plan)}"
    )


def describe_planner(planned: PlannedCampaign) -> str:
    """Say what a campaign's planner is doing, or the run that has none; in whole lines, none where nothing runs."""
    compute = planned.campaign.spec.compute
    address = cluster_address(compute)
    if address is None:
        return describe_run_in(planned)
    try:
        look = live_look(planned.campaign.spec.output, address)
    except (ClusterUnavailable, JobSilent) as error:  # what the store says stands
        return f"planner: not known; {error}\n"
    if look is None:
        return f"planner: none on the cluster at {address}\n{describe_run_in(planned)}"
    return f"{describe_live(look, planned)}\n"


def describe_run_in(planned: PlannedCampaign) -> str:
    """Say what the run that holds the place of results tells of itself in the store; empty if nobody does."""
    seen = run_in(planned.campaign.spec.output)
    if seen is None or seen.beat is None or seen.beat.ending is not None:
        return f"run: {printable(seen.why)}\n" if seen is not None and seen.beat is None and seen.why else ""
    owner = f"run: {describe_run_of(seen.beat)}"
    if seen.verdict == "free":
        return f"{owner}: {seen.why}; run the campaign to go on\n"
    sure = "" if seen.verdict == "alive" else f"; its sign of life number {seen.beat.count}, dead if that doesn't rise"
    told = describe_live(look_of(seen.beat, STAGES), planned).splitlines()[1:]
    return "\n".join((f"{owner}{sure}", *told, ""))


def describe_live(look: Look, planned: PlannedCampaign) -> str:
    """Say what the planner of a run tells of it."""
    about, ending, progress = look.about, look.ending, look.progress
    lines = [f"planner: {describe_owner(look)}"]
    if about["run_id"] != planned.plan.run_id:
        lines.append(f"  it runs another campaign: {about['name']} of {about['file']} (run {about['run_id'][:16]})")
    if look.stages and ending is None:
        name, detail = look.stages[-1]
        lines.append(f"  {STAGES.index(name) + 1}/{len(STAGES)} {name}: {detail}")
    if progress is not None and ending is None:
        news = RunNews.from_data(look.news)
        told = [progress_line(progress, news), setback_line(progress)]
        told += leading_lines(news.leading) if news is not None and news.leading is not None else []
        lines += [f"  {line}" for line in told if line]
    if look.cancelled and ending is None:
        lines.append(f"  {look.cancelled}; it is about to end")
    if ending is not None:
        lines.append(f"  it has ended with exit code {ending.code}{': ' if ending.line else ''}{ending.line}")
    return "\n".join(lines)


def print_hits(hits: pl.DataFrame, most_failures: int = 5, why: int = REASONS) -> None:
    """Print ranked conditions as a table, why the first of them are decided so, and failed ones with their reasons."""
    if hits.is_empty():
        console.print("no condition of the table is like that")
        return
    done, failed = hits.filter(pl.col("status") == "done"), hits.filter(pl.col("status") != "done")
    console.print(hit_view(done))
    if reasons := list(reasons_of(done, why)):
        console.print("\nwhy:")
        for line in reasons:
            console.print(Text(line))
    if not failed.is_empty():
        console.print(f"\n{failed.height} conditions failed:")
        for row in failed.head(most_failures).iter_rows(named=True):
            console.print(f"  {row['perturbation']} in {row['context']}: {row['reason']}")


def describe_run(result: RunResult, top: int) -> str:
    """Show the best hits, what failed, and where the rest is."""
    failed = result.hits.filter(pl.col("status") != "done")
    shown = pl.concat([result.hits.filter(pl.col("status") == "done").head(top), failed])
    if SAFETY in result.files:
        shown = with_safety(shown, open_results(result.output))
    print_hits(shown)
    gates = f"{result.gates}\n" if result.gates else ""
    cache = f" (cache {result.cache})" if result.cache else ""
    rehearsal = describe_strikes(result.struck)
    return (
        "trained on: cells of this perturbation here, at any dose; elsewhere: only in other contexts;"
        f" parts: only its parts; features: a part never seen\n{gates}{rehearsal}"
        f"{result.computed} blocks computed, {result.reused} reused{cache}, {result.failed} conditions failed\n"
        f"results in {result.output}: {', '.join(result.files)}"
    )


def describe_evaluation(result: EvaluationResult) -> str:
    """Say the verdict, what was run, and where the report is."""
    failures = [f"failed: {model} on {fold}, seed {seed}: {why}" for model, fold, seed, why in result.failures[:5]]
    more = len(result.failures) - len(failures)
    return "\n".join(
        (
            *(verdict.words for verdict in result.verdicts),
            *failures,
            *([f"and {more} units more"] if more else []),
            f"{result.computed} units computed, {result.reused} reused, {len(result.failures)} failed",
            f"report in {result.output}: {', '.join(result.files)}",
        )
    )


def describe_verification(place: str, found: Verification, most: int = 50) -> Table | str:
    """Show what is wrong in a store, or say that nothing is."""
    looked = (
        f"{len(found.results):,} blocks, {found.versions:,} versions and {found.files:,} files,"
        f" {found.size / 1e6:,.1f} MB hashed"
    )
    if not found.flaws:
        return f"{place}: all as promised: {looked}"
    table = Table(title=f"{place}: {len(found.flaws):,} wrong ({looked})", title_justify="left", box=None)
    table.add_column("object", overflow="fold", ratio=2)
    table.add_column("what is wrong", overflow="fold", ratio=3)
    for flaw in found.flaws[:most]:
        table.add_row(Text(flaw.key), Text(flaw.text))
    if len(found.flaws) > most:
        table.add_row(Text("…"), Text(f"and {len(found.flaws) - most:,} more"))
    return table


def describe_orphans(orphans: Iterable[Orphan], grace: str, *, deleted: bool) -> Iterator[str]:
    """Name each orphan as it is found or removed, and add them up."""
    count, size = 0, 0
    for orphan in orphans:
        count, size = count + 1, size + orphan.size
        yield f"{orphan.key}  {orphan.size / 1e6:,.3f} MB  {orphan.why}"
    told = f"{count:,} objects, {size / 1e6:,.1f} MB, older than {grace}"
    yield f"{told}: removed" if deleted else f"{told}: nothing was changed; --delete removes them"


def describe_checks(checks: Sequence[Check]) -> Table:
    """Show what the doctor found."""
    table = Table(box=None, pad_edge=False, show_header=False)
    marks = {
        "good": Text("ok", "green"),
        "note": Text("note", "yellow"),
        "warn": Text("warn", "magenta"),
        "bad": Text("bad", "red"),
    }
    for check in checks:
        table.add_row(marks[check.verdict], Text(check.name), Text(check.finding))
    return table
