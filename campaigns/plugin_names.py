"""The names of the plugins that are installed, from the entry points of packages; none of them is imported."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import Any

from campaigns.errors import SpecError
from campaigns.nearest import hint
from campaigns.yaml_source import FieldPath, Source

MODELS, OBJECTIVES, FEATURES = "lingshu.models", "lingshu.objectives", "lingshu.features"


def installed_names(group: str) -> tuple[str, ...]:
    """List the names under an entry-point group, sorted, each once."""
    from importlib.metadata import entry_points  # not before a file names a plugin: `validate` stays fast

    return tuple(sorted({point.name for point in entry_points(group=group)}))


def check_plugins(source: Source, installed: Callable[[str], tuple[str, ...]] = installed_names) -> None:
    """Make sure that every plugin that a file names is installed here.

    Parameters
    ----------
    source : Source
        A file that is a valid campaign otherwise.
    installed : callable
        Entry-point group → names.

    Raises
    ------
    SpecError
        With a problem for each that isn't.
    """
    problems = [
        source.where((*path, "plugin")).problem(_missing(group, name, known))
        for path, group, name in _named(source.data, ())
        if name not in (known := installed(group))
    ]
    if problems:
        raise SpecError(problems)


def _missing(group: str, name: str, known: tuple[str, ...]) -> str:
    there = hint(name, known) if known else "no package here has any"
    return f"no plugin {name!r} is installed (entry points {group}); {there}: install its package into this environment"


def _named(block: Any, path: FieldPath) -> Iterator[tuple[FieldPath, str, str]]:
    """Find the blocks that name a plugin, with their path, group and name."""
    if isinstance(block, Mapping):
        if block.get("kind") == "plugin" and isinstance(block.get("plugin"), str):
            yield path, _group(path), block["plugin"]
        for key, value in block.items():
            yield from _named(value, (*path, key))
    elif isinstance(block, (list, tuple)):
        for index, value in enumerate(block):
            yield from _named(value, (*path, index))


def _group(path: FieldPath) -> str:
    if path[0] == "objective":
        return OBJECTIVES
    return FEATURES if "features" in path else MODELS
