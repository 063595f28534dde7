"""Kang 2018: interferon-beta on blood cells, stimulated CD14+ monocytes left out of training.

Pearson-Δ over all 9,015 genes of the left-out context against its real cells (log1p counts per 10k), beside the
additive baselines, the nearest cell type and the model with the condition tilt alone. Three seeds.
"""

from __future__ import annotations

import sys
import time
from typing import Any

import anndata
import numpy as np

from benchmarks.report import EXAMPLES, RESULTS, Figures, Silent, main, table
from campaigns.source import load_training
from campaigns.training_spec import ModelSpec, TrainSpec
from lingshu_core.baselines import additive_effect, context_effects, nearest_context_effect, real_effect
from lingshu_core.cells import Cells
from lingshu_core.differences import matched_effect
from lingshu_core.metrics import pearson_delta
from screening.objective.readouts import read_data
from screening.run import run_campaign
from screening.training.training_request import train_spec
from screening.training.training_run import training_config

SEEDS = (0, 1, 2)
LEFT_OUT, PERTURBATION = "CD14+ Monocytes", "IFNB1"
MODELS = {"direct": {}, "tilt only": {"pooled_width": 0}, "rank 96": {"condition_rank": 96}}


def measure() -> Figures:
    """Train and screen every model with every seed; all figures."""
    spec = load_training(EXAMPLES / "kang/train.yaml").spec
    cells = read_data(spec.data)
    real, matched = left_out_effects(cells)
    figures: dict[str, Any] = _baselines(cells, real)
    table(["baseline", "Pearson-Δ, raw"], list(figures.items()))
    rows = []
    for name, overrides in MODELS.items():
        for seed in SEEDS:
            rows.append([name, seed, *_model(spec, cells, name, overrides, seed, real, matched)])
    table(["model", "seed", "training, s", "by cell type", "mean of donors", "against matched"], rows)
    for name in MODELS:
        mine = [row for row in rows if row[0] == name]
        figures[f"{name}_median"] = float(np.median([row[3] for row in mine]))
        figures[f"{name}_donors_median"] = float(np.median([row[4] for row in mine]))
        figures[f"{name}_training_seconds"] = float(np.median([row[2] for row in mine]))
    table(["figure", "value"], list(figures.items()))
    return figures


def left_out_effects(cells: Cells) -> tuple[Any, Any]:
    """Return the raw and the depth-matched real effect in the left-out cell type, both (genes,)."""
    here = cells.matching({"cell_type": LEFT_OUT})
    perturbed = here & np.asarray(cells.obs["perturbation"] == PERTURBATION)
    controls = here & cells.is_control
    return real_effect(cells, perturbed, controls), matched_effect(cells, perturbed, controls)


def _baselines(cells: Cells, real: Any) -> dict[str, float]:
    held = cells.matching({"cell_type": LEFT_OUT, "perturbation": PERTURBATION})
    seen = context_effects(cells.select(~held), PERTURBATION, "cell_type")
    control = cells.log1p_per_10k(cells.matching({"cell_type": LEFT_OUT}) & cells.is_control)
    nearest, effect = nearest_context_effect(seen, control)
    return {
        "additive, weighted by cells": pearson_delta(additive_effect(seen, weighted=True), real),
        "additive, one vote a type": pearson_delta(additive_effect(seen, weighted=False), real),
        f"nearest cell type ({nearest})": pearson_delta(effect, real),
    }


def _model(
    spec: TrainSpec, cells: Cells, name: str, overrides: dict[str, Any], seed: int, real: Any, matched: Any
) -> list[float]:
    folder = RESULTS / f"kang/{name.replace(' ', '-')}-{seed}"
    update = {"model": ModelSpec(configuration="direct", overrides=overrides), "output": str(folder / "model")}
    spec = spec.model_copy(update=update)
    started = time.monotonic()
    train_spec(spec, training_config(spec, {"seed": seed}))
    seconds = time.monotonic() - started
    by_type = _effects(folder, "by-type", {"cell_type": "all_seen"})
    by_donor = _effects(folder, "by-donor", {"cell_type": "all_seen", "donor": "all_seen"})
    pooled = np.asarray(by_type[by_type.obs["cell_type"] == LEFT_OUT].X)[0]
    donors = by_donor[by_donor.obs["cell_type"] == LEFT_OUT]
    weights = [_controls(cells, donor) for donor in donors.obs["donor"]]
    averaged = np.average(np.asarray(donors.X), axis=0, weights=weights)
    found = [pearson_delta(pooled, real), pearson_delta(averaged, real), pearson_delta(pooled, matched)]
    print(f"{name} {seed}: {seconds:.0f} s, {found}", file=sys.stderr, flush=True)
    return [seconds, *found]


def _effects(folder: Any, name: str, contexts: dict[str, str]) -> anndata.AnnData:
    output = str(folder / name)
    overrides = {"model": str(folder / "model"), "output": output, "contexts": contexts}
    run_campaign(EXAMPLES / "kang/screen.yaml", Silent(), overrides)
    return anndata.read_h5ad(f"{output}/effects.h5ad")


def _controls(cells: Cells, donor: str) -> int:
    return int((cells.matching({"cell_type": LEFT_OUT, "donor": donor}) & cells.is_control).sum())


if __name__ == "__main__":
    main(measure, __doc__ or "")
