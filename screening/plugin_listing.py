"""``lingshu plugins``: what other packages bring, and whether it can be used here."""

from __future__ import annotations

from collections.abc import Iterator

from lingshu_core.errors import PluginError
from lingshu_core.plugin_model import find_model
from lingshu_core.plugins import MODELS, installed_plugins, load_plugin


def listed_plugins() -> Iterator[tuple[str, str | None]]:
    """Yield a line for every plugin, and what is wrong with it: None where it can be imported and has its methods."""
    for group, name, package in installed_plugins():
        line = f"{group}  {name}  ({package})"
        try:
            find_model(name) if group == MODELS else load_plugin(group, name)
        except PluginError as error:
            yield line, str(error)
        else:
            yield line, None


def check_all() -> Iterator[str]:
    """Yield a line for every plugin, or that there are none.

    Raises
    ------
    PluginError
        At the end, with a line for each that can't be used.
    """
    found = list(listed_plugins())
    if not found:
        yield "no plugins are installed; docs/plugins.md says how to write one"
    yield from (line if problem is None else f"{line}  can't be used" for line, problem in found)
    wrong = [problem for _, problem in found if problem is not None]
    if wrong:
        raise PluginError("\n".join(dict.fromkeys(wrong)))
