"""Predictions without a generative model, beside which every effect is shown.

All of them predict a condition's mean of ``log1p counts per 10k`` from means of real cells only.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from lingshu_core.cells import Cells
from lingshu_core.errors import UnusableCells

Array = npt.NDArray[np.float64]


@dataclass(frozen=True)
class ContextEffects:
    """Real effects of one perturbation in several contexts.

    ``effects`` (contexts, genes) in log1p counts per 10k, ``controls`` (contexts, genes) the control means,
    ``cells`` (contexts,) the number of perturbed cells.
    """

    contexts: tuple[str, ...]
    effects: Array
    controls: Array
    cells: npt.NDArray[np.int64]


def real_effect(cells: Cells, perturbed: npt.NDArray[np.bool_], controls: npt.NDArray[np.bool_]) -> Array:
    """Return mean(perturbed) − mean(controls) of ``log1p counts per 10k``, (genes,)."""
    return cells.log1p_per_10k(perturbed) - cells.log1p_per_10k(controls)


def context_effects(cells: Cells, perturbation: str, role: str) -> ContextEffects:
    """Measure a perturbation's effect in every value of a context factor that has both kinds of cells.

    Raises
    ------
    UnusableCells
        If no value has both.
    """
    found = []
    perturbed = np.asarray(cells.obs["perturbation"] == perturbation)
    for value in sorted(set(cells.obs[role])):
        here = np.asarray(cells.obs[role] == value)
        if (here & perturbed).any() and (here & cells.is_control).any():
            control_mean = cells.log1p_per_10k(here & cells.is_control)
            effect = cells.log1p_per_10k(here & perturbed) - control_mean
            found.append((value, effect, control_mean, int((here & perturbed).sum())))
    if not found:
        raise UnusableCells(f"{cells.source}: no {role} has both control cells and cells with {perturbation!r}")
    names, effects, controls, sizes = zip(*found, strict=True)
    return ContextEffects(tuple(names), np.stack(effects), np.stack(controls), np.array(sizes))


def additive_effect(seen: ContextEffects, *, weighted: bool) -> Array:
    """Return the mean effect over the seen contexts, by cells or one vote each, (genes,)."""
    return np.average(seen.effects, axis=0, weights=seen.cells if weighted else None)


def nearest_context_effect(seen: ContextEffects, control_mean: Array) -> tuple[str, Array]:
    """Copy the effect of the seen context whose control mean correlates best with this one's."""
    similarity = [np.corrcoef(control, control_mean)[0, 1] for control in seen.controls]
    best = int(np.argmax(similarity))
    return seen.contexts[best], seen.effects[best]
