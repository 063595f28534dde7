"""Plugins: predictors, objectives and features that other packages bring, found by their entry points.

=======================  ==============================================================================
entry points             what stands behind a name
=======================  ==============================================================================
``lingshu.models``       a class with the methods of :class:`lingshu_core.plugin_model.PluginModel`
``lingshu.objectives``   ``(genes, context, settings) → screening.objective.objectives.Readout``
``lingshu.features``     ``(perturbation_type, settings) → {name: vector}``
=======================  ==============================================================================

Only what an installed package registers can be named. A file or a checkpoint names a plugin, never a module, so that
neither can make this process import anything else.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from importlib.metadata import EntryPoint, entry_points
from typing import Any

from lingshu_core.errors import PluginError

MODELS, OBJECTIVES, FEATURES = GROUPS = ("lingshu.models", "lingshu.objectives", "lingshu.features")
LONGEST_REASON = 300


@dataclass(frozen=True)
class Plugin:
    """One entry point that was imported.

    ``value`` is what stands behind it; ``package`` and ``version`` are of the distribution that registers it.
    """

    group: str
    name: str
    target: str
    package: str
    version: str
    value: Any

    @property
    def title(self) -> str:
        """Name it in a table: ``shrunken_mean (lingshu-example-plugin 0.1.0)``."""
        return f"{self.name} ({self.package} {self.version})"

    def wrong(self, reason: str) -> PluginError:
        """Say what is wrong with it, in one line."""
        return PluginError(f"{_place(self.package, self.version, self.group, self.name, self.target)}: {reason}")

    @contextmanager
    def blamed(self, doing: str) -> Iterator[None]:
        """Turn whatever goes wrong in the plugin's own code into an error that names it.

        Raises
        ------
        PluginError
            With what was done, and the first line of what went wrong.
        """
        try:
            yield
        except PluginError:
            raise
        except Exception as error:  # whatever a stranger's code may raise
            raise self.wrong(f"{doing} failed with {_reason(error)}") from error


def load_plugin(group: str, name: str) -> Plugin:
    """Import the plugin of a name.

    Raises
    ------
    PluginError
        If no package or several packages have one of that name, or it can't be imported.
    """
    found = [point for point in entry_points(group=group) if point.name == name]
    if not found:
        known = sorted({point.name for point in entry_points(group=group)})
        raise PluginError(
            f"no plugin {name!r} is installed here (entry points {group}; there are: {', '.join(known) or 'none'}):"
            " install its package, on every node of a cluster"
        )
    owners = sorted({_package(point)[0] for point in found})
    if len(owners) > 1:
        raise PluginError(
            f"the packages {' and '.join(owners)} both have a plugin {name!r} (entry points {group}); uninstall one"
        )
    return _import(group, found[0])


def installed_plugins() -> list[tuple[str, str, str]]:
    """List group, name and package of all plugins, without importing any."""
    return sorted(
        {(group, point.name, " ".join(_package(point))) for group in GROUPS for point in entry_points(group=group)}
    )


def _import(group: str, point: EntryPoint) -> Plugin:
    package, version = _package(point)
    try:
        value = point.load()
    except Exception as error:  # whatever a stranger's module may raise when it is imported
        place = _place(package, version, group, point.name, point.value)
        raise PluginError(f"{place}: can't be imported: {_reason(error)}") from error
    plugin = Plugin(group, point.name, point.value, package, version, value)
    if not callable(value):
        raise plugin.wrong(f"is of type {type(value).__name__}; it has to be a class or a function")
    return plugin


def _package(point: EntryPoint) -> tuple[str, str]:
    return (point.dist.name, point.dist.version) if point.dist else ("an unknown package", "")


def _place(package: str, version: str, group: str, name: str, target: str) -> str:
    return f"{package} {version}, entry point {group}: {name} = {target}"


def _reason(error: Exception) -> str:
    text = " ".join(str(error).split())[:LONGEST_REASON]
    return f"{type(error).__name__}: {text}" if text else type(error).__name__
