"""Simulated drugs with real structures: scaffolds held out, with true and with shuffled fingerprints.

Drugs, targets and pathways are those of sci-Plex 3; cells are simulated from target and pathway, not from structure
(`lingshu_core.drug_simulator`). A fifth of the drugs, whose Murcko scaffolds occur in no other, is held out and
predicted from SMILES. Pearson-Δ against the true effect at the highest dose (mean of the cell lines), median over the
held-out drugs. "Beyond the mean" is the partial correlation given the mean true effect of the training drugs: what a
prediction knows about this drug rather than about drugs; 0 for any multiple of the mean.

A row that is in the results folder already is not computed again; remove the folder to measure anew.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import anndata
import numpy as np
import numpy.typing as npt
import pandas as pd
import yaml

from benchmarks.report import DATA, RESULTS, Figures, Silent, main, table
from campaigns.source import load_training
from lingshu_core.chemistry import morgan_bits, scaffold_folds, tanimoto
from lingshu_core.drug_baselines import neighbour_effects
from lingshu_core.drug_simulator import (
    AnnotatedDrug,
    DrugSimulation,
    DrugSimulationConfig,
    parse_targets,
    simulate_drugs,
)
from lingshu_core.feature_files import read_feature_file, read_rows
from lingshu_core.metrics import pearson_delta
from screening.run import run_campaign
from screening.training.training_request import train_spec
from screening.training.training_run import training_config

Array = npt.NDArray[np.float64]

SEEDS = (0, 1, 2)
FOLDS = 5
EPOCHS = 8
NEIGHBOURS = (5, 10)
FOLDER = RESULTS / "drugs"


def measure() -> Figures:
    """Simulate, train and screen with every seed, with true and shuffled structures; all figures."""
    drugs = real_drugs()
    rows = [row for seed in SEEDS for row in _seed(drugs, seed)]
    columns = ["prediction", "seed", "Pearson-Δ", "beyond the mean", "seconds"]
    table(columns, [[row[name] for name in columns] for row in rows])
    figures = {}
    for name in dict.fromkeys(row["prediction"] for row in rows):
        for column in ("Pearson-Δ", "beyond the mean"):
            found = [row[column] for row in rows if row["prediction"] == name]
            figures[f"{name}, {column}"] = float(np.median(found))
    table(["median of seeds", "value"], list(figures.items()))
    return figures


def real_drugs() -> list[AnnotatedDrug]:
    """Read the sci-Plex 3 drugs; the vendor's SMILES where there is no canonical one."""
    columns = ("name", "smiles_vendor", "smiles_canonical", "target", "pathway")
    file = read_feature_file(str(DATA / "priors/sciplex3_drugs.tsv.gz"))
    rows = read_rows(file, {name: name for name in columns})
    return [
        AnnotatedDrug(row.name, row.smiles_canonical or row.smiles_vendor, parse_targets(row.target), row.pathway)
        for row in rows.itertuples()
    ]


def _seed(drugs: list[AnnotatedDrug], seed: int) -> list[dict[str, Any]]:
    simulation = simulate_drugs(drugs, DrugSimulationConfig(seed=seed))
    smiles = [drug.smiles for drug in simulation.drugs]
    held = scaffold_folds(smiles, FOLDS, seed) == 0
    measured = measured_effects(simulation)
    # (drugs, doses, lines, genes) -> (held-out drugs, genes) at the highest dose
    true = simulation.true_effect[held, -1].mean(axis=1)
    known = measured[~held, -1].mean(axis=1)
    mean = simulation.true_effect[~held, -1].mean(axis=(0, 1))
    shuffled = np.random.default_rng(seed).permutation(len(smiles))
    baselines: dict[str, Callable[[], Array]] = {
        "mean of training drugs": lambda: np.broadcast_to(known.mean(axis=0), true.shape)
    }
    for name, order in (("", np.arange(len(smiles))), (", shuffled", shuffled)):
        bits = morgan_bits([smiles[i] for i in order])
        similarity = tanimoto(bits[held], bits[~held])
        for count in NEIGHBOURS:
            baselines[f"{count} nearest by Tanimoto{name}"] = _later(neighbour_effects, similarity, known, count)
        written = [smiles[i] for i in order]
        baselines[f"direct with fingerprints{name}"] = _later(_model, simulation, held, written, name[2:], seed)
    return [_row(name, seed, predict, true, mean) for name, predict in baselines.items()]


def _later(function: Callable[..., Array], *arguments: Any) -> Callable[[], Array]:
    return lambda: function(*arguments)


def _row(name: str, seed: int, predict: Callable[[], Array], true: Array, mean: Array) -> dict[str, Any]:
    """Compute one row of the table, or read it where it was computed before."""
    path = FOLDER / f"rows/{name.replace(' ', '-').replace(',', '')}-{seed}.json"
    if path.exists():
        return dict(json.loads(path.read_text(encoding="utf-8")))
    started = time.monotonic()
    predicted = predict()
    row = {
        "prediction": name,
        "seed": seed,
        "Pearson-Δ": _median(predicted, true),
        "beyond the mean": _median(_beyond(predicted, mean), _beyond(true, mean)),
        "seconds": time.monotonic() - started,
    }
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(row, ensure_ascii=False), encoding="utf-8")
    return row


def _median(predicted: Array, true: Array) -> float:
    return float(np.median([pearson_delta(mine, its) for mine, its in zip(predicted, true, strict=True)]))


def _beyond(effects: Array, mean: Array) -> Array:
    """Residuals of effects (drugs, genes) after regression on a mean effect (genes,) and a constant."""
    centred, direction = effects - effects.mean(axis=1, keepdims=True), mean - mean.mean()
    return centred - np.outer(centred @ direction / (direction @ direction), direction)


def measured_effects(simulation: DrugSimulation) -> Array:
    """Differences of means of cells, (drugs, doses, lines, genes), in ``log1p counts per 10k``."""
    counts = simulation.counts.toarray().astype(float)
    expression = np.log1p(1e4 * counts / counts.sum(axis=1, keepdims=True))
    means = pd.DataFrame(expression).groupby(
        [simulation.obs[role].to_numpy() for role in ("perturbation", "dose", "cell_type")]
    )
    found: Mapping[tuple[str, float, str], Array] = {key: each.to_numpy() for key, each in means.mean().iterrows()}
    lines = sorted(set(simulation.obs["cell_type"]))
    return np.array(
        [
            [
                [found[drug.name, dose, line] - found["control", 0.0, line] for line in lines]
                for dose in _doses(simulation)
            ]
            for drug in simulation.drugs
        ]
    )


def _doses(simulation: DrugSimulation) -> tuple[float, ...]:
    return simulation.config.doses


def _model(
    simulation: DrugSimulation, held: npt.NDArray[np.bool_], smiles: list[str], variant: str, seed: int
) -> Array:
    """Train on the cells of the other drugs and screen the held-out ones; (held-out drugs, genes)."""
    folder = FOLDER / f"{variant or 'true'}-{seed}"
    folder.mkdir(parents=True, exist_ok=True)
    names = [drug.name for drug in simulation.drugs]
    asked = [name for name, out in zip(names, held, strict=True) if out]
    pd.DataFrame({"name": names, "smiles": smiles}).to_csv(folder / "drugs.tsv", sep="\t", index=False)
    var = pd.DataFrame(index=list(simulation.genes))
    anndata.AnnData(simulation.counts, obs=simulation.obs, var=var).write_h5ad(folder / "cells.h5ad")
    spec = load_training(_write(folder / "train.yaml", _training(folder, asked, seed))).spec
    train_spec(spec, training_config(spec, {}))
    run_campaign(_write(folder / "screen.yaml", _screen(folder, asked, simulation)), Silent(), {})
    effects = anndata.read_h5ad(folder / "screen/effects.h5ad")
    table = pd.DataFrame(np.asarray(effects.X, dtype=float), columns=list(effects.var_names))
    labels = effects.obs["perturbation"].astype(str).to_numpy()  # name@dose
    means = table[list(simulation.genes)].groupby(labels).mean()  # over the lines
    return means.loc[[f"{name}@{max(_doses(simulation)):g}" for name in asked]].to_numpy()


def _training(folder: Path, asked: list[str], seed: int) -> dict[str, Any]:
    roles = ("perturbation", "perturbation_type", "dose", "cell_type")
    return {
        "kind": "train",
        "name": "drugs",
        "data": {"path": str(folder / "cells.h5ad"), "columns": {role: role for role in roles}},
        "hold_out": [{"perturbation": asked}],
        "features": {"drug": [{"kind": "smiles", "file": str(folder / "drugs.tsv")}]},
        "training": {"epochs": EPOCHS, "learning_rate": 0.001, "seed": seed, "resume": False},
        "output": str(folder / "model"),
        "licence": "simulated cells; structures and annotations as in the priors",
    }


def _screen(folder: Path, asked: list[str], simulation: DrugSimulation) -> dict[str, Any]:
    doses = [max(_doses(simulation))]
    return {
        "kind": "screen",
        "name": "drugs",
        "model": str(folder / "model"),
        "contexts": {"cell_type": "all_seen"},
        "perturbations": {"drug": [{"name": name, "doses": doses} for name in asked]},
        "objective": {"kind": "signature", "up": [simulation.genes[0]]},
        "estimator": {"kind": "variance_reduced", "steps": 1, "shards": 8, "depth_strata": 8},
        "output": str(folder / "screen"),
        "compute": {"backend": "in_process"},
    }


def _write(path: Path, content: dict[str, Any]) -> Path:
    path.write_text(yaml.safe_dump(content, allow_unicode=True, sort_keys=False), encoding="utf-8")
    return path


if __name__ == "__main__":
    main(measure, __doc__ or "")
