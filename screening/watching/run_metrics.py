"""What is measured of a screen: all that the engine measures, and what only a screen knows."""

from __future__ import annotations

from actors.metrics import METRICS as ENGINE_METRICS
from actors.metrics import Metric

SCREEN_METRICS: dict[str, Metric] = {
    "lingshu_conditions": Metric(
        "gauge",
        "conditions",
        "conditions of the plan, controls and pseudo-perturbations among them: complete before this run, completed by"
        " it, without one of their blocks for good, still open; where an allocation chooses blocks, of those chosen so"
        " far",
        (("status", "cached, done, failed, open"),),
    ),
    "lingshu_conditions_published_total": Metric(
        "counter",
        "conditions",
        "rows of the hit tables that were published, by their column `status`",
        (("status", "done, failed"),),
    ),
    "lingshu_blocks_cached": Metric(
        "gauge", "blocks", "blocks that were committed before this run; tasks are those that were not"
    ),
    "lingshu_cells_total": Metric("counter", "cells", "cells drawn for blocks that this run has committed"),
    "lingshu_passes_total": Metric(
        "counter", "passes", "denoising passes behind them, of one cell each; a baseline makes none"
    ),
}
"""Name → what it is."""
RUN_METRICS: dict[str, Metric] = {**SCREEN_METRICS, **ENGINE_METRICS}
