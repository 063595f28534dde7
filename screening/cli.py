"""The command line: thin commands, one error boundary, three exit codes beside success.

Nothing heavy is imported before a command needs it, so that ``--help`` and ``validate`` answer at once.
"""

from __future__ import annotations

import json
import os
import sys
import traceback
from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

EXIT_CRASH, EXIT_BAD_INPUT, EXIT_PARTIAL, EXIT_INTERRUPTED = 1, 2, 3, 130

app = typer.Typer(
    name="lingshu",
    help="Virtual screening with a generative cell model: campaigns in YAML, ranked hits out.",
    no_args_is_help=True,
    add_completion=True,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)

CampaignFile = Annotated[Path, typer.Argument(help="A campaign file (YAML).", show_default=False)]
Output = Annotated[str | None, typer.Option("--output", "-o", help="Results go here instead of the file's `output`.")]


class Backend(StrEnum):
    """Where replicas run."""

    ray = "ray"
    in_process = "in_process"


class TableFormat(StrEnum):
    """How a table is printed."""

    table = "table"
    csv = "csv"
    json = "json"
    parquet = "parquet"


@app.callback()
def options(
    debug: Annotated[bool, typer.Option("--debug", help="Show the whole trace of an error.")] = False,
) -> None:
    """Virtual screening with a generative cell model: campaigns in YAML, ranked hits out."""
    os.environ["LINGSHU_DEBUG"] = "1" if debug else os.environ.get("LINGSHU_DEBUG", "")


@app.command(epilog="Example: lingshu simulate results/quickstart --seed 1")
def simulate(
    folder: Annotated[Path, typer.Argument(help="Folder to write cells, truth and gene set to.", show_default=False)],
    seed: Annotated[int, typer.Option(help="Seed of the simulation.")] = 0,
) -> None:
    """Simulate a perturbation experiment with known truth (a test bench, not the product)."""
    from lingshu_core.simulation_config import SimulationConfig
    from lingshu_core.simulator import simulate as simulate_cells
    from screening.console import console, describe_simulation

    simulation = simulate_cells(SimulationConfig(seed=seed))
    console.print(describe_simulation(simulation, simulation.write(folder)))


@app.command(epilog="Example: lingshu train campaigns/examples/papalexi/train.yaml")
def train(
    campaign: CampaignFile,
    output: Output = None,
    seed: Annotated[int | None, typer.Option(help="Seed instead of the file's.")] = None,
) -> None:
    """Train a model on the cells of an .h5ad file."""
    from screening.console import TrainingDisplay, console, describe_training
    from screening.training_run import train_model

    with TrainingDisplay() as display:
        result = train_model(campaign, display.update, {"output": output, "seed": seed})
    console.print(describe_training(result))


@app.command(epilog="Example: lingshu validate campaigns/examples/papalexi/screen.yaml")
def validate(campaign: CampaignFile) -> None:
    """Check a campaign file; against its model's vocabulary too, where the model is there."""
    from screening.validation import validate_campaign

    for line in validate_campaign(campaign):
        print(line)


@app.command(epilog="Example: lingshu plan campaigns/examples/papalexi/screen.yaml --json > plan.json")
def plan(
    campaign: CampaignFile,
    output: Output = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print the whole plan as JSON.")] = False,
) -> None:
    """Show what a campaign would compute, and how much of it is there already."""
    from screening.campaign import load_campaign, plan_campaign
    from screening.console import console, describe_plan
    from screening.status import campaign_status

    planned = plan_campaign(load_campaign(campaign, {"output": output}))
    if as_json:
        print(json.dumps(planned.plan.as_json(), indent=1))
    else:
        console.print(describe_plan(planned, campaign_status(planned)))


@app.command(epilog="Example: lingshu run campaigns/examples/papalexi/screen.yaml --output s3://bucket/papalexi")
def run(
    campaign: CampaignFile,
    output: Output = None,
    replicas: Annotated[int | None, typer.Option(min=1, help="Replicas instead of the file's.")] = None,
    backend: Annotated[Backend | None, typer.Option(help="Where replicas run.")] = None,
    top: Annotated[int, typer.Option(min=1, help="Hits to show at the end.")] = 10,
) -> None:
    """Run a campaign to a ranked hit list; run again, it goes on where it was."""
    from screening.console import RunDisplay, console, describe_run
    from screening.run import run_campaign

    with RunDisplay() as display:
        overrides = {"output": output, "replicas": replicas, "backend": backend.value if backend else None}
        result = run_campaign(campaign, display, overrides)
    console.print(describe_run(result, top))
    if not result.complete:
        raise typer.Exit(EXIT_PARTIAL)


@app.command(epilog="Example: lingshu status campaigns/examples/papalexi/screen.yaml")
def status(campaign: CampaignFile, output: Output = None) -> None:
    """Tell how much of a campaign is committed, from the store alone."""
    from screening.campaign import load_campaign, plan_campaign
    from screening.console import console, describe_status
    from screening.status import campaign_status

    planned = plan_campaign(load_campaign(campaign, {"output": output}))
    console.print(describe_status(planned, campaign_status(planned)))


@app.command(epilog='Example: lingshu hits s3://bucket/papalexi --top 20 --context "THP-1" --format csv')
def hits(
    results: Annotated[str, typer.Argument(help="Folder or s3:// URL of a campaign's results.", show_default=False)],
    top: Annotated[int | None, typer.Option(min=1, help="Only the best N.")] = None,
    context: Annotated[
        list[str] | None, typer.Option(help="Only this context (a factor's value); again for another one too.")
    ] = None,
    form: Annotated[TableFormat, typer.Option("--format", help="How to print.")] = TableFormat.table,
) -> None:
    """Print the ranked hits of a campaign."""
    from screening.console import print_hits
    from screening.publication import filter_hits, hits_to_parquet, open_results, read_hits

    table = filter_hits(read_hits(open_results(results)), context or [], top)
    if form is TableFormat.table:
        print_hits(table)
    elif form is TableFormat.csv:
        sys.stdout.write(table.write_csv())
    elif form is TableFormat.json:
        print(table.write_json())
    else:
        sys.stdout.buffer.write(hits_to_parquet(table))


@app.command(epilog="Example: lingshu doctor campaigns/examples/papalexi/screen.yaml")
def doctor(
    campaign: Annotated[Path | None, typer.Argument(help="A campaign file to check against this machine.")] = None,
) -> None:
    """Check this machine, and what a campaign needs of it: data, model, store, cluster, GPUs."""
    from screening.console import console, describe_checks
    from screening.doctor import examine

    checks = examine(campaign)
    console.print(describe_checks(checks))
    if any(check.verdict == "bad" for check in checks):
        raise typer.Exit(EXIT_BAD_INPUT)


def main() -> None:
    """Run the command line; every error becomes one message and an exit code."""
    from actors.errors import ActorsError
    from campaigns.errors import CampaignError
    from screening.errors import ScreeningError, is_storage_error

    known: tuple[type[Exception], ...] = (ActorsError, CampaignError, ScreeningError)
    try:
        app()
    except SystemExit as ended:
        # Typer has made exit codes of an interrupt and of a closed pipe before anybody else could see them.
        if ended.code == EXIT_INTERRUPTED:
            print("stopped; what was committed stays, run the same command again to go on", file=sys.stderr)
        if _reader_left(ended):
            sys.exit(0)
        raise
    except OSError as error:
        # A full disk, a folder that can't be written: the machine's own words are the clearest.
        _report(error, f"{error.filename}: {error.strerror}" if error.filename and error.strerror else str(error))
    except Exception as error:
        expected = isinstance(error, (*known, *_core_errors())) or is_storage_error(error)
        _report(error, str(error) if expected else None)


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


def _core_errors() -> tuple[type[Exception], ...]:
    from lingshu_core.errors import LingshuCoreError

    return (LingshuCoreError,)


def _report(error: Exception, message: str | None) -> None:
    """Print one message and leave; without a message the error is none that we expected."""
    if os.environ.get("LINGSHU_DEBUG"):
        traceback.print_exception(error)
    elif message is not None:
        print(f"error: {message}", file=sys.stderr)
    else:
        summary = " ".join(str(error).split())[:400]
        print(f"error: {type(error).__name__}: {summary} (a bug: `lingshu --debug …` shows the trace)", file=sys.stderr)
    sys.exit(EXIT_CRASH if message is None else EXIT_BAD_INPUT)


if __name__ == "__main__":
    main()
