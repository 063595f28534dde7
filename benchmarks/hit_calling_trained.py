"""Screens trained end to end in which it is known what is there: simulate, train with a null, screen, decide.

Beside the knock-outs of the simulation, 40 groups of its control cells have labels of perturbations: hits among them
are false by construction. A row a seed is kept in ``results/benchmarks/hit-calling/rows.jsonl`` and not made again.
"""

from __future__ import annotations

import json
import time
from pathlib import Path
from typing import Any

import anndata
import numpy as np
import pandas as pd
import polars as pl

from benchmarks.report import RESULTS, Silent, table
from campaigns.source import load_training
from lingshu_core.simulation_config import SimulationConfig
from lingshu_core.simulator import simulate
from screening.deciding.decisions import HIT
from screening.run import run_campaign
from screening.training.training_request import train_spec
from screening.training.training_run import training_config

FOLDER = RESULTS / "hit-calling"
LABELS, GROUPS = 40, 30
TRAINING = """\
kind: train
name: hit-calling
data:
  path: {folder}/labelled.h5ad
  columns: {{perturbation: perturbation, perturbation_type: perturbation_type, cell_type: cell_type, donor: donor}}
pseudo_perturbations: {{groups: {groups}}}
training: {{epochs: 8, warmup_steps: 20, learning_rate: 0.002, device: cpu}}
output: {folder}/model
"""
SCREEN = """\
kind: screen
name: hit-calling
model: {folder}/model
contexts: all_seen
perturbations: {{genetic: all_seen}}
objective:
  kind: signature
  gene_set: {{file: {folder}/program.gmt, name: SIMULATED_PROGRAM, direction: down}}
estimator: {{shards: 8, depth_strata: 4, steps: 2}}
output: {folder}/screen
compute: {{backend: in_process}}
"""


def trained_screens(number: int) -> dict[str, Any]:
    """Train and decide so many screens, those of earlier calls among them, and sum them up."""
    FOLDER.mkdir(parents=True, exist_ok=True)
    kept = FOLDER / "rows.jsonl"
    rows = [json.loads(line) for line in kept.read_text().splitlines()] if kept.exists() else []
    for seed in range(number):
        if seed not in {row["seed"] for row in rows}:
            rows.append(_screen(seed))
            with kept.open("a") as file:
                file.write(json.dumps(rows[-1]) + "\n")
    print(f"\nTrained end to end: {GROUPS} pseudo-perturbations, {LABELS} labels without an effect, planted knock-outs")
    table(list(rows[0]), [list(row.values()) for row in rows])
    hits = sum(row["false_hits"] + row["planted_hits"] + row["other_hits"] for row in rows)
    return {
        "screens": len(rows),
        "with_false_hit": sum(row["false_hits"] > 0 for row in rows),
        "false_share": sum(row["false_hits"] for row in rows) / max(hits, 1),
        "power": sum(row["planted_hits"] for row in rows) / sum(row["planted"] for row in rows),
    }


def _screen(seed: int) -> dict[str, Any]:
    folder, started = FOLDER / str(seed), time.process_time()
    planted = _write_cells(folder, seed)
    (folder / "train.yaml").write_text(TRAINING.format(folder=folder, groups=GROUPS))
    (folder / "screen.yaml").write_text(SCREEN.format(folder=folder))
    spec = load_training(folder / "train.yaml").spec
    train_spec(spec, training_config(spec, {"seed": seed}))
    found = run_campaign(folder / "screen.yaml", Silent()).hits
    nothing, true = pl.col("perturbation").str.starts_with("NOTHING"), pl.col("perturbation").is_in(list(planted))
    hits, none = found.filter(pl.col("decision") == HIT), found.filter(nothing)
    z = ((none["score"] - none["null_centre"]) / none["null_sd"]).to_numpy()
    return {
        "seed": seed,
        "false_hits": hits.filter(nothing).height,
        "planted": len(planted),
        "planted_hits": hits.filter(true).height,
        "other_hits": hits.filter(~nothing & ~true).height,
        "z_sd_of_nothing": float(z.std(ddof=1)),
        "nothing_in_interval": float(np.mean(((none["low_90"] <= 0) & (none["high_90"] >= 0)).to_numpy())),
        "cpu_seconds": time.process_time() - started,
    }


def _write_cells(folder: Path, seed: int) -> set[str]:
    """Simulate, put labels on groups of controls of 5 to 15 cells, and return the planted perturbations."""
    sizes = {"genes": 60, "regulators": 14, "program_genes": 10, "cell_types": 1, "donors": 1, "truth_draws": 64}
    conditions = {"knockouts": 8, "knockdowns": 1, "drugs": 0, "combinations": 1, "measured_share": 1.0}
    planted = {"planted_knockouts": 4, "planted_knockdowns": 1, "planted_drugs": 0, "planted_combinations": 1}
    cells = {"control_cells": 1500, "cells_per_condition": 15, "truth_replicates": 2, "hit_margin": 0.01}
    files = simulate(SimulationConfig(**sizes, **conditions, **planted, **cells, seed=seed)).write(folder)  # type: ignore[arg-type]
    data = anndata.read_h5ad(folder / "cells.h5ad")
    labels = data.obs["perturbation"].astype(str).to_numpy(dtype=object, copy=True)
    kinds = data.obs["perturbation_type"].astype(str).to_numpy(dtype=object, copy=True)
    random = np.random.default_rng(seed)
    groups = np.repeat(np.arange(LABELS), random.integers(5, 16, LABELS))
    taken = random.permutation(np.flatnonzero(labels == "control"))[: len(groups)]
    labels[taken], kinds[taken] = [f"NOTHING{group:02d}" for group in groups], "genetic"
    data.obs["perturbation"], data.obs["perturbation_type"] = labels.astype(str), kinds.astype(str)
    data.write_h5ad(folder / "labelled.h5ad")
    truth = pd.read_parquet(files.truth_table)
    return set(truth["perturbation"][truth["true_hit"]])
