"""A campaign of more than 5,000 conditions on one CPU: lines x (drugs x doses + knock-outs), with doses and scaffolds.

The drugs are the 188 of sci-Plex 3 with their real structures, targets and pathways at four doses; every target of one
of them is a knock-out, too, whose programme is that of the target. Cells are simulated (`lingshu_core.drug_simulator`)
and every condition is seen in training, by few cells. The question is the programme of the HDAC inhibitors: the genes
that they raise and lower more than other drugs do, by the simulator's truth.

What the tables say is compared with the truth: scores with true scores, EC50s with those of Hill curves through the
true scores and with the simulator's own (a score isn't linear in the response, so these differ), hits with the class.

A model that is in the results folder already is not trained again; remove the folder to measure anew.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

import anndata
import numpy as np
import numpy.typing as npt
import pandas as pd
import polars as pl
import yaml
from scipy import stats

from benchmarks.drugs import real_drugs
from benchmarks.report import RESULTS, Figures, Silent, main, table
from campaigns.source import load_training
from lingshu_core.drug_simulator import AnnotatedDrug, DrugSimulation, DrugSimulationConfig, simulate_drugs
from screening.answers.hill_curve import fit_hill
from screening.run import RunResult, run_campaign
from screening.training.training_request import train_spec
from screening.training.training_run import training_config

Array = npt.NDArray[np.float64]
T = TypeVar("T")

FOLDER = RESULTS / "large_campaign"
CLASS = "HDAC"
SIGNATURE = 20
"""Genes up, and genes down."""
EPOCHS = 8
ESTIMATOR = {"kind": "variance_reduced", "steps": 3, "shards": 8, "depth_strata": 8}
CONFIG = DrugSimulationConfig(
    genes=300, cell_lines=7, cells=56, control_cells=700, doses=(0.01, 0.1, 1.0, 10.0), strength=0.7
)


def measure() -> Figures:
    """Simulate, train, screen and compare; all figures."""
    FOLDER.mkdir(parents=True, exist_ok=True)
    drugs = [drug for drug in real_drugs() if drug.smiles]
    figures: dict[str, Any] = {}
    simulation = _timed("simulation", figures, lambda: simulate_drugs([*drugs, *knock_outs(drugs)], CONFIG))
    figures["cells"] = write_cells(simulation, len(drugs))
    if not (FOLDER / "model/weights.safetensors").exists():
        spec = load_training(write("train.yaml", training())).spec
        _timed("training", figures, lambda: train_spec(spec, training_config(spec, {})))
    up, down = signature(simulation, len(drugs))
    path = write("screen.yaml", screen(simulation, up, down))
    result = _timed("campaign", figures, lambda: run_campaign(path, Silent(), {}))
    figures |= speed(result, figures["campaign, seconds"])
    truth = true_scores(simulation, len(drugs), up, down)
    figures |= compared(truth)
    figures |= potencies(truth, dict(zip((drug.name for drug in drugs), simulation.ec50, strict=False)))
    figures |= by_scaffold(drugs)
    table(["figure", "value"], list(figures.items()))
    return figures


def _timed(name: str, figures: dict[str, Any], work: Callable[[], T]) -> T:
    """Note the wall time and the CPU time of this process, which other work on the machine doesn't change much."""
    wall, cpu = time.monotonic(), time.process_time()
    found = work()
    figures[f"{name}, seconds"] = time.monotonic() - wall
    figures[f"{name}, CPU seconds"] = time.process_time() - cpu
    return found


def knock_outs(drugs: list[AnnotatedDrug]) -> list[AnnotatedDrug]:
    """Make a knock-out of every target: nothing but the programme of that target, and a part of its own.

    The simulator asks for a structure to tell drugs that have one; nothing is made of it.
    """
    targets = sorted({target for drug in drugs for target in drug.targets})
    return [AnnotatedDrug(f"{target} knock-out", "C", (target,), "") for target in targets]


def write_cells(simulation: DrugSimulation, drugs: int) -> int:
    """Write the cells; of a knock-out those of the highest dose, without a dose."""
    obs = simulation.obs.copy()
    knocked = obs["perturbation"].isin([drug.name for drug in simulation.drugs[drugs:]])
    kept = (~knocked | (obs["dose"] == max(CONFIG.doses))).to_numpy()
    obs.loc[knocked, ["perturbation_type", "dose"]] = ["genetic", 0.0]
    var = pd.DataFrame(index=list(simulation.genes))
    anndata.AnnData(simulation.counts[kept], obs=obs[kept], var=var).write_h5ad(FOLDER / "cells.h5ad")
    rows = [(drug.name, drug.smiles.split()[0]) for drug in simulation.drugs[:drugs]]  # some have a comment behind
    pd.DataFrame(rows, columns=["name", "smiles"]).to_csv(FOLDER / "drugs.tsv", sep="\t", index=False)
    return int(kept.sum())


def signature(simulation: DrugSimulation, drugs: int) -> tuple[list[int], list[int]]:
    """Return the genes that drugs of the class raise and lower most beside all others, by their true programmes."""
    of_class = np.array([CLASS in drug.targets for drug in simulation.drugs[:drugs]])
    programme = simulation.programme[:drugs]
    order = np.argsort(programme[of_class].mean(axis=0) - programme[~of_class].mean(axis=0), kind="stable")
    return order[-SIGNATURE:].tolist(), order[:SIGNATURE].tolist()


def true_scores(simulation: DrugSimulation, drugs: int, up: list[int], down: list[int]) -> pl.DataFrame:
    """Return the true effect on the signature of every drug, dose and line, in log1p counts per 10k."""
    weights = np.zeros(CONFIG.genes)
    weights[up], weights[down] = 1.0, -1.0
    # (drugs, doses, lines, genes) @ (genes,) -> (drugs, doses, lines)
    scores = simulation.true_effect[:drugs] @ weights / (2 * SIGNATURE)
    rows = [
        (f"{drug.name}@{dose:g}", drug.name, dose, f"cell_type=line {line + 1}", float(scores[number, place, line]))
        for number, drug in enumerate(simulation.drugs[:drugs])
        for place, dose in enumerate(CONFIG.doses)
        for line in range(CONFIG.cell_lines)
    ]
    return pl.DataFrame(rows, schema=["perturbation", "name", "dose", "context", "true"], orient="row")


def speed(result: RunResult, seconds: float) -> dict[str, Any]:
    """Count conditions and passes: a pass is one run of the network over the cells of a shard."""
    plan = pl.read_json(FOLDER / "screen/plan.json").select(pl.col("conditions").list.len()).item()
    passes = plan * ESTIMATOR["shards"] * ESTIMATOR["steps"]
    return {
        "conditions in the table": result.hits.height,
        "conditions with controls and null": plan,
        "failed": result.failed,
        "passes": passes,
        "conditions a minute": 60.0 * plan / seconds,
        "hits": result.hits.filter(pl.col("decision") == "hit").height,
    }


def compared(truth: pl.DataFrame) -> dict[str, float]:
    """Compare scores with the truth over all conditions of drugs, and say how many hits are of the class."""
    hits = pl.read_parquet(FOLDER / "screen/hits.parquet").join(truth, on=["perturbation", "context"])
    hit = hits.filter(pl.col("decision") == "hit")
    true, of_hits = hits["true"].to_numpy(), hit["true"].to_numpy()
    return {
        "Spearman of score and true score": float(stats.spearmanr(hits["score"], hits["true"]).statistic),
        "drug conditions that are hits": hit.height,
        "of these with a true score over 0": float((of_hits > 0).mean()) if len(of_hits) else 0.0,
        "median true effect of hits": float(np.median(of_hits)) if len(of_hits) else 0.0,
        "median true effect of all": float(np.median(true)),
    }


def potencies(truth: pl.DataFrame, own: dict[str, float]) -> dict[str, Any]:
    """Compare fitted EC50s with those of the true scores and of the simulator, where efficacy is decided."""
    doses = pl.read_parquet(FOLDER / "screen/doses.parquet")
    figures: dict[str, Any] = {f"curves {name}": number for name, number in doses["outcome"].value_counts().rows()}
    decided, fitted = doses.filter(pl.col("efficacy") == "decided"), decided_curves(doses)
    series = {key: rows.sort("dose") for key, rows in truth.group_by("name", "context")}
    rows = [(row, series[row["perturbation"], row["context"]]) for row in fitted.iter_rows(named=True)]
    true = np.array([true_ec50(points) for _, points in rows])
    found = fitted["ec50"].to_numpy()
    inside = (true >= min(CONFIG.doses)) & (true <= max(CONFIG.doses))
    figures |= {"curves with decided efficacy": decided.height, "of these fitted and rising": fitted.height}
    figures |= {"of these with a true EC50 within the doses": int(inside.sum())}
    figures |= _agreement(found[inside], true[inside], "of the true score")
    low = fitted["ec50_low"].fill_null(0.0).to_numpy()
    high = fitted["ec50_high"].fill_null(np.inf).to_numpy()
    figures |= coverage(low, high, true)
    return figures | _agreement(found, np.array([own[row["perturbation"]] for row, _ in rows]), "of the simulator")


def coverage(low: Array, high: Array, true: Array) -> dict[str, float]:
    """Say how often 90 % intervals hold, on which side they miss, and how many have both ends."""
    holds, bounded = (low <= true) & (true <= high), (low > 0) & np.isfinite(high)
    return {
        "90 % intervals that hold the EC50 of the true score": float(holds.mean()),
        "of the others, true EC50s above the interval": float((true > high).sum() / max((~holds).sum(), 1)),
        "intervals with both ends within the doses": float(bounded.mean()),
        "of these hold": float(holds[bounded].mean()) if bounded.any() else float("nan"),
        "their median factor from end to end": float(np.exp(np.median(np.log(high[bounded] / low[bounded])))),
    }


def decided_curves(doses: pl.DataFrame) -> pl.DataFrame:
    """Keep the fitted and rising curves whose efficacy is decided."""
    return doses.filter((pl.col("efficacy") == "decided") & (pl.col("outcome") == "fitted") & (pl.col("emax") > 0))


def true_ec50(points: pl.DataFrame) -> float:
    """Return the EC50 of a Hill curve through the true scores of one drug in one line."""
    scores = points["true"].to_numpy()
    errors = np.full(len(scores), max(0.02 * float(np.abs(scores).max()), 1e-9))
    return float(fit_hill(points["dose"].to_numpy(), scores, errors).ec50[0])


def _agreement(found: Array, true: Array, what: str) -> dict[str, float]:
    return {
        f"EC50, Spearman with that {what}": float(stats.spearmanr(found, true).statistic),
        f"EC50, median factor from that {what}": float(np.exp(np.median(np.abs(np.log(found / true))))),
    }


def by_scaffold(drugs: list[AnnotatedDrug]) -> dict[str, Any]:
    """Show the scaffolds with the most surprising number of hits."""
    scaffolds = pl.read_parquet(FOLDER / "screen/scaffolds.parquet")
    columns = ["scaffold", "drugs", "hits", "mean_score", "p_fisher", "q_value", "names"]
    table(columns, scaffolds.head(6).select(columns).rows())
    tested = scaffolds.filter(pl.col("p_fisher").is_not_null())
    hit_drugs = pl.read_parquet(FOLDER / "screen/hits.parquet").filter(pl.col("decision") == "hit")["perturbation"]
    hit_names = {label.split("@")[0] for label in hit_drugs}
    of_class = {drug.name for drug in drugs if CLASS in drug.targets}
    return {
        "scaffolds": scaffolds.height,
        "of these with two drugs or more": tested.height,
        "lowest q_value of a scaffold": float(tested["q_value"].min() or 0.0),  # type: ignore[arg-type]
        f"drugs of the class {CLASS}": len(of_class),
        "of these a hit somewhere": len(of_class & hit_names),
        "other drugs that are a hit somewhere": len({drug.name for drug in drugs} & hit_names - of_class),
    }


def training() -> dict[str, Any]:
    """Return the training's specification."""
    roles = ("perturbation", "perturbation_type", "dose", "cell_type")
    return {
        "kind": "train",
        "name": "large",
        "data": {"path": str(FOLDER / "cells.h5ad"), "columns": {role: role for role in roles}},
        "training": {"epochs": EPOCHS, "learning_rate": 0.001, "seed": 0, "resume": False},
        "pseudo_perturbations": {"groups": 20},
        "output": str(FOLDER / "model"),
        "licence": "simulated cells; structures and annotations as in the priors",
    }


def screen(simulation: DrugSimulation, up: list[int], down: list[int]) -> dict[str, Any]:
    """Return the screen's specification."""
    return {
        "kind": "screen",
        "name": "large",
        "model": str(FOLDER / "model"),
        "contexts": {"cell_type": "all_seen"},
        "perturbations": {
            "drug": {"file": str(FOLDER / "drugs.tsv"), "name": "name", "smiles": "smiles"},
            "genetic": "all_seen",
        },
        "objective": {
            "kind": "signature",
            "up": [simulation.genes[gene] for gene in up],
            "down": [simulation.genes[gene] for gene in down],
        },
        "estimator": ESTIMATOR,
        "output": str(FOLDER / "screen"),
        "compute": {"backend": "in_process"},
    }


def write(name: str, content: dict[str, Any]) -> Path:
    """Write a specification into the folder."""
    path = FOLDER / name
    path.write_text(yaml.safe_dump(content, allow_unicode=True, sort_keys=False), encoding="utf-8")
    return path


if __name__ == "__main__":
    main(measure, __doc__ or "")
