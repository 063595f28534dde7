"""Papalexi 2021: 25 knock-outs in THP-1, objective "interferon-gamma response down".

The example folder as it stands (train on all cells, screen), timed; and the same with replicate 3 held out of
training, whose real scores are compared with the predicted ones.
"""

from __future__ import annotations

import time
from collections.abc import Mapping
from typing import Any

import numpy as np
import polars as pl

from benchmarks.report import EXAMPLES, RESULTS, Figures, Silent, main, table
from campaigns.source import load_training
from campaigns.training_spec import ModelSpec, TrainSpec
from lingshu_core.baselines import real_effect
from lingshu_core.cells import Cells
from lingshu_core.differences import matched_effect
from lingshu_core.metrics import spearman
from screening.objective.readouts import read_data
from screening.planning.campaign import load_campaign, plan_campaign
from screening.run import run_campaign
from screening.training.training_request import train_spec
from screening.training.training_run import training_config

KNOWN = ("IFNGR1", "IFNGR2", "JAK2", "STAT1", "IRF1")
SEEDS = (0, 1, 2)
HELD_OUT = {"batch": ("rep_3",)}
MODELS: Mapping[str, dict[str, bool | int | float]] = {"direct": {}, "tilt only": {"pooled_width": 0}}


def measure() -> Figures:
    """Train and screen; all figures."""
    loaded = load_training(EXAMPLES / "papalexi/train.yaml").spec
    started = time.monotonic()
    hits = _screen(loaded, 0, "whole")
    seconds = time.monotonic() - started
    print(f"whole data, train + screen: {seconds:.0f} s")
    best = hits.head(8).select("rank", "perturbation", "score", "score_se", "effect", "steps", "guidance", "paths")
    table(best.columns, best.rows())
    in_top_6 = len(set(KNOWN) & set(hits.head(6)["perturbation"]))
    print(f"of {', '.join(KNOWN)}: {in_top_6} in the top 6")
    figures: dict[str, float] = {"seconds": seconds, "known_in_top_6": in_top_6}
    print("\nreplicate 3 held out: Spearman correlation with its real scores over the 25 knock-outs")
    rows: list[list[Any]] = []
    for model, overrides in MODELS.items():
        shape = ModelSpec(configuration="direct", overrides=overrides)
        spec = loaded.model_copy(update={"hold_out": (HELD_OUT,), "model": shape})
        found = [_held_out(spec, seed, model.replace(" ", "-")) for seed in SEEDS]
        rows += [[model, seed, *each.values()] for seed, each in zip(SEEDS, found, strict=True)]
        medians = {name: float(np.median([each[name] for each in found])) for name in found[0]}
        rows.append([model, "median", *medians.values()])
        figures |= {f"{model}_{name}": value for name, value in medians.items()}
    table(["model", "seed", "raw", "matched", "training cells, raw"], rows)
    return figures


def _screen(spec: TrainSpec, seed: int, name: str) -> pl.DataFrame:
    model = str(RESULTS / f"papalexi/{name}-{seed}/model")
    spec = spec.model_copy(update={"output": model})
    train_spec(spec, training_config(spec, {"seed": seed}))
    overrides = {"model": model, "output": str(RESULTS / f"papalexi/{name}-{seed}/screen")}
    return run_campaign(EXAMPLES / "papalexi/screen.yaml", Silent(), overrides).hits


def _held_out(spec: TrainSpec, seed: int, model: str) -> dict[str, float]:
    hits = _screen(spec, seed, model)
    cells = read_data(spec.data)
    test = cells.matching(HELD_OUT)
    predicted = {row["perturbation"]: row["effect"] for row in hits.iter_rows(named=True)}
    names = sorted(predicted)
    campaign = load_campaign(
        EXAMPLES / "papalexi/screen.yaml", {"model": str(RESULTS / f"papalexi/{model}-{seed}/model")}
    )
    weights = next(iter(plan_campaign(campaign).readouts.values())).weights
    real = [_real_score(cells, test, name, weights, matched=False) for name in names]
    matched = [_real_score(cells, test, name, weights, matched=True) for name in names]
    training = [_real_score(cells, ~test, name, weights, matched=False) for name in names]
    scores = [predicted[name] for name in names]
    return {
        "raw": spearman(np.array(scores), np.array(real)),
        "matched": spearman(np.array(scores), np.array(matched)),
        "training_cells": spearman(np.array(training), np.array(real)),
    }


def _real_score(cells: Cells, part: Any, name: str, weights: Any, *, matched: bool) -> float:
    perturbed = part & np.asarray(cells.obs["perturbation"] == name)
    effect = (matched_effect if matched else real_effect)(cells, perturbed, part & cells.is_control)
    used = (weights != 0) & (np.array(cells.genes) != name)
    return float(effect[used] @ weights[used] / used.sum())


if __name__ == "__main__":
    main(measure, __doc__ or "")
