"""The token of the clusters that a user starts on their own machine.

Ray's dashboard asks for the token of its cluster, so a token that nobody can look up locks its user out. It lies in a
file that only its user can read, and stays the same: a browser that was told it once needs no telling for a month.
"""

from __future__ import annotations

import os
import secrets
import tempfile
from contextlib import suppress
from pathlib import Path

_NO_HOME = (OSError, RuntimeError)
"""A home folder that is read-only, or none at all, as for a user without a name in a container."""


def token_file() -> Path:
    """Return where the token lies."""
    return Path.home() / ".cache" / "lingshu" / "ray_token"


def own_token() -> str:
    """Return the token, 64 hexadecimal digits; the first call makes it.

    Where the home folder can't be written to, it is one of this process only.
    """
    token = secrets.token_hex(32)
    with suppress(*_NO_HOME):  # the run goes on, and `token_command` has nothing to say
        _write_first(token_file(), token)
    return _read() or token


def token_command() -> str:
    """Return the command that prints what this process' dashboard asks for; empty if the token is none of ours."""
    token = os.environ.get("RAY_AUTH_TOKEN") if os.environ.get("RAY_AUTH_MODE") == "token" else None
    if not token or token != _read():
        return ""
    return f"cat ~/{token_file().relative_to(Path.home())}"


def _read() -> str:
    with suppress(*_NO_HOME):
        return token_file().read_text(encoding="ascii").strip()
    return ""


def _write_first(file: Path, text: str) -> None:
    """Write a file whole, for its owner alone; one that is there stays."""
    file.parent.mkdir(parents=True, exist_ok=True)
    descriptor, draft = tempfile.mkstemp(dir=file.parent)  # mode 0600
    try:
        with os.fdopen(descriptor, "w", encoding="ascii") as open_file:
            open_file.write(text + "\n")
        with suppress(FileExistsError):
            os.link(draft, file)  # of several that begin at once one is first
    finally:
        os.unlink(draft)
