"""Workers that fail on cue: to try a cluster, a store and the engine's answers to failure without any model.

The payload is a small JSON script, the result is its `echo`, so that a run can be checked to the byte.
"""

import hashlib
import json
import os
import signal
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from actors.tasks import Task


class RehearsedFailure(Exception):
    """The failure that a script asked for."""


class RehearsedPoison(RehearsedFailure):
    """A failure after which the process must not be used again."""

    poisons_replica = True


class RehearsedEnd(RehearsedFailure):
    """A failure that another attempt can't cure."""

    after_failure = "set aside"


class RehearsedStop(RehearsedFailure):
    """A failure that every other task would meet."""

    after_failure = "stop"


def rehearsed(echo: str, **steps: Any) -> Task:
    """Write one task; its id is the digest of its script.

    Parameters
    ----------
    echo
        What the task returns in the end.
    steps
        `seconds` to take; `fault`, one of `raise`, `end`, `stop`, `poison`, `die` (SIGKILL to its own process), `hang`;
        `times`, how often the fault strikes before the task works (without it, always).
    """
    payload = json.dumps({"echo": echo, **steps}, sort_keys=True).encode()
    return Task(hashlib.sha256(payload).hexdigest(), payload)


class RehearsalWorker:
    """Runs scripts.

    Parameters
    ----------
    scratch
        A folder in which attempts are counted across processes, for scripts with `times`.
    """

    def __init__(self, scratch: str = "") -> None:
        self._scratch = scratch

    def run(self, payload: bytes) -> bytes:
        """Play one script."""
        play = json.loads(payload)
        time.sleep(play.get("seconds", 0.0))
        if "fault" in play and self._strikes(play):
            _fail(play["fault"], play["echo"])
        return str(play["echo"]).encode()

    def _strikes(self, play: Mapping[str, Any]) -> bool:
        if "times" not in play:
            return True
        for attempt in range(play["times"]):
            if _first_to_make(Path(self._scratch) / f"{play['echo']}-{attempt}"):
                return True
        return False


class EnvironmentWorker:
    """Returns the environment variable that the payload names, for checks of how replicas are started."""

    def run(self, payload: bytes) -> bytes:
        """Look up one variable."""
        return os.environ.get(payload.decode(), "").encode()


def fail_to_open(message: str) -> RehearsalWorker:
    """Stand for a worker whose weights cannot be loaded."""
    raise RehearsedFailure(message)


_CONCLUSIVE: Mapping[str, type[RehearsedFailure]] = {"end": RehearsedEnd, "stop": RehearsedStop}


def _fail(fault: str, echo: str) -> None:
    if fault == "raise":
        raise RehearsedFailure(f"'{echo}' was asked to fail")
    if fault in _CONCLUSIVE:
        raise _CONCLUSIVE[fault](f"'{echo}' was asked to fail for good")
    if fault == "poison":
        raise RehearsedPoison(f"'{echo}' was asked to poison its replica")
    if fault == "die":
        os.kill(os.getpid(), signal.SIGKILL)
    if fault == "hang":
        time.sleep(3600)
    raise RehearsedFailure(f"no such fault: {fault}")


def _first_to_make(path: Path) -> bool:
    try:
        path.touch(exist_ok=False)
    except FileExistsError:
        return False
    return True
