"""What the shell offers where a command wants a file: campaigns of the command's kind, or files of cells.

Files below the folder that was typed are offered at once, some folders deep: so a campaign is a few letters away. Where
there are none, nothing is offered, and the shell goes on with its own files. Only the standard library is used, because
this answers on a key press.
"""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path

import typer

DEEP = 4
MOST_LOOKED_AT = 5000
"""Entries of folders that are looked at; in a larger tree the shell's own completion is quicker."""
_KIND = re.compile(r"^kind: *(\w+)", re.MULTILINE)
_HEAD_BYTES = 16_384
KINDS_OF: Mapping[str, tuple[str, ...]] = {
    "train": ("train",),
    **dict.fromkeys(("plan", "run", "status", "attach", "cancel"), ("screen",)),
    "evaluate": ("evaluate",),
    "validate": ("train", "screen", "generate", "evaluate", "chaos"),
    "doctor": ("train", "screen", "generate", "evaluate", "chaos"),
}
"""Command → the kinds of campaign files that it takes."""


def campaign_files(ctx: typer.Context, incomplete: str) -> list[str]:
    """Offer the campaign files that the command takes."""
    kinds = KINDS_OF.get(ctx.info_name or "", ())
    return _files(incomplete, lambda path: path.suffix in (".yaml", ".yml") and _kind(path) in kinds)


def cell_files(incomplete: str) -> list[str]:
    """Offer ``.h5ad`` files and ``.zarr`` stores."""
    return _files(incomplete, lambda path: path.suffix in (".h5ad", ".zarr"))


def _files(incomplete: str, fits: Callable[[Path], bool]) -> list[str]:
    folder, _, _ = incomplete.rpartition("/")
    start = Path(f"{folder}/" if folder or incomplete.startswith("/") else ".")
    prefix = f"{folder}/" if "/" in incomplete else ""
    found = (f"{prefix}{path.relative_to(start).as_posix()}" for path in _below(start) if fits(path))
    return sorted(name for name in found if name.startswith(incomplete))


def _below(start: Path) -> Iterator[Path]:
    """Give what lies below a folder, the near before the far; hidden folders and insides of stores are left alone."""
    waiting, seen = [(start, 0)], 0
    while waiting:
        folder, depth = waiting.pop(0)
        try:
            entries = sorted(os.scandir(folder), key=lambda entry: entry.name)
        except OSError:  # a folder that can't be read has nothing to offer
            continue
        for entry in entries:
            seen += 1
            if seen > MOST_LOOKED_AT:
                return
            if entry.name.startswith("."):
                continue
            yield Path(entry.path)
            if depth < DEEP and entry.is_dir(follow_symlinks=False) and not entry.name.endswith(".zarr"):
                waiting.append((Path(entry.path), depth + 1))


def _kind(path: Path) -> str:
    """Return the kind that a file says it is, empty if it says none."""
    try:
        with path.open("rb") as file:
            head = file.read(_HEAD_BYTES)
    except OSError:  # offered by nobody, told by the command
        return ""
    found = _KIND.search(head.decode("utf-8", "replace"))
    return found[1] if found else ""
