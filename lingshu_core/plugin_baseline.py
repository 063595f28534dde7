"""Fitting a plugin as a baseline: everything but the effects is made as for the others."""

from __future__ import annotations

from dataclasses import replace

from lingshu_core.baseline_cells import keep_controls
from lingshu_core.baseline_models import PLUGIN, BaselinePredictor, BaselineSettings, Fitted
from lingshu_core.baseline_statistics import measure_groups
from lingshu_core.conditioning import Condition
from lingshu_core.depths import control_depths
from lingshu_core.feature_bank import build_bank
from lingshu_core.plugin_model import PluginTraining, fit_plugin
from lingshu_core.vocabulary import split_label


def fit_plugin_baseline(name: str, training: PluginTraining) -> BaselinePredictor:
    """Fit a plugin, and ask it one question, so that a wrong answer is told before anything is stored.

    Parameters
    ----------
    name
        Of the entry point.
    training
        What to learn from; of cells on disk the plugin gets an even sample, the controls are measured on all.

    Raises
    ------
    PluginError
        If the plugin isn't there, fails, or gives something else than it should.
    UnusableCells
        If there are no controls, or the genes aren't the vocabulary's.
    """
    cells, words = training.cells, training.vocabulary
    statistics = measure_groups(cells, words, changes=False)
    fitted = Fitted(statistics, plugin=fit_plugin(name, replace(training, cells=cells.counted())))
    described = build_bank(training.features, words) is not None
    origins = training.features.origins if training.features is not None and described else ()
    controls, depths = keep_controls(cells, words), control_depths(cells, words)
    baseline = BaselinePredictor(PLUGIN, words, BaselineSettings(), fitted, controls, depths, origins)
    baseline.moments(_any_question(training))
    return baseline


def _any_question(training: PluginTraining) -> Condition:
    """Return a condition that the training cells have; the control where they have no perturbed cell."""
    for context in training.vocabulary.contexts:
        for label in context.perturbed_cells:
            doses = training.vocabulary.perturbations[label].doses
            dose = doses[0] if doses else None
            return Condition(context.factors, tuple((part, dose) for part in split_label(label)))
    return Condition({})
