"""Predictors that other packages bring, behind the interface of the baselines.

A plugin says one thing: by how much a perturbation changes the mean of log1p counts per 10k of each gene, in a context.
The engine does the rest, as for every baseline: the control's moments are those of the real control cells, the change
is added to them, and cells are drawn by thinning and topping up real ones (:mod:`lingshu_core.baseline_cells`).

Scores are made of means of log1p counts per 10k. Where the other three moments are asked for, they follow a change of
that mean as a gene's molecules would that become more or fewer: m is the mean of the controls, m' = m + δ the predicted
one, and with r = expm1(m') / expm1(m)

- the mean count is multiplied by r, its factorial mean square by r²;
- the variance of log1p counts per 10k is multiplied by (1 − e^(−m')) / (1 − e^(−m)).

That is exact in both limits: a rare gene has fewer cells with it (all scale with m'/m), and an abundant one is shifted
(counts by e^δ, the variance stays).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol, Self

import numpy as np
import numpy.typing as npt

from lingshu_core.baseline_effects import Context, MeasuredEffects, Part
from lingshu_core.baseline_statistics import Array, Population
from lingshu_core.cells import Cells
from lingshu_core.errors import CheckpointError
from lingshu_core.perturbation_features import PerturbationFeatures
from lingshu_core.plugins import MODELS, Plugin, load_plugin
from lingshu_core.vocabulary import Vocabulary

Settings = Mapping[str, bool | int | float | str]
Arrays = Mapping[str, npt.NDArray[Any]]
METHODS = ("fit", "from_arrays", "to_arrays", "effect")


@dataclass(frozen=True)
class PluginTraining:
    """What a plugin learns from.

    Parameters
    ----------
    cells
        Training cells only, counts and ``obs`` with the columns ``perturbation``, ``dose`` and the context factors.
    vocabulary
        What may be asked: genes, in the order of every result; contexts; perturbations, and those that features
        describe.
    features
        Vectors of perturbations, seen or not; None where the training has no ``features``.
    settings
        From ``model.settings``, as they are written.
    seed, device, threads
        From ``training``. What is fitted has to depend on the seed only, or a screen can't be repeated.
    """

    cells: Cells
    vocabulary: Vocabulary
    features: PerturbationFeatures | None
    settings: Settings
    seed: int = 0
    device: str = "auto"
    threads: int | None = None


class PluginModel(Protocol):
    """What stands behind an entry point of ``lingshu.models``: a class with these four methods."""

    @classmethod
    def fit(cls, training: PluginTraining) -> Self:
        """Learn from training cells."""
        ...

    @classmethod
    def from_arrays(cls, arrays: Arrays, vocabulary: Vocabulary, settings: Settings) -> Self:
        """Build the model from what `to_arrays` gave; it must predict the same."""
        ...

    def to_arrays(self) -> Arrays:
        """Return all that was learned as arrays of numbers; they are stored as safetensors."""
        ...

    def effect(self, context: Context, parts: Sequence[Part]) -> npt.ArrayLike:
        """Predict the change of the mean of log1p counts per 10k from the context's controls, (genes,).

        Parameters
        ----------
        context
            Factor → value; a factor may be left out, which asks for the mean over it.
        parts
            Name and dose (None: not stated) of each part, at least one; sorted by name.
        """
        ...


@dataclass(frozen=True)
class FittedPlugin:
    """A plugin's model, and what its checkpoint keeps of it."""

    plugin: Plugin
    model: PluginModel
    arrays: Arrays
    settings: Settings

    @property
    def card(self) -> dict[str, Any]:
        """What stands in ``model.json``."""
        plugin = self.plugin
        return {
            "name": plugin.name,
            "package": plugin.package,
            "version": plugin.version,
            "settings": dict(self.settings),
        }


def find_model(name: str) -> Plugin:
    """Import a plugin of a model and look at its methods.

    Raises
    ------
    PluginError
        If it isn't there, can't be imported, or lacks a method.
    """
    plugin = load_plugin(MODELS, name)
    missing = [method for method in METHODS if not callable(getattr(plugin.value, method, None))]
    if missing:
        raise plugin.wrong(f"has no method {missing[0]!r}; a model has {', '.join(METHODS)}")
    return plugin


def fit_plugin(name: str, training: PluginTraining) -> FittedPlugin:
    """Fit a plugin; what is used from here on is what its arrays give back, as in every replica later.

    Raises
    ------
    PluginError
        If its code fails, or gives something else than it should.
    """
    plugin = find_model(name)
    with plugin.blamed("fit"):
        arrays = plugin.value.fit(training).to_arrays()
    return _open(plugin, _checked(plugin, arrays), training.vocabulary, training.settings)


def open_plugin(card: Mapping[str, Any], arrays: Arrays, vocabulary: Vocabulary) -> FittedPlugin:
    """Open the plugin of a checkpoint.

    Raises
    ------
    PluginError
        If it isn't there, or can't be built from the arrays.
    CheckpointError
        If another version of its package is installed: its effects could be others, under the same digest.
    """
    plugin = find_model(card["name"])
    if (plugin.package, plugin.version) != (card["package"], card["version"]):
        raise CheckpointError(
            f"the model was fitted by the plugin {card['name']} of {card['package']} {card['version']}, and"
            f" {plugin.package} {plugin.version} is installed: install that version, or train it again"
        )
    return _open(plugin, arrays, vocabulary, card["settings"])


def _open(plugin: Plugin, arrays: Arrays, vocabulary: Vocabulary, settings: Settings) -> FittedPlugin:
    with plugin.blamed("from_arrays"):
        model = plugin.value.from_arrays(arrays, vocabulary, settings)
    return FittedPlugin(plugin, model, arrays, settings)


def _checked(plugin: Plugin, arrays: Any) -> Arrays:
    if not isinstance(arrays, Mapping):
        raise plugin.wrong(f"to_arrays gave a {type(arrays).__name__}; it has to be a mapping of name → array")
    found = {str(name): np.asarray(array) for name, array in arrays.items()}
    wrong = [name for name, array in found.items() if array.dtype.kind not in "biuf"]
    if wrong:
        raise plugin.wrong(
            f"to_arrays gave {wrong[0]!r} as {found[wrong[0]].dtype}; a checkpoint keeps numbers only (names of genes,"
            " contexts and perturbations are in the vocabulary)"
        )
    return found


@dataclass(frozen=True)
class PluginRule:
    """The rule of a plugin, for :class:`lingshu_core.baseline_models.BaselinePredictor`."""

    effects: MeasuredEffects
    fitted: FittedPlugin

    def change(self, parts: Sequence[Part], context: Context) -> Array:
        """Return the change of the scaled moments of the context's controls, (4, genes)."""
        plugin = self.fitted.plugin
        with plugin.blamed(f"effect of {'+'.join(name for name, _ in parts)}"):
            effect = np.asarray(self.fitted.model.effect(dict(context), tuple(parts)), dtype=np.float64)
        if effect.shape != (self.effects.genes,):
            raise plugin.wrong(f"effect gave the shape {effect.shape}; the model has ({self.effects.genes},) genes")
        if not np.isfinite(effect).all():
            raise plugin.wrong(f"effect gave {int((~np.isfinite(effect)).sum())} values that are NaN or infinite")
        return scaled_change(self.effects.controls(context), effect)


def scaled_change(controls: Population, effect: Array) -> Array:
    """Carry a change of the mean of log1p counts per 10k over to the other moments.

    Parameters
    ----------
    controls
        Moments of the control cells.
    effect
        Log1p counts per 10k, (genes,).

    Returns
    -------
    ndarray
        Change of :meth:`lingshu_core.baseline_statistics.Population.scaled`, (4, genes); zero where ``effect`` is.
    """
    log1p, log1p_square, count, count_square = controls.moments.astype(np.float64)
    moved = np.maximum(log1p + effect, 0.0)
    known = log1p > 0
    ratio = np.divide(np.expm1(moved), np.expm1(log1p), out=np.ones_like(moved), where=known)
    spread = np.divide(-np.expm1(-moved), -np.expm1(-log1p), out=np.ones_like(moved), where=known)
    # A gene that no control cell has appears as in cells that all have the same.
    fresh = np.where(known, 0.0, np.expm1(moved) * controls.depth / 1e4)
    variance = np.maximum(log1p_square - np.square(log1p), 0.0) * spread
    factorial = np.maximum(count_square - count, 0.0) * np.square(ratio) + np.square(fresh)
    after = count * ratio + fresh
    moments = np.stack([moved, variance + np.square(moved), after, factorial + after])
    change = Population(moments, controls.depth, controls.cells).scaled() - controls.scaled()
    return np.where(effect == 0, 0.0, change)
