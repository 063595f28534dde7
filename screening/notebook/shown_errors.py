"""Errors in a notebook: one that is raised on purpose is shown as its message, not as a page of frames.

IPython asks an error for ``_render_traceback_`` before it draws the trace itself. Scripts see the trace as always, and
``LINGSHU_DEBUG=1`` shows it in notebooks too.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import wraps
from typing import ParamSpec, TypeVar

from screening.outcome import EXIT_BAD_INPUT, outcome_of

Arguments = ParamSpec("Arguments")
Returned = TypeVar("Returned")


def shown(function: Callable[Arguments, Returned]) -> Callable[Arguments, Returned]:
    """Let a notebook show the errors of a function as the command line does."""

    @wraps(function)
    def call(*args: Arguments.args, **kwargs: Arguments.kwargs) -> Returned:
        try:
            return function(*args, **kwargs)
        except Exception as error:
            _give_words(error)
            raise

    return call


def _give_words(error: Exception) -> None:
    from screening.usage import is_debugging

    code, message = outcome_of(error)
    if code == EXIT_BAD_INPUT and not is_debugging():
        error._render_traceback_ = lambda: [f"{type(error).__name__}: {message}"]  # type: ignore[attr-defined]
