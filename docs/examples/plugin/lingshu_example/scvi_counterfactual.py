"""A model around scvi-tools: control cells decoded as if they had been perturbed.

scVI (Lopez et al. 2018, Nat Methods) is trained with the perturbation as its batch and the context factors as further
covariates. The control cells of a context are decoded under the label of a perturbation and under that of the control;
the difference of the means of log1p of the decoded rates per 10k is the effect. Rates are expectations, so this stands
for the change of the mean of log1p *counts* only as far as noise of counting is the same in both.
"""

from __future__ import annotations

import anndata
import numpy as np
import pandas as pd

from lingshu_core.plugin_model import PluginTraining
from lingshu_core.vocabulary import split_label

MOST_CONTROLS = 256


class ScviCounterfactual:
    """Effects decoded once, (contexts, labels, genes): to predict needs no scvi-tools."""

    def __init__(self, effects, vocabulary):
        self.effects = effects
        self.contexts = [context.factors for context in vocabulary.contexts]
        self.label = {split_label(label): row for row, label in enumerate(sorted(vocabulary.perturbations))}

    @classmethod
    def fit(cls, training: PluginTraining):
        """Train scVI, and decode the control cells of every context under every label."""
        import scvi

        scvi.settings.seed = training.seed
        cells, words = training.cells, training.vocabulary
        table = as_anndata(cells)
        scvi.model.SCVI.setup_anndata(
            table, batch_key="perturbation", categorical_covariate_keys=list(cells.context_roles) or None
        )
        model = scvi.model.SCVI(table, gene_likelihood="nb")
        model.train(
            max_epochs=int(training.settings.get("epochs", 100)),
            accelerator=training.device.partition(":")[0].replace("cuda", "gpu"),
            enable_progress_bar=False,
        )
        labels = [words.control, *sorted(words.perturbations)]
        decoded = [decode(model, table[controls_of(cells, context)], labels) for context in words.contexts]
        return cls(np.stack(decoded), words)

    @classmethod
    def from_arrays(cls, arrays, vocabulary, settings):
        """Build the model from what `to_arrays` gave."""
        return cls(arrays["effects"], vocabulary)

    def to_arrays(self):
        """Return the decoded effects."""
        return {"effects": self.effects}

    def effect(self, context, parts):
        """Average over the contexts that are asked; a combination that was not trained is the sum of its parts."""
        here = [row for row, known in enumerate(self.contexts) if all(known[f] == v for f, v in context.items())]
        effects = self.effects[here or slice(None)].mean(axis=0)  # (labels, genes)
        names = tuple(sorted(name for name, _dose in parts))
        if names in self.label:
            return effects[self.label[names]]
        known = [effects[self.label[(name,)]] for name in names if (name,) in self.label]
        return np.sum(known, axis=0) if known else np.zeros(effects.shape[1])


def as_anndata(cells):
    """Return counts with the perturbation and the context factors as text."""
    columns = ["perturbation", *cells.context_roles]
    obs = pd.DataFrame({name: cells.obs[name].astype(str).to_numpy() for name in columns})
    obs.index = obs.index.astype(str)
    return anndata.AnnData(cells.counts.astype(np.float32), obs)


def controls_of(cells, context):
    """Return the rows of at most `MOST_CONTROLS` control cells of a context, of all contexts where it has none."""
    rows = np.flatnonzero(cells.is_control & cells.matching(context.factors))
    rows = rows if len(rows) else np.flatnonzero(cells.is_control)
    return rows[:: max(1, len(rows) // MOST_CONTROLS)][:MOST_CONTROLS]


def decode(model, controls, labels):
    """Decode control cells under every label; the first one is the control. Returns (labels − 1, genes)."""
    means = [
        np.log1p(
            model.get_normalized_expression(controls, transform_batch=label, library_size=1e4, return_numpy=True)
        ).mean(axis=0)
        for label in labels
    ]
    return np.stack([mean - means[0] for mean in means[1:]]) if len(means) > 1 else np.zeros((0, controls.n_vars))
