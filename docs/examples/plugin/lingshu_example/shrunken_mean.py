"""A model: the mean effect of a perturbation over contexts, drawn toward zero where few cells were measured."""

from __future__ import annotations

import numpy as np

from lingshu_core.plugin_model import PluginTraining


class ShrunkenMean:
    """Effects of single perturbations, (parts, genes), in the order of the vocabulary's parts."""

    def __init__(self, effects, parts):
        self.effects = effects
        self.row = {name: row for row, name in enumerate(parts)}

    @classmethod
    def fit(cls, training: PluginTraining):
        """Average each perturbation's effect over contexts, n / (n + strength) of it for n cells."""
        strength = float(training.settings.get("strength", 20))
        if strength < 0:
            raise ValueError(f"settings.strength is {strength:g}; it has to be 0 or more")
        parts = training.vocabulary.parts
        effects = [shrunken_effect(training.cells, part, strength) for part in parts]
        return cls(np.stack(effects) if effects else np.zeros((0, len(training.vocabulary.genes))), parts)

    @classmethod
    def from_arrays(cls, arrays, vocabulary, settings):
        """Build the model from what `to_arrays` gave."""
        return cls(arrays["effects"], vocabulary.parts)

    def to_arrays(self):
        """Return the effects; names are in the vocabulary."""
        return {"effects": self.effects}

    def effect(self, context, parts):
        """Add up the effects of the parts; one that was never measured has none."""
        total = np.zeros(self.effects.shape[1])
        for name, _dose in parts:
            if name in self.row:
                total += self.effects[self.row[name]]
        return total


def shrunken_effect(cells, perturbation, strength):
    """Return the shrunken change of the mean of log1p counts per 10k, (genes,)."""
    perturbed = np.asarray(cells.obs["perturbation"] == perturbation)
    total, number = np.zeros(len(cells.genes)), 0
    for here in contexts_of(cells):
        treated, untreated = here & perturbed, here & cells.is_control
        if treated.any() and untreated.any():
            total += treated.sum() * (cells.log1p_per_10k(treated) - cells.log1p_per_10k(untreated))
            number += int(treated.sum())
    return total / (number + strength) if number else total


def contexts_of(cells):
    """Yield a mask over the cells for every context."""
    roles = list(cells.context_roles)
    if not roles:
        yield np.ones(len(cells), dtype=bool)
        return
    for rows in cells.obs.groupby(roles, observed=True, sort=False).indices.values():
        mask = np.zeros(len(cells), dtype=bool)
        mask[rows] = True
        yield mask
