"""A screen as a job: what is sent to the planner's process, what runs there, and what comes back.

The campaign travels as it was understood, with options and variables resolved, and not as a file, which may change or
go away while it runs. Relative paths mean what they meant where the command was given. The table does not travel back:
it is in the store.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from actors.blobs import absolute_url
from actors.errors import Cancelled
from actors.job import Board, Ending, JobSpec, trace_of
from actors.progress import Progress
from campaigns.screen_spec import ScreenSpec
from campaigns.validation import validate
from campaigns.yaml_source import Source
from screening.errors import PlaceError
from screening.outcome import EXIT_PARTIAL, outcome_of
from screening.planning.asked import digest_of
from screening.planning.campaign import Campaign, PlannedCampaign
from screening.planning.members import load_members
from screening.run import RunResult, facts_of, result_of, run_loaded
from screening.watching.run_news import RunNews

TARGET = "screening.running.detached_run:run_screen"
UNTIL_PREDICTED = ("load", "plan", "open", "predict")
"""Stages before which a run may be ended; what follows is a fold over the store, and is not cut short."""
UNTOUCHED = "the store is as it was, and nothing was published; run the campaign again to go on"


class Cancellable:
    """Writes on the board of a job, and lets a cancel be heard between stages, not only while it predicts."""

    def __init__(self, board: Board) -> None:
        self._board = board

    def stage(self, name: str, detail: str) -> None:
        """Note that a stage begins; raises `Cancelled` if it shall not."""
        self._board.stage(name, detail)
        if name in UNTIL_PREDICTED:
            self._board.check()

    def news(self, news: RunNews) -> None:
        """Note what the run is, and who leads so far."""
        self._board.news(news.as_data())

    def progress(self, progress: Progress) -> None:
        """Note how far the prediction is; raises `Cancelled` if it shall not go on."""
        self._board.progress(progress)


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


def screen_job(campaign: Campaign, take_over: bool = False) -> JobSpec:
    """Say what the planner's process has to run."""
    options = {"campaign": campaign.spec.as_data(), "file": campaign.source.file, "folder": str(Path.cwd())}
    return JobSpec(TARGET, {**options, "take_over": take_over})


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


def run_screen(board: Board, campaign: Mapping[str, Any], file: str, folder: str, take_over: bool = False) -> Ending:
    """Run a campaign in this process, which is the planner's; errors become the way in which it ended.

    One that is cancelled while it loads or plans ends there, and leaves the store as it was.
    """
    listener = Cancellable(board)
    try:
        source = Source(file, campaign)
        spec = validate(ScreenSpec, source)
        _enter(folder, spec)
        listener.stage("load", file)
        result = run_loaded(Campaign(spec, source, load_members(spec, source)), listener, take_over=take_over)
    except Cancelled as cancelled:
        return Ending(EXIT_PARTIAL, f"{cancelled}, before anything was computed: {UNTOUCHED}")
    except Exception as error:  # becomes data: whoever attaches tells it
        code, line = outcome_of(error)
        return Ending(code, line, trace=trace_of(error))
    end = RunEnd.of(result)
    return Ending(end.code, end.line, facts_of(result))


def end_of(ending: Ending, place: str) -> RunEnd:
    """Make of an ending what a run in this process would have given; the table is read from the store.

    Raises
    ------
    ResultsError, StoreError
        If it isn't there, or can't be reached from here.
    """
    if not ending.facts:
        return RunEnd(ending.code, ending.line, None, ending.trace)
    return RunEnd(ending.code, ending.line, result_of(ending.facts, place))


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
    places = [
        place for place in (*spec.models, spec.output, spec.cache, spec.publish.delta, singles) if place is not None
    ]
    relative = [place for place in places if "://" not in place and not Path(place).is_absolute()]
    if relative:
        raise PlaceError(
            f"{', '.join(relative)}: relative to {folder}, which this node of the cluster doesn't have; name places"
            " that all nodes see, such as s3:// URLs"
        )
