"""Objectives that other packages bring, under the entry points ``lingshu.objectives``.

Behind an entry point stands a function ``(genes, context, settings) → Readout``. It is called once for each context
of the screen, and its readout is used as those of `screening.objective.readouts` are: an instance of
:class:`screening.objective.objectives.Readout` with weights of genes, or of a subclass with a measure of its own.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from campaigns.conditions import Context
from campaigns.plugin_spec import PluginObjectiveSpec
from lingshu_core.plugins import OBJECTIVES, Plugin, load_plugin
from screening.objective.objectives import UNITS, Readout


def plugin_readouts(
    objective: PluginObjectiveSpec, genes: tuple[str, ...], contexts: Sequence[Context]
) -> dict[Context, Readout]:
    """Ask a plugin for the readout of every context.

    Parameters
    ----------
    objective
        Of the campaign.
    genes
        The model's genes.
    contexts
        Contexts of the screen.

    Raises
    ------
    PluginError
        If the plugin isn't there, fails, or gives something that no condition can be scored by.
    """
    plugin = load_plugin(OBJECTIVES, objective.plugin)
    return {context: _readout(plugin, objective, genes, context) for context in contexts}


def _readout(plugin: Plugin, objective: PluginObjectiveSpec, genes: tuple[str, ...], context: Context) -> Readout:
    with plugin.blamed(f"the objective in {context.label}"):
        found = plugin.value(genes, context.as_dict(), dict(objective.settings))
    obstacle = _obstacle(found, len(genes))
    if obstacle:
        raise plugin.wrong(f"in {context.label}, {obstacle}")
    weights = np.asarray(found.weights, dtype=np.float64)
    return replace(found, weights=weights, question=f"{found.question} [plugin {plugin.title}]")


def _obstacle(found: object, genes: int) -> str:
    """Say why something can't be a readout; empty where it can."""
    if not isinstance(found, Readout):
        return f"it gave a {type(found).__name__}; it has to be a screening.objective.objectives.Readout"
    weights = np.asarray(found.weights)
    if weights.shape != (genes,) or weights.dtype.kind not in "iuf":
        return f"weights are {weights.dtype} of the shape {weights.shape}; they have to be numbers, ({genes},)"
    if not np.isfinite(weights).all():
        return "weights have values that are NaN or infinite"
    if not weights.any():
        return f"all weights are 0: none of its genes is among the model's {genes}"
    if found.normalisation not in UNITS:
        return f"the normalisation is {found.normalisation!r}; there are: {', '.join(UNITS)}"
    return "" if found.question else "the question is empty; say in words what is asked"
