"""What is wrong with a command line, in one line; and ``--debug``, before the name of a command or after it."""

from __future__ import annotations

import os
import re
from typing import Any

import typer
from typer.core import TyperGroup

DEBUG = "LINGSHU_DEBUG"
"""The variable that has the same effect as ``--debug``; ``0`` and nothing are off."""

# Typer carries click with it and exports only this one of its errors: the base is that of all of them.
UsageError: type[Exception] = typer.BadParameter.__bases__[0]
_CREDENTIALS = re.compile(r"://[^/?#\s]*@")
"""A user in a URL. What stands on a command line goes into messages, and into the record of generated cells."""
_WORDS = (
    ("Input should be", "must be"),
    (", unable to parse string as an integer", ""),
    (", unable to parse string as a number", ""),
    ("Value error, ", ""),
    (". Did you mean", "; did you mean"),
)


def is_debugging() -> bool:
    """Tell whether errors are shown with their whole trace."""
    return os.environ.get(DEBUG, "") not in ("", "0")


class Commands(TyperGroup):
    """The commands; ``--debug`` after a command's name means the same as before it."""

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        """Read the options in front of the command's name, `--debug` among them wherever it stands."""
        own = args[: args.index("--")] if "--" in args else args
        if any(_CREDENTIALS.search(each) for each in args):
            raise typer.BadParameter(
                "a user or a password can't stand in a URL; put the credentials in the environment"
            )
        others = [each for each in own if each != "--debug"] + args[len(own) :]
        return super().parse_args(ctx, ["--debug", *others] if len(others) < len(args) else others)


def usage_message(error: Exception) -> str:
    """Say in one line what is wrong with the command line and how to find out what is right.

    Parameters
    ----------
    error
        A `UsageError`.
    """
    context = getattr(error, "ctx", None)
    command = context.command_path if context is not None else "lingshu"
    said = " ".join(error.format_message().split())  # type: ignore[attr-defined]
    for theirs, ours in _WORDS:
        said = said.replace(theirs, ours)
    said = said.rstrip(".?")
    # Without any argument the help was printed already, and there is no message.
    said = said[:1].lower() + said[1:] if said else "names no command"
    return f"{command}: {said}; `{command} --help` shows what there is"
