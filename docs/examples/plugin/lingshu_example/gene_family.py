"""An objective: raise or lower all genes whose names begin alike, such as MT- or RPL."""

from __future__ import annotations

import numpy as np

from screening.objective.objectives import Readout


def gene_family(genes, context, settings):
    """Weigh the genes of a family equally; `settings` are `prefix` and `direction`, up (default) or down."""
    prefix = str(settings["prefix"])
    sign = {"up": 1.0, "down": -1.0}[settings.get("direction", "up")]
    weights = np.array([sign if gene.startswith(prefix) else 0.0 for gene in genes])
    return Readout(weights, "mean", f"genes {prefix}… {settings.get('direction', 'up')}")
