"""A job that runs apart from whoever started it: opened by name, watched from outside, cancelled, and seen to its end.

Nothing here knows Ray: this is what stands inside the actor of `actors.detached`. A job keeps how far it is and how it
ended, and nothing that would be missed: what it computes is in the store.
"""

import threading
import traceback
from collections import deque
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from actors.errors import Cancelled
from actors.progress import Progress
from actors.replica import describe
from actors.worker import check_target, load_target

LATEST_STAGES = 16
LONGEST_TRACE = 20_000
CRASHED = 1
UNSEEN_SECONDS = 24 * 3600.0
"""How long the end of a job waits for somebody to look at it: until the morning after the night in which it failed."""
SEEN_SECONDS = 60.0
"""How long it stays when one has: others may be about to look."""


@dataclass(frozen=True, slots=True)
class JobSpec:
    """A job by name and plain options, so that no code travels.

    Attributes
    ----------
    target
        `package.module:callable`; the callable takes a `Board` and the options as keywords, and returns an `Ending`.
    options
        JSON values only.

    Raises
    ------
    UnknownWorker
        The target is not of that form, or the options are no JSON.
    """

    target: str
    options: Mapping[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        check_target(self.target, self.options)


@dataclass(frozen=True, slots=True)
class Ending:
    """How a job ended.

    Attributes
    ----------
    code
        Exit code; 0 is success.
    line
        Why it is another; may be empty for 0.
    facts
        Plain data that the job wants to be known, a few hundred bytes.
    trace
        Of the error that ended it, for whoever debugs.
    """

    code: int
    line: str = ""
    facts: Mapping[str, Any] = field(default_factory=dict)
    trace: str = ""


@dataclass(frozen=True, slots=True)
class Look:
    """What a job shows of itself.

    Attributes
    ----------
    about
        What was said of it when it was started.
    stages
        Name and detail of the latest stages, oldest first.
    progress
        The latest, None before the first.
    cancelled
        Who asked for its end; empty if nobody did.
    ending
        None while it runs.
    news
        Plain data that it wants others to show; what it means is theirs to know.
    """

    about: Mapping[str, Any]
    stages: tuple[tuple[str, str], ...] = ()
    progress: Progress | None = None
    cancelled: str = ""
    ending: Ending | None = None
    news: Mapping[str, Any] = field(default_factory=dict)


class Board:
    """What a job writes on while it runs. Only the latest stays."""

    def __init__(self) -> None:
        self._stages: deque[tuple[str, str]] = deque(maxlen=LATEST_STAGES)
        self._progress: Progress | None = None
        self._news: Mapping[str, Any] = {}
        self._cancelled = ""

    def stage(self, name: str, detail: str) -> None:
        """Note that a stage has begun."""
        self._stages.append((name, detail))

    def news(self, news: Mapping[str, Any]) -> None:
        """Note what others may want to show: plain data, no secrets."""
        self._news = dict(news)

    def progress(self, progress: Progress) -> None:
        """Note how far the job is.

        Raises
        ------
        Cancelled
            Somebody has asked for the end.
        """
        self._progress = progress
        self.check()

    def check(self) -> None:
        """See whether the job may go on.

        Raises
        ------
        Cancelled
            Somebody has asked for the end.
        """
        if self._cancelled:
            raise Cancelled(self._cancelled)

    def cancel(self, reason: str) -> None:
        """Ask for the end; the job hears of it when it next tells how far it is, or looks."""
        self._cancelled = self._cancelled or reason

    def look(self, about: Mapping[str, Any], ending: Ending | None) -> Look:
        """Return what is written."""
        return Look(about, tuple(self._stages), self._progress, self._cancelled, ending, self._news)


class Job:
    """A job in a thread of its own.

    Parameters
    ----------
    about
        Plain data to be shown to whoever looks; no secrets.
    """

    def __init__(self, spec: JobSpec, about: Mapping[str, Any]) -> None:
        self._spec, self._about = spec, dict(about)
        self._board = Board()
        self._ending: Ending | None = None
        self._ended, self._seen = threading.Event(), threading.Event()

    def start(self) -> None:
        """Begin; returns at once."""
        threading.Thread(target=self._run, name="job", daemon=True).start()

    def look(self) -> Look:
        """Tell how far it is."""
        return self._board.look(self._about, self._ending)

    def cancel(self, reason: str) -> Look:
        """Ask it to end soon and to leave what it has in order; returns how it stood."""
        before = self.look()
        self._board.cancel(reason)
        return before

    def dismiss(self) -> None:
        """Somebody has seen the end."""
        self._seen.set()

    def wait_until_over(self, unseen_seconds: float = UNSEEN_SECONDS, seen_seconds: float = SEEN_SECONDS) -> None:
        """Wait until the job has ended and its end needs not be kept any longer."""
        self._ended.wait()
        if self._seen.wait(unseen_seconds):
            threading.Event().wait(seen_seconds)

    def _run(self) -> None:
        try:
            ending = load_target(self._spec.target)(self._board, **self._spec.options)
            if not isinstance(ending, Ending):
                raise TypeError(f"job {self._spec.target} returned {type(ending).__name__}; it has to be an Ending")
            self._ending = ending
        except BaseException as error:  # becomes data: in a thread nobody else would hear of it
            self._ending = crash(error)
        finally:
            self._ended.set()


def crash(error: BaseException) -> Ending:
    """Make an ending of an error that nobody expected."""
    return Ending(CRASHED, describe(error), trace=trace_of(error))


def trace_of(error: BaseException) -> str:
    """Write the end of an error's trace."""
    return "".join(traceback.format_exception(error))[-LONGEST_TRACE:]
