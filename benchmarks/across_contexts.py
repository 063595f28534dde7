"""Pan-context and selective hits: on simulated screens with known truth, and on kinases in three glioblastoma lines.

Six simulated screens of the quickstart's size, each with a model and a null of its own: in three all cell types drive
the programme, so that hits are hits in all of them; in three only the first one does, so that all hits are selective.
A condition is a true hit as `lingshu simulate` counts it. All six are trained twice: with the default model, which
carries one effect over to every context, and with one in which the context may scale what a perturbation does.
"""

from __future__ import annotations

import sys
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import polars as pl
import yaml

from benchmarks.evaluation_sets import GLIOBLASTOMA
from benchmarks.norman import LICENCE, data_block
from benchmarks.report import DATA, EXAMPLES, RESULTS, Figures, Silent, main, table
from campaigns.source import load_training
from campaigns.training_spec import ModelSpec, PseudoPerturbationsSpec
from lingshu_core.simulation_config import SimulationConfig
from lingshu_core.simulator import simulate
from screening.answers.across_contexts import PAN_CONTEXT, SELECTIVE
from screening.answers.pan_context import PAN
from screening.answers.selective import SELECTIVE as IS_SELECTIVE
from screening.run import run_campaign
from screening.training.training_request import train_model, train_spec
from screening.training.training_run import training_config

SEEDS = (0, 1, 2)
QUIET = (0, 2)
"""Cell types, of three, that don't drive the programme."""
GROUPS = 20
KINASES = ("MAP2K3", "MAP2K6", "MAP3K21", "MAP4K3", "MAP4K5", "MAPK1", "PLK4", "SGK1", "TGFBR2")
"""Knocked down in all three lines."""
FOLDER = RESULTS / "across-contexts"
MODELS: Mapping[str, Mapping[str, bool | int | float]] = {"default": {}, "interaction": {"interaction": True}}
Keys = set[tuple[str, ...]]


def measure() -> Figures:
    """Train and screen what isn't there yet, and compare the decisions with the truth."""
    figures: dict[str, Any] = {}
    for model in MODELS:
        figures |= {f"{model}: {name}": value for name, value in _simulated(model).items()}
    return figures | glioblastoma()


def _simulated(model: str) -> dict[str, Any]:
    rows, counts, smaller = [], {"pan": [0, 0, 0], "selective": [0, 0, 0]}, 0
    for quiet in QUIET:
        for seed in SEEDS:
            found, truth = _calls(_screen(quiet, seed, model)), _truth(quiet, seed)
            row: list[Any] = [quiet, seed]
            for name in counts:
                correct = len(found[name] & truth[name])
                row += [len(truth[name]), len(found[name]), correct]
                triple = (len(truth[name]), len(found[name]), correct)
                counts[name] = [a + b for a, b in zip(counts[name], triple, strict=True)]
            row.append(len(found["pan"] & _everywhere(quiet, seed, model)))
            smaller += row[-1]
            rows.append(row)
            print(f"{model}, {quiet} quiet, seed {seed}: {row[2:]}", file=sys.stderr, flush=True)
    columns = [f"{name}: {what}" for name in counts for what in ("true", "called", "correct")]
    print(f"\n{model}")
    table(["quiet cell types", "seed", *columns, "pan: called, and a true effect in all of them"], rows)
    figures: dict[str, Any] = {"pan_precision_any_size": smaller / counts["pan"][1] if counts["pan"][1] else None}
    for name, (true, called, correct) in counts.items():
        figures |= {f"{name}_precision": correct / called if called else None, f"{name}_recall": correct / true}
    return figures | {f"{name}_counts": triple for name, triple in counts.items()}


def glioblastoma() -> dict[str, Any]:
    """Screen nine kinase knock-downs in three lines for a lower mesenchymal programme; counts of decisions."""
    folder = FOLDER / "glioblastoma"
    folder.mkdir(parents=True, exist_ok=True)
    training = {
        "kind": "train",
        "name": "kinases",
        "data": data_block(),
        "pseudo_perturbations": {"groups": GROUPS},
        "model": {"configuration": "direct"},
        "training": {"epochs": 15, "learning_rate": 0.001},
        "output": str(folder / "model"),
        "licence": LICENCE,
        "source": "Norman et al. 2019; McFaline-Figueroa et al. 2024",
    }
    gene_set = {"file": str(DATA / "priors/hallmark.gmt.gz"), "name": "HALLMARK_EPITHELIAL_MESENCHYMAL_TRANSITION"}
    screen = {
        "kind": "screen",
        "name": "kinases",
        "model": training["output"],
        "contexts": {"cell_type": list(GLIOBLASTOMA)},
        "perturbations": {"genetic": [f"{name} (CRISPRi)" for name in KINASES]},
        "objective": {"kind": "signature", "gene_set": {**gene_set, "direction": "down"}},
        "output": str(folder / "screen"),
        "compute": {"backend": "in_process"},
    }
    if not (folder / "model").exists():
        train_model(_written(folder / "train.yaml", training))
    hits = run_campaign(_written(folder / "screen.yaml", screen), Silent()).hits
    tables = {"conditions": hits} | {
        name: pl.read_parquet(folder / "screen" / file) for name, file in (("pan", PAN_CONTEXT), ("sel", SELECTIVE))
    }
    found = {f"glioblastoma_{name}": _counts(each) for name, each in tables.items()}
    table(["glioblastoma", "decisions"], list(found.items()))
    return found


def _screen(quiet: int, seed: int, model: str) -> Path:
    """Simulate, train and screen; a model that is there is not trained again."""
    folder = FOLDER / f"quiet-{quiet}-seed-{seed}"
    if not (folder / "cells.h5ad").exists():
        simulate(SimulationConfig(seed=seed, quiet_cell_types=quiet)).write(folder)
    if not (folder / model / "model").exists():
        spec = load_training(EXAMPLES / "quickstart/train.yaml").spec
        update = {
            "data": spec.data.model_copy(update={"path": str(folder / "cells.h5ad")}),
            "model": ModelSpec(configuration="direct", overrides=dict(MODELS[model])),
            "output": str(folder / model / "model"),
            "pseudo_perturbations": PseudoPerturbationsSpec(groups=GROUPS),
        }
        spec = spec.model_copy(update=update)
        train_spec(spec, training_config(spec, {}))
    gene_set = {"file": str(folder / "program.gmt"), "name": "SIMULATED_PROGRAM", "direction": "down"}
    overrides = {
        "model": str(folder / model / "model"),
        "output": str(folder / model / "screen"),
        "objective": {"kind": "signature", "gene_set": gene_set},
        "backend": "in_process",
    }
    run_campaign(EXAMPLES / "quickstart/screen.yaml", Silent(), overrides)
    return folder / model / "screen"


def _calls(folder: Path) -> dict[str, Keys]:
    pan = pl.read_parquet(folder / PAN_CONTEXT).filter(pl.col("decision") == PAN)
    selective = pl.read_parquet(folder / SELECTIVE).filter(pl.col("decision") == IS_SELECTIVE)
    return {"pan": _keys(pan, "perturbation"), "selective": _keys(selective, "perturbation", "context")}


def _truth(quiet: int, seed: int) -> dict[str, Keys]:
    """Say which perturbations are hits in all cell types, and which in one alone."""
    counted = _true_effects(quiet, seed).with_columns(
        hits=pl.col("true_hit").sum().over("perturbation"), types=pl.len().over("perturbation")
    )
    pan = counted.filter(pl.col("hits") == pl.col("types"))
    one = counted.filter(pl.col("true_hit") & (pl.col("hits") == 1))
    return {"pan": _keys(pan, "perturbation"), "selective": _keys(one, "perturbation", "context")}


def _everywhere(quiet: int, seed: int, model: str) -> Keys:
    """Say which perturbations have a true effect in all cell types that is no less than the minimum effect there."""
    hits = pl.read_parquet(FOLDER / f"quiet-{quiet}-seed-{seed}" / model / "screen/hits.parquet")
    least = hits.select("perturbation", "minimum_effect", context="cell_type")
    both = _true_effects(quiet, seed).join(least, on=["perturbation", "context"])
    far = both.with_columns(far=(-pl.col("true_score") >= pl.col("minimum_effect")).all().over("perturbation"))
    return _keys(far.filter("far"), "perturbation")


def _true_effects(quiet: int, seed: int) -> pl.DataFrame:
    """Read the truth with perturbations and contexts named as in the tables."""
    truth = pl.read_parquet(FOLDER / f"quiet-{quiet}-seed-{seed}" / "truth.parquet")
    dose = pl.col("dose").cast(pl.String).str.strip_suffix(".0")
    label = pl.when(pl.col("dose") > 0).then(pl.col("perturbation") + "@" + dose).otherwise("perturbation")
    return truth.with_columns(perturbation=label, context="cell_type")


def _keys(rows: pl.DataFrame, *columns: str) -> Keys:
    return {tuple(map(str, row)) for row in rows.select(columns).iter_rows()}


def _counts(rows: pl.DataFrame) -> dict[str, int]:
    found: Iterable[tuple[str, int]] = rows["decision"].value_counts().sort("decision").iter_rows()
    return dict(found)


def _written(path: Path, content: dict[str, Any]) -> Path:
    path.write_text(yaml.safe_dump(content, sort_keys=False))
    return path


if __name__ == "__main__":
    main(measure, __doc__ or "")
