"""A screen as a job: what is sent to the planner's process, what runs there, and what comes back.

The campaign travels as it was understood, with options and variables resolved, and not as a file, which may change or
go away while it runs. Relative paths mean what they meant where the command was given. The table does not travel back:
it is in the store.
"""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from actors.blobs import absolute_url
from actors.job import Board, Ending, JobSpec, trace_of
from campaigns.screen_spec import ScreenSpec
from campaigns.validation import validate
from campaigns.yaml_source import Source
from screening.campaign import Campaign, PlannedCampaign
from screening.errors import PlaceError
from screening.members import load_members
from screening.outcome import EXIT_PARTIAL, outcome_of
from screening.publication import open_results, read_hits
from screening.run import RunResult, run_loaded

TARGET = "screening.detached_run:run_screen"
_FACTS = ("run_id", "output", "computed", "reused", "failed", "gates", "cache", "cancelled")


@dataclass(frozen=True)
class RunEnd:
    """How a run ended, wherever it ran.

    Attributes
    ----------
    code, line
        Exit code, and why it is not 0.
    result
        What there is to show; None if nothing was published.
    trace
        Of the error that ended it.
    """

    code: int
    line: str = ""
    result: RunResult | None = None
    trace: str = ""

    @classmethod
    def of(cls, result: RunResult) -> RunEnd:
        """Say how a run ended that was published."""
        return cls(EXIT_PARTIAL if result.shortfall else 0, result.shortfall, result)


def screen_job(campaign: Campaign) -> JobSpec:
    """Say what the planner's process has to run."""
    options = {"campaign": campaign.spec.as_data(), "file": campaign.source.file, "folder": str(Path.cwd())}
    return JobSpec(TARGET, options)


def job_name(output: str) -> str:
    """Name the job of a place of results: there is one at a time."""
    return f"screen-{hashlib.sha256(absolute_url(output).encode()).hexdigest()[:16]}"


def about_screen(planned: PlannedCampaign) -> dict[str, Any]:
    """Say what other commands should know of a run."""
    spec = planned.campaign.spec
    return {
        "name": spec.name,
        "run_id": planned.plan.run_id,
        "place": absolute_url(spec.output),
        "file": planned.campaign.source.file,
        "asked": digest_of(spec),
    }


def digest_of(spec: ScreenSpec) -> str:
    """Return the SHA-256 of what a campaign asks for, wherever and with whatever it is computed."""
    asked = {name: value for name, value in spec.as_data().items() if name not in ("compute", "budget")}
    return hashlib.sha256(json.dumps(asked, sort_keys=True).encode()).hexdigest()


def run_screen(board: Board, campaign: Mapping[str, Any], file: str, folder: str) -> Ending:
    """Run a campaign in this process, which is the planner's; errors become the way in which it ended."""
    try:
        source = Source(file, campaign)
        spec = validate(ScreenSpec, source)
        _enter(folder, spec)
        board.stage("load", file)
        result = run_loaded(Campaign(spec, source, load_members(spec, source)), board)
    except Exception as error:  # becomes data: whoever attaches tells it
        code, line = outcome_of(error)
        return Ending(code, line, trace=trace_of(error))
    end = RunEnd.of(result)
    facts = {name: getattr(result, name) for name in _FACTS}
    return Ending(end.code, end.line, {**facts, "files": list(result.files)})


def end_of(ending: Ending, place: str) -> RunEnd:
    """Make of an ending what a run in this process would have given; the table is read from the store.

    Raises
    ------
    ResultsError, StoreError
        If it isn't there, or can't be reached from here.
    """
    if not ending.facts:
        return RunEnd(ending.code, ending.line, None, ending.trace)
    facts = dict(ending.facts)
    files = dict.fromkeys(facts.pop("files"))
    return RunEnd(ending.code, ending.line, RunResult(hits=read_hits(open_results(place)), files=files, **facts))


def _enter(folder: str, spec: ScreenSpec) -> None:
    """Make relative paths mean what they meant to the command.

    Raises
    ------
    PlaceError
        If this node doesn't have the folder, and the campaign names something in it.
    """
    if Path(folder).is_dir():
        os.chdir(folder)
        return
    singles = spec.perturbations.pairs.start if spec.perturbations.pairs is not None else None
    places = [place for place in (*spec.models, spec.output, spec.cache, singles) if place is not None]
    relative = [place for place in places if "://" not in place and not Path(place).is_absolute()]
    if relative:
        raise PlaceError(
            f"{', '.join(relative)}: relative to {folder}, which this node of the cluster doesn't have; name places"
            " that all nodes see, such as s3:// URLs"
        )
