"""Events of a command as lines of JSON, for programs that watch: `lingshu run --json`.

Each line is one object, with the fields of `COMMON` and those of its event in `EVENTS`; a field that has no value is
null. `docs/watching-a-run.md` has the same tables. Standard output holds events and nothing else: whatever else is
printed while they are written goes to standard error.

`SCHEMA` rises when a field goes away or changes its meaning. A new event or a new field is no such change.
"""

from __future__ import annotations

import json
import math
import os
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack, redirect_stdout
from datetime import UTC, datetime
from types import TracebackType
from typing import TYPE_CHECKING, Any, TextIO

from actors.progress import Progress
from screening.errors import LeftRunning
from screening.outcome import EXIT_INTERRUPTED, EXIT_PARTIAL, outcome_of, presentable
from screening.watching.progress_text import cells_per_second
from screening.watching.run_news import Leading, RunNews

if TYPE_CHECKING:
    from lingshu_core.training import TrainingProgress
    from screening.evaluating.evaluation_run import EvaluationResult
    from screening.running.detached_run import RunEnd

SCHEMA = 1
PROGRESS_SECONDS = 1.0
"""Progress is told this often at most."""
INTERRUPTED = "stopped; what was committed or saved stays, run the same command again to go on"

NUMBER = (int, float)
TEXT_OR_NULL, WHOLE_OR_NULL, NUMBER_OR_NULL = (str, type(None)), (int, type(None)), (int, float, type(None))
LIST_OR_NULL = (list, type(None))

Fields = Mapping[str, tuple[type | tuple[type, ...], str]]
"""Field → type or types, and what it means, with its unit."""

COMMON: Fields = {
    "schema": (int, "version of these tables, 1"),
    "event": (str, "which of the events below"),
    "time": (str, "when it was written: UTC, ISO 8601, to the millisecond"),
    "command": (str, "run, attach, evaluate or train"),
    "campaign": (TEXT_OR_NULL, "name of the campaign; null until its file is read"),
    "run_id": (TEXT_OR_NULL, "id of the run, as in the ranked table; null until it is planned, and for other commands"),
}
_PLACES: Fields = {
    "output": (TEXT_OR_NULL, "folder or URL of the results"),
    "dashboard": (TEXT_OR_NULL, "URL of Ray's dashboard, where there is one"),
}
EVENTS: Mapping[str, Fields] = {
    "stage": {
        "stage": (str, "name of the stage that begins"),
        "number": (int, "its number, from 1"),
        "of": (int, "how many stages there are"),
        "detail": (str, "what it is about, for people"),
    },
    "run_started": {
        **_PLACES,
        "conditions": (int, "rows that the ranked table will have"),
        "cells_per_block": (NUMBER, "cells that a block has, on average"),
        "passes_per_cell": (int, "passes of the model for a cell; 0 for a baseline"),
    },
    "links": _PLACES,
    "progress": {
        "done": (int, "blocks (units of an evaluation) that are committed, by this run or by another"),
        "failed": (int, "those that were set aside after their last attempt"),
        "total": (int, "those that are to be computed; it may rise where an allocation chooses"),
        "replicas": (int, "replicas that are up or starting"),
        "leases": (int, "leases in flight"),
        "setbacks": (int, "attempts that failed and leases that were lost; most are tried again"),
        "seconds": (NUMBER, "since the prediction began"),
        "seconds_left": (
            NUMBER_OR_NULL,
            "how long the rest takes if it goes on so; null before the first block",
        ),
        "cells_per_second": (NUMBER_OR_NULL, "cells a second of all replicas, as it went lately"),
        "passes_per_second": (NUMBER_OR_NULL, "passes of the model a second; null for a baseline too"),
    },
    "failure": {
        "setbacks": (int, "as in progress; it has risen"),
        "failed": (int, "as in progress"),
        "reason": (str, "why the latest attempt failed, without secrets"),
    },
    "leading": {
        "scored": (int, "conditions scored so far, from what is committed"),
        "conditions": (int, "conditions that the campaign ranks"),
        "unit": (str, "unit of the scores"),
        "leaders": (
            list,
            "the best of them, best first: objects with `rank`, `perturbation`, `context`, `score` and `score_se`."
            " Preliminary: no null, no decisions, no gates",
        ),
        "why_not": (TEXT_OR_NULL, "why there is no such ranking, or why its last look was cut short"),
    },
    "scored": {
        "done": (int, "conditions scored in the stage `score`"),
        "total": (int, "conditions that the campaign ranks"),
    },
    "training": {
        "epoch": (int, "epoch, from 1"),
        "step": (int, "steps that are done"),
        "steps": (int, "steps in all"),
        "loss": (NUMBER_OR_NULL, "mean training loss, nats per gene"),
        "validation_loss": (NUMBER_OR_NULL, "latest validation loss, nats per gene; null before the first epoch ends"),
        "cells_per_second": (NUMBER, "cells a second"),
        "seconds_left": (NUMBER, "how long the rest takes at most"),
    },
    "member": {
        "number": (int, "member of an ensemble that begins, from 1"),
        "members": (int, "how many there are"),
        "seed": (int, "its seed"),
    },
    "message": {"text": (str, "what else the command has to say, for people")},
    "detached": {"text": (str, "the run goes on without this command, which ends with exit code 0")},
    "finished": {
        "code": (int, "exit code of the command: 0, 1 a bug, 2 wrong input, 3 incomplete, 130 interrupted"),
        "line": (TEXT_OR_NULL, "why it is another than 0, without secrets"),
        "output": (TEXT_OR_NULL, "folder or URL of what was published; null if nothing was"),
        "computed": (WHOLE_OR_NULL, "blocks or units computed by this run"),
        "reused": (WHOLE_OR_NULL, "those that were there already"),
        "failed": (WHOLE_OR_NULL, "conditions (units of an evaluation) that failed"),
        "files": (LIST_OR_NULL, "names of the files that were published"),
        "hits": (
            LIST_OR_NULL,
            "of a screen, the first rows of the table (`--top`): `rank`, `perturbation`, `context`, `score`,"
            " `score_se`, `decision` and `q_value`",
        ),
        "verdicts": (LIST_OR_NULL, "of an evaluation, its verdicts in words"),
        "digest": (TEXT_OR_NULL, "of a training, SHA-256 of the model"),
    },
}
HIT_FIELDS = ("rank", "perturbation", "context", "score", "score_se", "decision", "q_value")


class RunEvents:
    """Writes what a command tells as lines of JSON: a listener of runs, evaluations and trainings.

    Parameters
    ----------
    command
        As in `COMMON`.
    stages
        Names of its stages, in order.
    stream
        Where lines go; standard output.
    """

    def __init__(
        self,
        command: str,
        stages: Sequence[str] = (),
        stream: TextIO | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._command, self._stages = command, tuple(stages)
        self._campaign: str | None = None
        self._stream = sys.stdout if stream is None else stream
        self._clock, self._due = clock, 0.0
        self._news: RunNews | None = None
        self._latest: Progress | None = None
        self._waiting = False
        self._setbacks, self._is_over = 0, False
        self._resources = ExitStack()

    def __enter__(self) -> RunEvents:
        """Keep everybody else off standard output."""
        self._resources.enter_context(redirect_stdout(sys.stderr))
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Tell how it ended, if it ended otherwise than by a result."""
        with self._resources:
            if error is not None and not self._is_over:
                self._finished(*_outcome(error))

    def read_name(self, path: str | os.PathLike[str]) -> None:
        """Read the name of the campaign from its file; errors as in `load_any`."""
        from campaigns.source import load_any

        self._campaign = load_any(path).spec.name

    def stage(self, name: str, detail: str) -> None:
        """Tell that a stage begins."""
        self._flush()
        self._write(
            "stage", stage=name, number=self._stages.index(name) + 1, of=len(self._stages), detail=presentable(detail)
        )

    def news(self, news: RunNews) -> None:
        """Tell what of the news is new."""
        before, self._news = self._news, news
        self._campaign = news.name or self._campaign
        if before is None:
            names = ("conditions", "cells_per_block", "passes_per_cell")
            self._write("run_started", **_places(news), **{name: getattr(news, name) for name in names})
        elif _places(news) != _places(before):
            self._write("links", **_places(news))
        if news.leading is not None and (before is None or news.leading != before.leading):
            self._write("leading", **_leading(news.leading))
        if news.folded and (before is None or news.folded != before.folded):
            self._write("scored", done=news.folded, total=news.conditions)

    def progress(self, progress: Progress) -> None:
        """Tell how far it is, now and then; failures at once."""
        if progress == self._latest:
            return
        self._latest, self._waiting = progress, True
        if progress.setbacks > self._setbacks:
            self._setbacks = progress.setbacks
            reason = presentable(progress.last_setback)
            self._write("failure", setbacks=progress.setbacks, failed=progress.failed, reason=reason)
        if self._clock() >= self._due:
            self._flush()

    def update(self, progress: TrainingProgress) -> None:
        """Tell how far a training is, now and then."""
        if self._clock() < self._due and progress.step < progress.steps:
            return
        self._due = self._clock() + PROGRESS_SECONDS
        names = ("step", "steps", "loss", "validation_loss", "cells_per_second", "seconds_left")
        self._write("training", epoch=progress.epoch + 1, **{name: getattr(progress, name) for name in names})

    def member(self, number: int, members: int, seed: int) -> None:
        """Tell that a member of an ensemble begins."""
        self._write("member", number=number + 1, members=members, seed=seed)

    def say(self, text: str) -> None:
        """Tell what else there is to know."""
        self._write("message", text=presentable(text))

    def run_ended(self, end: RunEnd, top: int) -> None:
        """Tell how a run ended, or that it goes on."""
        result = end.result
        if result is None and not end.code:
            self._flush()
            self._is_over = True
            self._write("detached", text="the run goes on without this command")
            return
        facts: dict[str, Any] = {}
        if result is not None:
            done = result.hits.filter(result.hits["status"] == "done").head(top)
            facts = {name: getattr(result, name) for name in ("output", "computed", "reused", "failed")}
            facts |= {"files": list(result.files), "hits": done.select(HIT_FIELDS).to_dicts()}
        self._finished(end.code, end.line, **facts)

    def evaluation_ended(self, result: EvaluationResult, shortfall: str) -> None:
        """Tell how an evaluation ended."""
        facts = {name: getattr(result, name) for name in ("output", "computed", "reused")}
        facts |= {"failed": len(result.failures), "files": list(result.files)}
        code = EXIT_PARTIAL if shortfall else 0
        self._finished(code, shortfall, **facts, verdicts=[verdict.words for verdict in result.verdicts])

    def ended(self, code: int, line: str, **facts: Any) -> None:
        """Tell how another command ended; ``facts`` are fields of `finished`."""
        self._finished(code, line, **facts)

    def _finished(self, code: int, line: str, **facts: Any) -> None:
        self._flush()
        self._is_over = True
        nothing = dict.fromkeys(EVENTS["finished"])
        self._write("finished", **{**nothing, **facts, "code": code, "line": presentable(line) or None})

    def _flush(self) -> None:
        """Write the progress that waits for its time."""
        if not self._waiting or self._latest is None:
            return
        self._waiting, self._due = False, self._clock() + PROGRESS_SECONDS
        self._write("progress", **_progress(self._latest, self._news))

    def _write(self, event: str, **fields: Any) -> None:
        news = self._news
        common = {
            "schema": SCHEMA,
            "event": event,
            "time": datetime.now(UTC).isoformat(timespec="milliseconds"),
            "command": self._command,
            "campaign": self._campaign,
            "run_id": news.run_id or None if news is not None else None,
        }
        line = json.dumps(_finite({**common, **fields}), ensure_ascii=False, allow_nan=False)
        try:
            print(line, file=self._stream, flush=True)
        except BrokenPipeError:
            self._stop_writing()

    def _stop_writing(self) -> None:
        """Go on without a reader: a run is worth more than those who watch it."""
        print("nobody reads the events any more; the command goes on", file=sys.stderr)
        own = sys.__stdout__
        if own is not None and self._stream is own:  # or Python would complain of it at the end
            os.dup2(os.open(os.devnull, os.O_WRONLY), own.fileno())
        self._stream = open(os.devnull, "w", encoding="utf-8")  # noqa: SIM115
        self._resources.callback(self._stream.close)


def _places(news: RunNews) -> dict[str, str | None]:
    return {"output": news.output or None, "dashboard": news.dashboard or None}


def _progress(progress: Progress, news: RunNews | None) -> dict[str, Any]:
    names = ("done", "failed", "total", "replicas", "leases", "setbacks")
    cells = cells_per_second(progress, news)
    passes = cells * news.passes_per_cell if news is not None else 0.0
    return {
        **{name: getattr(progress, name) for name in names},
        "seconds": round(progress.elapsed_seconds, 3),
        "seconds_left": round(progress.seconds_left, 1) if progress.seconds_per_task else None,
        "cells_per_second": float(f"{cells:.6g}") or None,
        "passes_per_second": float(f"{passes:.6g}") or None,
    }


def _leading(leading: Leading) -> dict[str, Any]:
    names = ("perturbation", "context", "score", "score_se")
    leaders = [
        {"rank": rank, **{name: getattr(leader, name) for name in names}}
        for rank, leader in enumerate(leading.leaders, 1)
    ]
    told = {name: getattr(leading, name) for name in ("scored", "conditions", "unit")}
    return {**told, "leaders": leaders, "why_not": presentable(leading.why_not) or None}


def _finite(value: Any) -> Any:
    """JSON has no word for NaN and infinity: null."""
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if isinstance(value, Mapping):
        return {name: _finite(each) for name, each in value.items()}
    return [_finite(each) for each in value] if isinstance(value, list | tuple) else value


def _outcome(error: BaseException) -> tuple[int, str]:
    """Return the exit code that an error will become, and why."""
    if isinstance(error, LeftRunning):
        return EXIT_INTERRUPTED, str(error)
    if isinstance(error, Exception):
        return outcome_of(error)
    return EXIT_INTERRUPTED, INTERRUPTED
