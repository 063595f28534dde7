"""The command line: thin commands, one error boundary, three exit codes beside success.

Nothing heavy is imported before a command needs it, so that ``--help`` and ``validate`` answer at once.
"""

from __future__ import annotations

import json
import math
import os
import sys
import traceback
from collections.abc import Iterator
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, NoReturn

import typer

from screening.completion import campaign_files, cell_files
from screening.errors import LeftRunning
from screening.outcome import (
    EXIT_BAD_INPUT,
    EXIT_INTERRUPTED,
    EXIT_PARTIAL,
    EXIT_WRONG,
    outcome_of,
    presentable,
)
from screening.usage import DEBUG, Commands, UsageError, is_debugging, usage_message

if TYPE_CHECKING:
    from screening.running.detached_run import RunEnd
    from screening.watching.run_display import RunDisplay
    from screening.watching.run_events import RunEvents

MAX_SEED = 2**63 - 1

app = typer.Typer(
    name="lingshu",
    cls=Commands,
    help="Virtual screening with a generative cell model: campaigns in YAML, ranked hits out.",
    no_args_is_help=True,
    add_completion=True,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)

CampaignFile = Annotated[
    Path, typer.Argument(help="A campaign file (YAML).", show_default=False, autocompletion=campaign_files)
]
Output = Annotated[str | None, typer.Option("--output", "-o", help="Results go here instead of the file's `output`.")]
Cache = Annotated[str | None, typer.Option(help="Blocks are shared here instead of in the file's `cache`.")]

Running = Annotated[
    str,
    typer.Argument(
        metavar="CAMPAIGN",
        help="A campaign file, or the place of its results.",
        show_default=False,
        autocompletion=campaign_files,
    ),
]
Top = Annotated[int, typer.Option(min=1, help="Hits to show at the end.")]
Events = Annotated[bool, typer.Option("--json", help="Print events, one JSON object a line, and nothing else.")]


class Backend(StrEnum):
    """Where replicas run."""

    ray = "ray"
    in_process = "in_process"


class Contexts(StrEnum):
    """What becomes of context factors that are left out of a request for cells."""

    proportional = "proportional"
    unspecified = "unspecified"


class Sampler(StrEnum):
    """Whose settings of the reverse process stand in for those left out."""

    screening = "screening"
    paper = "paper"


class Representation(StrEnum):
    """How a model represents a cell."""

    tilt = "tilt"
    hidden = "hidden"


class Schedule(StrEnum):
    """How many genes each step reveals."""

    geometric = "geometric"
    uniform = "uniform"
    cosine = "cosine"


class TableFormat(StrEnum):
    """How a table is printed."""

    table = "table"
    csv = "csv"
    json = "json"
    parquet = "parquet"


@app.callback()
def options(
    debug: Annotated[
        bool, typer.Option("--debug", help="Show the whole trace of an error; also after the command's name.")
    ] = False,
) -> None:
    """Virtual screening with a generative cell model: campaigns in YAML, ranked hits out."""
    if debug:
        os.environ[DEBUG] = "1"
    if os.environ.get("LINGSHU_LOG"):
        from actors.run_log import start_logging

        start_logging()


@app.command(epilog="Example: lingshu simulate results/quickstart --seed 1")
def simulate(
    folder: Annotated[Path, typer.Argument(help="Folder to write cells, truth and gene set to.", show_default=False)],
    seed: Annotated[int, typer.Option(min=0, max=MAX_SEED, help="Seed of the simulation.")] = 0,
) -> None:
    """Simulate a perturbation experiment with known truth (a test bench, not the product)."""
    from lingshu_core.simulation_config import SimulationConfig
    from lingshu_core.simulator import simulate as simulate_cells
    from screening.console import console, describe_simulation

    folder.mkdir(parents=True, exist_ok=True)  # where it can't be, that is known before the work is done
    simulation = simulate_cells(SimulationConfig(seed=seed))
    console.print(describe_simulation(simulation, simulation.write(folder)))


@app.command(epilog="Example: lingshu new kang2018_ifnb_pbmc.h5ad campaigns/kang --cell-type cell_type --donor donor")
def new(
    data: Annotated[
        str,
        typer.Argument(
            metavar="DATA",
            help="An .h5ad or .zarr with raw counts and obs.",
            show_default=False,
            autocompletion=cell_files,
        ),
    ],
    folder: Annotated[
        str | None, typer.Argument(metavar="[FOLDER]", help="Where the files go (default: named like the data).")
    ] = None,
    perturbation: Annotated[str | None, typer.Option(help="Column of obs: what was done to each cell.")] = None,
    control: Annotated[str | None, typer.Option(help="Its label of the control cells.")] = None,
    cell_type: Annotated[str | None, typer.Option(help="Column with cell types or lines; none for none.")] = None,
    donor: Annotated[str | None, typer.Option(help="Column with donors; none for none.")] = None,
    dose: Annotated[str | None, typer.Option(help="Column with doses; none for none.")] = None,
    guide: Annotated[str | None, typer.Option(help="Column with guides; none for none.")] = None,
    batch: Annotated[str | None, typer.Option(help="Column with batches; none for none.")] = None,
    context: Annotated[
        list[str] | None,
        typer.Option(help="Column that is part of a context; again for more (default: cell type, donor)."),
    ] = None,
    layer: Annotated[str | None, typer.Option(help="Layer with raw counts, X for the matrix of that name.")] = None,
    up: Annotated[list[str] | None, typer.Option(help="Gene to raise: the question; again for more.")] = None,
    down: Annotated[list[str] | None, typer.Option(help="Gene to lower; again for more.")] = None,
    name: Annotated[str | None, typer.Option(help="Name of the campaign (default: that of the folder).")] = None,
    force: Annotated[bool, typer.Option("--force", help="Write over files that are there.")] = False,
) -> None:
    """Write a commented campaign (train.yaml, screen.yaml) for the cells of an .h5ad or .zarr."""
    from screening.console import console
    from screening.drafting.campaign_draft import Wishes
    from screening.drafting.new_campaign import describe_new, new_campaign

    columns = {"cell_type": cell_type, "donor": donor, "dose": dose, "guide": guide, "batch": batch}
    named = {role: column for role, column in columns.items() if column is not None}
    wishes = Wishes(perturbation, control, named, tuple(context or ()), layer, tuple(up or ()), tuple(down or ()))
    told = describe_new(new_campaign(data, folder, wishes, name, force=force))
    console.print(told, highlight=False, markup=False, soft_wrap=True)  # commands to copy have no line ends


@app.command(epilog="Example: lingshu train campaigns/examples/papalexi/train.yaml")
def train(
    campaign: CampaignFile,
    output: Output = None,
    seed: Annotated[int | None, typer.Option(min=0, max=MAX_SEED, help="Seed instead of the file's.")] = None,
    seeds: Annotated[
        int | None, typer.Option(help="Train an ensemble of so many members, with the seeds seed, seed + 1, …")
    ] = None,
    workers: Annotated[
        int | None, typer.Option(min=0, help="Processes that share every batch, on a Ray cluster; 0 for none.")
    ] = None,
    epochs: Annotated[int | None, typer.Option(min=1, help="Passes over the cells, instead of the file's.")] = None,
    as_json: Events = False,
) -> None:
    """Train a model, an ensemble or a baseline on the cells of .h5ad or .zarr files."""
    from screening.console import TrainingDisplay, console, describe_training
    from screening.training.ensemble_training import train_file
    from screening.watching.run_events import RunEvents

    with RunEvents("train") if as_json else TrainingDisplay() as display:
        if isinstance(display, RunEvents):
            display.read_name(campaign)
        overrides = {"output": output, "seed": seed, "seeds": seeds, "workers": workers, "epochs": epochs}
        result = train_file(campaign, display.update, overrides, display.member)
        if isinstance(display, RunEvents):
            display.ended(0, "", output=result.output, digest=result.digest)
            return
    console.print(describe_training(result))


@app.command(epilog="Example: lingshu validate campaigns/examples/papalexi/screen.yaml")
def validate(campaign: CampaignFile) -> None:
    """Check a campaign file; against its model's vocabulary too, where the model is there."""
    from screening.planning.validation import validate_campaign

    for line in validate_campaign(campaign):
        print(line)


@app.command(epilog="Example: lingshu plugins")
def plugins() -> None:
    """List the models, objectives and features that installed packages bring, and check that they can be used."""
    from screening.plugin_listing import check_all

    for line in check_all():
        print(line)


@app.command(epilog="Example: lingshu plan campaigns/examples/papalexi/screen.yaml --json > plan.json")
def plan(
    campaign: CampaignFile,
    output: Output = None,
    cache: Cache = None,
    pilot: Annotated[
        bool, typer.Option("--pilot", help="Compute a few blocks with one replica first, and measure; they are kept.")
    ] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print the whole plan as JSON.")] = False,
) -> None:
    """Show what a campaign would compute, how much of it is there already, and what the rest is expected to take."""
    from screening.console import console, describe_plan
    from screening.planning.block_rates import recorded_rates
    from screening.planning.campaign import load_campaign, plan_campaign
    from screening.planning.plan_text import describe_view
    from screening.planning.plan_view import view_plan

    planned = plan_campaign(load_campaign(campaign, {"output": output, "cache": cache}))
    if pilot:
        from screening.planning.pilot import run_pilot

        rates = run_pilot(planned)
    else:
        rates = recorded_rates(planned)
    view = view_plan(planned, rates)
    if as_json:
        print(json.dumps({**planned.plan.as_json(), **view.as_json()}, indent=1))
        return
    console.print(describe_plan(planned, view.status))
    for part in describe_view(view, str(campaign)):
        console.print(part)


@app.command(epilog="Example: lingshu run campaigns/examples/papalexi/screen.yaml --output s3://bucket/papalexi")
def run(
    campaign: CampaignFile,
    output: Output = None,
    cache: Cache = None,
    replicas: Annotated[int | None, typer.Option(min=1, help="Replicas instead of the file's.")] = None,
    backend: Annotated[Backend | None, typer.Option(help="Where replicas run.")] = None,
    chaos: Annotated[
        Path | None, typer.Option(help="A rehearsal: the faults of this `kind: chaos` file strike on the way.")
    ] = None,
    detach: Annotated[
        bool, typer.Option("--detach", help="Leave it to a planner on the cluster, and come back.")
    ] = False,
    take_over: Annotated[
        bool, typer.Option("--take-over", help="Stop a run elsewhere that is into the same place; don't follow it.")
    ] = False,
    metrics_port: Annotated[
        int | None, typer.Option(min=1, max=65_535, help="Show Prometheus metrics at this port (in_process).")
    ] = None,
    top: Top = 10,
    as_json: Events = False,
) -> None:
    """Run a campaign to a ranked hit list; run again, it goes on where it was, or follows the run that is there."""
    from screening.run import run_campaign
    from screening.running.detached_run import RunEnd
    from screening.watching.attachment import run_or_attach
    from screening.watching.interruption import noticing_interruption
    from screening.watching.run_events import RunEvents

    if detach and chaos is not None:
        raise typer.BadParameter("--chaos is a rehearsal, which is watched: leave --detach out")
    with _watcher("run", as_json) as display, noticing_interruption(display.say):
        if isinstance(display, RunEvents):
            display.read_name(campaign)
        overrides = {"output": output, "cache": cache, "replicas": replicas}
        overrides |= {"backend": backend.value if backend else None, "metrics_port": metrics_port}
        if chaos is None:
            end = run_or_attach(campaign, display, overrides, detach=detach, take_over=take_over, say=display.say)
        else:
            end = RunEnd.of(run_campaign(campaign, display, overrides, chaos, take_over))
        if isinstance(display, RunEvents):
            display.run_ended(end, top)
    _conclude(end, top, shown=not as_json)


@app.command(epilog="Example: lingshu attach campaigns/examples/papalexi/screen.yaml")
def attach(run: Running, output: Output = None, top: Top = 10, as_json: Events = False) -> None:
    """Watch a run that was detached, to its end; Ctrl-C leaves it running."""
    from screening.watching.attachment import attach as attach_to
    from screening.watching.attachment import target_of
    from screening.watching.run_events import RunEvents

    with _watcher("attach", as_json) as display:
        end = attach_to(target_of(run, output), display, display.say)
        if isinstance(display, RunEvents):
            display.run_ended(end, top)
    _conclude(end, top, shown=not as_json)


@app.command(epilog="Example: lingshu cancel campaigns/examples/papalexi/screen.yaml")
def cancel(run: Running, output: Output = None) -> None:
    """End a run on a cluster early, and publish what is complete; run the campaign again to go on."""
    from screening.console import console
    from screening.watching.attachment import cancel as cancel_run
    from screening.watching.attachment import target_of

    cancel_run(target_of(run, output), console.print)


def _watcher(command: str, as_json: bool) -> RunDisplay | RunEvents:
    """Show a run to people, or write its events."""
    from screening.run import STAGES
    from screening.watching.run_display import RunDisplay
    from screening.watching.run_events import RunEvents

    return RunEvents(command, STAGES) if as_json else RunDisplay()


def _conclude(end: RunEnd, top: int, *, shown: bool = True) -> None:
    """Show how a run ended, and leave with its exit code."""
    from screening.console import console, describe_run

    if end.result is not None and shown:
        console.print(describe_run(end.result, top))
    if end.trace and is_debugging():
        print(presentable(end.trace), file=sys.stderr)
    if end.code:
        _end(end.code, end.line)


@app.command(epilog="Example: lingshu evaluate campaigns/examples/quickstart/evaluate.yaml")
def evaluate(
    campaign: CampaignFile,
    output: Output = None,
    replicas: Annotated[int | None, typer.Option(min=1, help="Replicas instead of the file's.")] = None,
    backend: Annotated[Backend | None, typer.Option(help="Where units are trained and scored.")] = None,
    as_json: Events = False,
) -> None:
    """Judge models on held-out real cells, beside baselines; run again, it goes on where it was."""
    from screening.console import console, describe_evaluation
    from screening.evaluating.evaluation_run import STAGES, run_evaluation
    from screening.watching.run_display import RunDisplay
    from screening.watching.run_events import RunEvents

    with RunEvents("evaluate", STAGES) if as_json else RunDisplay(STAGES, "units") as display:
        if isinstance(display, RunEvents):
            display.read_name(campaign)
        overrides = {"output": output, "replicas": replicas, "backend": backend.value if backend else None}
        result = run_evaluation(campaign, display, overrides)
        shortfall = "" if result.complete else "some units failed; the report says which and why"
        if isinstance(display, RunEvents):
            display.evaluation_ended(result, shortfall)
    if not as_json:
        console.print(describe_evaluation(result))
    if shortfall:
        _end(EXIT_PARTIAL, shortfall)


@app.command(epilog="Example: lingshu status campaigns/examples/papalexi/screen.yaml")
def status(campaign: CampaignFile, output: Output = None, cache: Cache = None) -> None:
    """Tell how much of a campaign is committed, from the store; and what its planner is doing, if a cluster has one."""
    from screening.console import console, describe_planner, describe_status
    from screening.planning.campaign import load_campaign, plan_campaign
    from screening.watching.status import campaign_status

    planned = plan_campaign(load_campaign(campaign, {"output": output, "cache": cache}))
    console.print(describe_status(planned, campaign_status(planned)))
    console.print(describe_planner(planned), end="")


@app.command(epilog="Example: lingshu hits s3://bucket/papalexi --top 20 --where \"q < 0.05 and context = 'THP-1'\"")
def hits(
    results: Annotated[
        list[str],
        typer.Argument(
            help="Folder or s3:// URL of a campaign's results, or several; a folder above them; a Delta table of hits.",
            show_default=False,
        ),
    ],
    top: Annotated[int | None, typer.Option(min=1, help="Only the best N.")] = None,
    context: Annotated[
        list[str] | None, typer.Option(help="Only this context (a factor's value); again for another one too.")
    ] = None,
    where: Annotated[
        str | None, typer.Option(help="Only rows for which this holds, such as: q < 0.05 and context = 'NK cells'.")
    ] = None,
    sort: Annotated[
        str | None,
        typer.Option(help="Columns to order by, smallest first, or -COLUMN: largest first; by rank if left out."),
    ] = None,
    form: Annotated[TableFormat, typer.Option("--format", help="How to print.")] = TableFormat.table,
    why: Annotated[int, typer.Option(min=0, help="Say of the best N why they are decided so; tables only.")] = 3,
    as_json: Annotated[
        bool, typer.Option("--json", help="Print a JSON object a line for each row, its keys the columns.")
    ] = False,
) -> None:
    """Print the ranked hits of a campaign, or of all campaigns that are found."""
    from screening.console import print_hits
    from screening.publishing.publication import filter_hits, hits_to_parquet, open_results
    from screening.publishing.safety_view import with_safety
    from screening.tables.collection import collect
    from screening.tables.row_query import filter_rows, sort_rows

    if as_json and form is not TableFormat.table:
        raise typer.BadParameter("--json and --format are two ways to print; give one of them")
    found = collect(results)
    for each in found.left_out:
        print(presentable(f"left out: {each}"), file=sys.stderr)
    table = filter_hits(found.rows, context or [], None)
    table = table if where is None else filter_rows(table, where)
    table = table if sort is None else sort_rows(table, sort)
    table = table if top is None else table.head(top)
    if as_json:
        sys.stdout.write(table.write_ndjson())
    elif form is TableFormat.table:
        print_hits(table if found.is_marked else with_safety(table, open_results(results[0])), why=why)
    elif form is TableFormat.csv:
        sys.stdout.write(table.write_csv())
    elif form is TableFormat.json:
        print(table.write_json())
    else:
        sys.stdout.buffer.write(hits_to_parquet(table))


@app.command(epilog="Example: lingshu pull s3://bucket/papalexi papalexi --only hits,evidence")
def pull(
    results: Annotated[str, typer.Argument(help="s3:// URL or folder of results.", show_default=False)],
    folder: Annotated[str, typer.Argument(help="Local folder to copy them into.", show_default=False)],
    only: Annotated[
        str | None,
        typer.Option(help="Names of files or what they begin with, such as hits,evidence,cells; all if left out."),
    ] = None,
) -> None:
    """Copy the results that stand somewhere into a local folder; run again, it goes on where it was."""
    from screening.console import console
    from screening.tables.local_copy import pull as pull_results

    names = [name.strip() for name in (only or "").split(",") if name.strip()]
    if only is not None and not names:
        raise typer.BadParameter("--only names no file; write such as --only hits,evidence")
    done = pull_results(results, folder, names, lambda name, size: console.print(f"{name}  {size:,} bytes"))
    console.print(done.describe())


@app.command(epilog="Example: lingshu diff results/papalexi/before results/papalexi/screen --top 20")
def diff(
    before: Annotated[
        str, typer.Argument(metavar="A", help="Folder or s3:// URL of a campaign's results.", show_default=False)
    ],
    after: Annotated[
        str,
        typer.Argument(metavar="B", help="Those of another one that asks the same question.", show_default=False),
    ],
    top: Annotated[
        int | None, typer.Option(min=1, help="Conditions to show, moved hits first (default: 20; JSON: all).")
    ] = None,
    output: Annotated[
        Path | None, typer.Option("--output", "-o", help="Write the whole table to this .parquet file too.")
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print everything as JSON.")] = False,
) -> None:
    """Compare two campaigns that ask the same question: which hits moved, and why."""
    from screening.console import console
    from screening.following_up.comparison import COLUMNS, compare
    from screening.following_up.comparison_text import describe_comparison
    from screening.publishing.publication import Table
    from screening.publishing.published_campaign import read_campaign

    found = compare(read_campaign(before), read_campaign(after))
    if output is not None:
        output.write_bytes(Table(found.conditions, {name: text for name, (_, text) in COLUMNS.items()}).to_parquet())
    if as_json:
        print(json.dumps(found.as_json(top), indent=1))
    else:
        for part in describe_comparison(found, top or 20):
            console.print(part)


@app.command(epilog='Example: lingshu evidence results/papalexi/screen STAT1 --context "THP-1"')
def evidence(
    results: Annotated[str, typer.Argument(help="Folder or s3:// URL of a campaign's results.", show_default=False)],
    perturbation: Annotated[str, typer.Argument(help="As the table of hits names it.", show_default=False)],
    context: Annotated[
        list[str] | None, typer.Option(help="A factor's value or a whole context; without it the best-ranked one.")
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print everything as JSON.")] = False,
) -> None:
    """Show what speaks for a hit and against it, and what would refute it."""
    from screening.console import console
    from screening.following_up.evidence_page import describe_evidence, read_evidence

    found = read_evidence(results, perturbation, context or [])
    if as_json:
        print(json.dumps(found.as_json(), indent=1))
    else:
        for part in describe_evidence(found):
            console.print(part)


@app.command(epilog="Example: lingshu report s3://bucket/papalexi --output report.html")
def report(
    results: Annotated[str, typer.Argument(help="Folder or s3:// URL of a campaign's results.", show_default=False)],
    output: Annotated[Path, typer.Option("--output", "-o", help="The page that is written.", dir_okay=False)] = Path(
        "report.html"
    ),
    rows: Annotated[
        int, typer.Option(min=1, max=1_000_000, help="Rows that the page's table holds; every hit is in it anyway.")
    ] = 20_000,
) -> None:
    """Write a page for a campaign's results: question, verdict, table, plots, evidence. One file, asks for nothing."""
    from screening.console import console
    from screening.report.page import render_page
    from screening.report.source import read_source

    page = render_page(read_source(results), rows).encode()
    output.write_bytes(page)
    console.print(f"{output}: {len(page) / 1e6:.1f} MB, one file that needs no network")


@app.command(epilog="Example: lingshu suggest results/quickstart/screen --batch 24 --out next.csv")
def suggest(
    results: Annotated[str, typer.Argument(help="Folder or s3:// URL of a campaign's results.", show_default=False)],
    batch: Annotated[int, typer.Option(min=1, max=10_000, help="How many conditions.")] = 24,
    context: Annotated[
        list[str] | None, typer.Option(help="Only this context (a factor's value); again for another one too.")
    ] = None,
    minimum_effect: Annotated[
        float | None,
        typer.Option(help="Effect that matters, in the unit of the score (default: the null's minimum effect)."),
    ] = None,
    enough: Annotated[int, typer.Option(min=1, help="Training cells of a perturbation at which it counts half.")] = 100,
    out: Annotated[Path | None, typer.Option("--out", help="Write the batch as CSV, too.", dir_okay=False)] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print the batch as JSON.")] = False,
) -> None:
    """Propose what to measure next: a batch of conditions that would teach the model most, unlike one another."""
    from screening.console import console
    from screening.following_up.suggestion_view import suggestion_json, suggestion_table, write_suggestions
    from screening.following_up.suggestions import SuggestionRequest
    from screening.following_up.suggestions import suggest as propose_batch

    if minimum_effect is not None and not math.isfinite(minimum_effect):
        raise typer.BadParameter("--minimum-effect must be a finite number")
    request = SuggestionRequest(results, batch, tuple(context or ()), minimum_effect, enough)
    found = propose_batch(request)
    if out is not None:
        write_suggestions(found.batch, out)
    if as_json:
        print(suggestion_json(found, request))
        return
    console.print(suggestion_table(found))
    console.print("\n".join(found.notices))
    if out is not None:
        console.print(f"written to {out}")


@app.command(epilog="Example: lingshu verify s3://bucket/papalexi")
def verify(
    results: Annotated[str, typer.Argument(help="Folder or s3:// URL of results, or of a cache.", show_default=False)],
) -> None:
    """Read every record of a store and hash every byte again; exit code 1 if anything is not as promised."""
    from screening.console import CellDisplay, console, describe_verification
    from screening.running.upkeep import verify as verify_store

    with CellDisplay("objects read") as display:
        found = verify_store(results, lambda done: display.update(done, None))
    console.print(describe_verification(results, found))
    if found.flaws:
        _end(EXIT_WRONG, f"{results}: not all is as promised, see above")


@app.command(epilog="Example: lingshu gc s3://bucket/papalexi --grace 7d --delete")
def gc(
    results: Annotated[str, typer.Argument(help="Folder or s3:// URL of results, or of a cache.", show_default=False)],
    grace: Annotated[str, typer.Option(help="Only what is older than this: 24h, 90m, 7d; at least 1h.")] = "24h",
    delete: Annotated[bool, typer.Option("--delete", help="Remove it; without this it is only shown.")] = False,
) -> None:
    """Show what a store holds that nobody will read again, and remove it; safe while a screen runs."""
    from screening.console import console, describe_orphans
    from screening.running.upkeep import delete_orphans, find_orphans, open_store, parse_grace

    try:
        age = parse_grace(grace)
    except ValueError as error:
        raise typer.BadParameter(f"--grace {error}") from error
    store = open_store(results)
    orphans = delete_orphans(store, age) if delete else find_orphans(store, age)
    for line in describe_orphans(orphans, grace, deleted=delete):
        console.print(line)


@app.command(epilog="Example: lingshu describe results/papalexi/model")
def describe(
    model: Annotated[
        str,
        typer.Argument(
            help="A configuration (direct, tiny, small, base, paper), or a checkpoint's folder or URL.",
            show_default=False,
        ),
    ],
    genes: Annotated[int | None, typer.Option(min=1, help="Genes of a configuration; 18,080 by default.")] = None,
    patch_size: Annotated[int | None, typer.Option(min=1, help="Genes per patch of a configuration.")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print everything as JSON.")] = False,
) -> None:
    """Tell the shape and the parameters of a configuration, or what a trained model is and comes from."""
    from screening.models.description import describe_model, render_description

    description = describe_model(model, genes, patch_size)
    print(json.dumps(description, indent=1) if as_json else render_description(description))


@app.command(epilog="Example: lingshu card results/kang/model --data kang2018_ifnb_pbmc.h5ad")
def card(
    model: Annotated[str, typer.Argument(help="Folder or URL of a checkpoint or an ensemble.", show_default=False)],
    data: Annotated[
        list[str] | None, typer.Option(help="File with real cells (.h5ad, .zarr) to measure on; again for more.")
    ] = None,
    evaluation: Annotated[str | None, typer.Option(help="Results of `lingshu evaluate` to take scores from.")] = None,
    trained_like: Annotated[
        str | None, typer.Option(help="The model of the evaluation that was trained as this one was.")
    ] = None,
    column: Annotated[
        list[str] | None, typer.Option(help="ROLE=COLUMN of obs, where it is another than in training; again for more.")
    ] = None,
    layer: Annotated[str | None, typer.Option(help="Layer with raw counts (default: that of the training).")] = None,
    held_out: Annotated[
        list[str] | None, typer.Option(help="File with cells of donors that were not in the training; again for more.")
    ] = None,
    donor: Annotated[str, typer.Option(help="Role of the column that names donors.")] = "donor",
    conditions: Annotated[bool, typer.Option(help="Whether perturbed cells are compared too.")] = True,
    steps: Annotated[int, typer.Option(min=1, help="Steps in which genes are revealed.")] = 6,
    schedule: Annotated[Schedule, typer.Option(help="How many genes each step reveals.")] = Schedule.geometric,
    guidance: Annotated[float, typer.Option(min=0, help="Guidance against the control label.")] = 0.0,
    seed: Annotated[int, typer.Option(min=0, max=MAX_SEED, help="Seed of every random number.")] = 0,
    device: Annotated[str, typer.Option(help="auto, cpu, cuda or cuda:N.")] = "auto",
    threads: Annotated[int, typer.Option(min=1, help="CPU threads.")] = 1,
    as_json: Annotated[bool, typer.Option("--json", help="Print the card as JSON.")] = False,
) -> None:
    """Measure a model on real cells (are its cells like them? whom do they give away?) and write its model card."""
    from lingshu_core.reveal import RevealSettings
    from screening.console import CellDisplay
    from screening.models.card_measurement import CardRequest, make_cards
    from screening.models.card_text import render_card

    request = CardRequest(
        model,
        data=tuple(data or ()),
        evaluation=evaluation,
        trained_like=trained_like,
        columns=dict(_pairs("--column", column)),
        layer=layer,
        strangers=tuple(held_out or ()),
        donor=donor,
        conditions=conditions,
        sampler=RevealSettings(steps, schedule.value, guidance),
        seed=seed,
        device=device,
        threads=threads,
    )
    with CellDisplay("gates measured") as display:
        cards = make_cards(request, display.update)
    if as_json:
        found = [dict(each.content) for _, each in cards]
        print(json.dumps(found[0] if len(found) == 1 else found, indent=1))
    else:
        print("\n\n".join(render_card(each.content) for _, each in cards))


@app.command(epilog="Example: lingshu generate results/kang/model --perturbation IFNB1 --output cells.h5ad")
def generate(
    request: Annotated[
        str,
        typer.Argument(help="A checkpoint (folder or URL), or a `kind: generate` file (.yaml).", show_default=False),
    ],
    output: Annotated[str | None, typer.Option("--output", "-o", help="The .h5ad file to write.")] = None,
    cells: Annotated[
        int | None, typer.Option(min=1, help="How many cells (default: 1000, or one per start cell).")
    ] = None,
    context: Annotated[
        list[str] | None, typer.Option(help="FACTOR=VALUE, such as cell_type=B; again for more.")
    ] = None,
    contexts: Annotated[
        Contexts | None,
        typer.Option(help="What becomes of factors left out (default: proportional; with --from unspecified)."),
    ] = None,
    perturbation: Annotated[str | None, typer.Option(help="What is done to them: A, A+B or drug@dose.")] = None,
    smiles: Annotated[
        list[str] | None, typer.Option(help="NAME=SMILES: a drug that the model doesn't know; again for more.")
    ] = None,
    sampler: Annotated[
        Sampler | None, typer.Option(help="paper: the published sampler, where its settings aren't given.")
    ] = None,
    steps: Annotated[int | None, typer.Option(min=1, help="Steps in which genes are revealed.")] = None,
    schedule: Annotated[str | None, typer.Option(help="geometric, uniform or cosine.")] = None,
    guidance: Annotated[float | None, typer.Option(min=0, help="Guidance against the control label.")] = None,
    start: Annotated[str | None, typer.Option("--from", help="An .h5ad with real cells to start from.")] = None,
    where: Annotated[list[str] | None, typer.Option(help="COLUMN=VALUE: which of them; again for more.")] = None,
    keep: Annotated[float | None, typer.Option(help="Share of their genes that is kept.")] = None,
    layer: Annotated[str | None, typer.Option(help="Their layer with raw counts, instead of X.")] = None,
    seed: Annotated[int | None, typer.Option(min=0, max=MAX_SEED, help="Seed of every random number.")] = None,
    device: Annotated[str | None, typer.Option(help="auto, cpu, cuda or cuda:N.")] = None,
) -> None:
    """Draw cells from a model: of any context, under any condition, or starting from real cells."""
    from screening.console import CellDisplay, console, describe_generation
    from screening.models.generate import generate as generate_cells
    from screening.models.generate import read_request

    is_file = request.endswith((".yaml", ".yml"))
    given: dict[tuple[str, ...], Any] = {
        ("model",): None if is_file else request,
        ("output",): output,
        ("cells",): cells,
        ("contexts",): contexts.value if contexts else None,
        ("perturbation",): perturbation,
        ("sampler", "name"): sampler.value if sampler else None,
        ("sampler", "steps"): steps,
        ("sampler", "schedule"): schedule,
        ("sampler", "guidance"): guidance,
        ("start", "path"): start,
        ("start", "keep"): keep,
        ("start", "layer"): layer,
        ("seed",): seed,
        ("compute", "device"): device,
        **{("context", factor): value for factor, value in _pairs("--context", context)},
        **{("structures", name): text for name, text in _pairs("--smiles", smiles)},
    }
    columns = list(_pairs("--where", where))
    given |= {("start", "where", name): [value for key, value in columns if key == name] for name in dict(columns)}
    options = {path: value for path, value in given.items() if value is not None}
    spec, source = read_request(request if is_file else None, options)
    with CellDisplay("cells drawn") as display:
        result = generate_cells(spec, source, " ".join(["lingshu", *sys.argv[1:]]), display.update)
    console.print(describe_generation(result))


@app.command(
    epilog="Example: lingshu adapt results/kang/model donor9.h5ad --where label=ctrl --output results/kang/model-donor9"
)
def adapt(
    model: Annotated[str, typer.Argument(help="Folder or URL of the checkpoint.", show_default=False)],
    data: Annotated[
        str, typer.Argument(help="The .h5ad with the new contexts' cells: raw counts.", show_default=False)
    ],
    output: Annotated[
        str, typer.Option("--output", "-o", help="Folder or URL of the new checkpoint.", show_default=False)
    ],
    factor: Annotated[
        list[str] | None, typer.Option(help="FACTOR=COLUMN of obs, where it has another name; again for more.")
    ] = None,
    where: Annotated[
        list[str] | None, typer.Option(help="COLUMN=VALUE: which cells are controls (default: all).")
    ] = None,
    depth: Annotated[
        str | None, typer.Option(help="Column with the cells' total UMIs (default: the sum of counts).")
    ] = None,
    layer: Annotated[str | None, typer.Option(help="Layer with raw counts, instead of X.")] = None,
    steps: Annotated[int, typer.Option(min=1, help="Steps of the fit.")] = 400,
    device: Annotated[str, typer.Option(help="auto, cpu, cuda or cuda:N.")] = "auto",
    threads: Annotated[int, typer.Option(min=1, help="CPU threads.")] = 1,
) -> None:
    """Teach a model contexts that it never saw (donors, lines, cell types) from their control cells alone."""
    from lingshu_core.adaptation import AdaptationConfig
    from screening.console import CellDisplay, console, describe_adaptation
    from screening.training.adapt import AdaptationRequest, adapt_model

    columns = list(_pairs("--where", where))
    request = AdaptationRequest(
        model,
        data,
        output,
        columns=dict(_pairs("--factor", factor)),
        where={name: [value for key, value in columns if key == name] for name in dict(columns)},
        depth=depth,
        layer=layer,
        device=device,
        threads=threads,
        config=AdaptationConfig(steps=steps),
    )
    with CellDisplay("steps of the fit") as display:
        result = adapt_model(request, display.update)
    console.print(describe_adaptation(result))


@app.command(epilog="Example: lingshu embed cells.h5ad results/kang/model --output embedded.h5ad")
def embed(
    data: Annotated[str, typer.Argument(help="The .h5ad with the cells: raw counts.", show_default=False)],
    model: Annotated[str, typer.Argument(help="Folder or URL of the checkpoint.", show_default=False)],
    output: Annotated[str, typer.Option("--output", "-o", help="The .h5ad file to write.", show_default=False)],
    layer: Annotated[str | None, typer.Option(help="Layer with raw counts, instead of X.")] = None,
    kind: Annotated[
        Representation | None,
        typer.Option(help="Which representation (default: tilt, where the model has a pooled path)."),
    ] = None,
    orthologs: Annotated[
        str | None, typer.Option(help="Table of orthologs, where species differ (.csv, .tsv).")
    ] = None,
    cells_column: Annotated[str | None, typer.Option(help="Its column with the genes of the cells.")] = None,
    model_column: Annotated[str | None, typer.Option(help="Its column with the genes of the model.")] = None,
    device: Annotated[str, typer.Option(help="auto, cpu, cuda or cuda:N.")] = "auto",
    threads: Annotated[int, typer.Option(min=1, help="CPU threads.")] = 1,
) -> None:
    """Write a copy of an .h5ad with the model's representation of each cell in obsm["X_lingshu"]."""
    from lingshu_core.gene_panel import read_orthologs
    from screening.console import CellDisplay, console, describe_embedding
    from screening.models.embed import EmbeddingRequest
    from screening.models.embed import embed as embed_cells

    table = None
    if orthologs:
        if not (cells_column and model_column):
            raise typer.BadParameter("--orthologs needs --cells-column and --model-column, two columns of the table")
        table = read_orthologs(orthologs, cells_column, model_column)
    with CellDisplay("cells represented") as display:
        asked = EmbeddingRequest(data, model, output, layer, kind.value if kind else None, table, device, threads)
        result = embed_cells(asked, display.update)
    console.print(describe_embedding(result))


def _pairs(option: str, values: list[str] | None) -> Iterator[tuple[str, str]]:
    """Read NAME=VALUE of an option that may be repeated."""
    for text in values or ():
        name, equals, value = text.partition("=")
        if not (name and equals and value):
            raise typer.BadParameter(f"{option} {text!r} must be NAME=VALUE")
        yield name, value


@app.command(epilog="Example: lingshu doctor campaigns/examples/papalexi/screen.yaml")
def doctor(
    campaign: Annotated[
        Path | None,
        typer.Argument(help="A campaign file to check against this machine.", autocompletion=campaign_files),
    ] = None,
) -> None:
    """Check this machine, and what a campaign needs of it: data, model, store, cluster, GPUs."""
    from screening.console import console, describe_checks
    from screening.doctor import examine

    checks = examine(campaign)
    console.print(describe_checks(checks))
    bad = [check.name for check in checks if check.verdict == "bad"]
    if bad:
        _end(EXIT_BAD_INPUT, f"not all is well: see {', '.join(bad)} above")


def _end(code: int, message: str) -> NoReturn:
    """Leave with a code that isn't success, and say on standard error why."""
    print(f"error: {message}", file=sys.stderr)
    raise typer.Exit(code)


def main() -> None:
    """Run the command line; every error becomes one message and an exit code."""
    try:
        # Outside its standalone mode typer hands on what is wrong with the options, instead of drawing a box around it.
        code = app(standalone_mode=False)
        if code == EXIT_INTERRUPTED:
            print("stopped; what was committed or saved stays, run the same command again to go on", file=sys.stderr)
        sys.exit(code)
    except SystemExit as ended:
        # Typer has made an exit code of a closed pipe before anybody else could see it.
        if _reader_left(ended):
            sys.exit(0)
        raise
    except LeftRunning as left:
        print(left, file=sys.stderr)
        sys.exit(EXIT_INTERRUPTED)
    except UsageError as error:
        _report(error, EXIT_BAD_INPUT, presentable(usage_message(error)))
    except Exception as error:
        _report(error, *outcome_of(error))


def _reader_left(ended: SystemExit) -> bool:
    """Tell whether the pipe was closed, as by ``lingshu hits … | head``: the reader has seen enough."""
    try:
        sys.stdout.flush()
    except BrokenPipeError:
        closed = True
    else:
        closed = isinstance(ended.__context__, BrokenPipeError)
    if closed:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    return closed


def _report(error: Exception, code: int, message: str) -> NoReturn:
    """Print one message and leave."""
    if is_debugging():
        print(presentable("".join(traceback.format_exception(error))), end="", file=sys.stderr)
    print(f"error: {message}", file=sys.stderr)
    sys.exit(code)


if __name__ == "__main__":
    main()
