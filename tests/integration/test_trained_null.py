"""Control cells alone, some of them under made-up labels: a trained screen in which there is nothing to find."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import anndata
import numpy as np
import polars as pl
import yaml

from lingshu_core.simulation_config import SimulationConfig
from lingshu_core.simulator import simulate
from screening.notebook.progress_lines import Quiet
from screening.run import run_campaign
from screening.training.training_request import train_model

LABELS = 30
COLUMNS = ("perturbation", "perturbation_type", "cell_type", "donor")


def write_cells(folder: Path, seed: int) -> None:
    """Write control cells of which 30 groups of 5 to 15 have the labels of perturbations."""
    sizes = {"genes": 40, "regulators": 10, "program_genes": 8, "cell_types": 1, "donors": 1, "truth_draws": 8}
    conditions = {"knockouts": 4, "knockdowns": 1, "drugs": 0, "combinations": 1, "measured_share": 1.0}
    planted = {"planted_knockouts": 2, "planted_knockdowns": 1, "planted_drugs": 0, "planted_combinations": 1}
    cells = {"control_cells": 1000, "cells_per_condition": 12, "truth_replicates": 2, "hit_margin": 0.01}
    simulate(SimulationConfig(**sizes, **conditions, **planted, **cells, seed=seed)).write(folder)
    table = anndata.read_h5ad(folder / "cells.h5ad")
    table = table[table.obs["perturbation"] == "control"].copy()
    random = np.random.default_rng(seed)
    groups = np.repeat(np.arange(LABELS), random.integers(5, 16, LABELS))
    labels = np.full(table.n_obs, "control", dtype=object)
    labels[random.permutation(table.n_obs)[: len(groups)]] = [f"NOTHING{group:02d}" for group in groups]
    table.obs["perturbation"] = labels.astype(str)
    table.obs["perturbation_type"] = np.where(labels == "control", "control", "genetic")
    table.write_h5ad(folder / "nothing.h5ad")


def test_a_trained_screen_of_nothing_has_no_hit(tmp_path: Path, write_screen: Callable[..., Path]) -> None:
    write_cells(tmp_path, seed=0)
    content: dict[str, Any] = {
        "kind": "train",
        "name": "nothing",
        "data": {"path": str(tmp_path / "nothing.h5ad"), "columns": {name: name for name in COLUMNS}},
        "pseudo_perturbations": {"groups": 30},
        "training": {"epochs": 4, "warmup_steps": 5, "learning_rate": 0.002, "device": "cpu"},
        "output": str(tmp_path / "model"),
    }
    (tmp_path / "train.yaml").write_text(yaml.safe_dump(content))
    train_model(tmp_path / "train.yaml")
    gene_set = {"file": str(tmp_path / "program.gmt"), "name": "SIMULATED_PROGRAM", "direction": "down"}
    asked = {
        "model": str(tmp_path / "model"),
        "contexts": "all_seen",
        "perturbations": {"genetic": "all_seen"},
        "objective": {"kind": "signature", "gene_set": gene_set},
        "estimator": {"shards": 8, "depth_strata": 4, "steps": 2},
    }
    hits = run_campaign(write_screen(**asked), Quiet()).hits
    assert hits.height == LABELS
    assert not hits.filter(pl.col("decision") == "hit").height
    # The null is as wide as what it stands for: neither much narrower nor much wider.
    z = ((hits["score"] - hits["null_centre"]) / hits["null_sd"]).to_numpy()
    assert 0.6 < z.std() < 1.5
    assert abs(z.mean()) < 0.75
