"""Logs that say which run a line is of: campaign, run, replica, node and lease, as words or as lines of JSON.

Processes that we start on a cluster (replicas, planners) log to their standard error, which Ray keeps and shows in the
log view of the dashboard. A command logs only where `LINGSHU_LOG` asks for it. Libraries are heard from warnings on.

What goes out has gone through `actors.redaction`: no credentials, whatever an error of a library repeats.
"""

import json
import logging
import os
import platform
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar
from datetime import UTC, datetime
from typing import TextIO

from actors.errors import BadLogFormat
from actors.redaction import without_secrets

LOG = "LINGSHU_LOG"
"""The variable that chooses the format: `json` or `text`."""
FORMATS = ("text", "json")
PACKAGES = ("actors", "campaigns", "lingshu_core", "screening")
FIELDS = ("campaign", "run_id", "replica", "node", "lease", "task")
"""What a record can be about, in the order in which a line names it."""
LONGEST_LINE = 8_000

_process: dict[str, str] = {}
_here: ContextVar[Mapping[str, str] | None] = ContextVar("lingshu_log", default=None)


@contextmanager
def logged_as(**fields: str) -> Iterator[None]:
    """Say of everything that is logged within, in this thread, what it is about (`FIELDS`)."""
    token = _here.set({**(_here.get() or {}), **fields})
    try:
        yield
    finally:
        _here.reset(token)


def label_process(**fields: str) -> None:
    """Say of everything that this process logs from now on what it is about, in all its threads."""
    _process.update({name: value for name, value in fields.items() if value})


def log_format(environment: Mapping[str, str]) -> str:
    """Return the format that the environment asks for; empty where it asks for none.

    Raises
    ------
    BadLogFormat
        There is no such format.
    """
    asked = environment.get(LOG, "")
    if asked and asked not in FORMATS:
        raise BadLogFormat(
            f"{LOG} is {asked!r} and has to be {' or '.join(FORMATS)}; without it a command logs nothing"
        )
    return asked


def log_environment(environment: Mapping[str, str]) -> dict[str, str]:
    """Pick the variables that decide how is logged, to be handed to a process elsewhere; errors as in `log_format`."""
    form = log_format(environment)
    return {LOG: form} if form else {}


def start_logging(form: str = "", stream: TextIO | None = None) -> logging.Handler:
    """Log to standard error from now on, in this process; once is enough, a second time changes the format.

    Parameters
    ----------
    form
        `text` or `json`; empty for what the environment says, and text where it says nothing.

    Raises
    ------
    BadLogFormat
        There is no such format.
    """
    form = form or log_format(os.environ) or "text"
    root = logging.getLogger()
    for old in [each for each in root.handlers if isinstance(each, _OwnHandler)]:
        root.removeHandler(old)
    handler = _OwnHandler(sys.stderr if stream is None else stream)
    handler.setFormatter(_JsonLines() if form == "json" else _Words())
    root.addHandler(handler)
    for package in PACKAGES:
        logging.getLogger(package).setLevel(logging.INFO)
    return handler


def stop_logging(handler: logging.Handler) -> None:
    """Undo `start_logging`."""
    logging.getLogger().removeHandler(handler)
    for package in PACKAGES:
        logging.getLogger(package).setLevel(logging.NOTSET)


class _OwnHandler(logging.StreamHandler[TextIO]):
    """Ours, to be told from those of others."""


def _about(record: logging.LogRecord) -> dict[str, str]:
    """Return what a record is about: what it says itself goes before its thread, and that before its process."""
    said = {name: str(getattr(record, name)) for name in FIELDS if getattr(record, name, None)}
    known = {**_process, **(_here.get() or {}), **said}
    return {name: known[name] for name in FIELDS if name in known}


class _JsonLines(logging.Formatter):
    """One JSON object a line."""

    def format(self, record: logging.LogRecord) -> str:
        """Write a record; the trace of an error is a field."""
        content = {
            "time": _time(record),
            "level": record.levelname.lower(),
            "logger": record.name,
            "message": without_secrets(record.getMessage())[:LONGEST_LINE],
            **{name: without_secrets(value) for name, value in _about(record).items()},
            "host": platform.node(),
            "process": record.process,
        }
        if record.exc_info:
            content["trace"] = without_secrets(self.formatException(record.exc_info))[-LONGEST_LINE:]
        return json.dumps(content, ensure_ascii=False)


class _Words(logging.Formatter):
    """A line for people: time, level, logger, message, and in brackets what it is about."""

    def format(self, record: logging.LogRecord) -> str:
        """Write a record; the trace of an error follows."""
        about = " ".join(f"{name}={value}" for name, value in _about(record).items())
        message = without_secrets(" ".join(record.getMessage().split()))[:LONGEST_LINE]
        line = f"{_time(record)} {record.levelname.lower():<7} {record.name}: {message}{f' [{about}]' if about else ''}"
        if record.exc_info:
            line += f"\n{self.formatException(record.exc_info)}"
        return without_secrets(line)


def _time(record: logging.LogRecord) -> str:
    return datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds")
