"""Does a batch of `lingshu suggest` teach a model more than a random one of equal size? Simulated cells, known truth.

Every perturbation is measured in one of three cell types at first, by 4 to 40 cells; the other conditions are the pool.
An ensemble of three learns from that and screens everything. Then a batch of the pool is measured, 40 cells a
condition, and the ensemble is trained anew with these cells: the batch of `suggest`, that of the largest predicted
effects, that of the perturbations with the fewest cells, and five random ones. Errors are those of predicted effects of
all genes (log1p counts per 10k) against the true ones: over the whole pool, over what of it is unmeasured still, and
over the true hits in it, each as a share of the error of the first ensemble over the same conditions. The score counts
too: its rank correlation with the true one, over the pool.

Simulations, batches and figures were fixed before the first run; the seed is that of the simulation and of the draws.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import anndata
import numpy as np
import numpy.typing as npt
import polars as pl
from scipy import stats

from benchmarks.report import RESULTS, Figures, Silent, main, table
from campaigns.source import load_training
from lingshu_core.metrics import pearson_delta, spearman
from lingshu_core.simulation_config import SimulationConfig
from lingshu_core.simulator import Simulation, simulate
from screening.following_up.suggestions import SuggestionRequest, propose, read_effects
from screening.publishing.publication import open_results
from screening.run import run_campaign
from screening.training.ensemble_training import train_ensemble
from screening.training.training_run import training_config

Array = npt.NDArray[np.float64]
Condition = tuple[str, str]
"""Perturbation and cell type."""

FOLDER = RESULTS / "suggest"
SEEDS = (2, 3, 4)
"""Not 0 and 1, which were looked at when `suggest` was changed."""
BATCH, RANDOM_BATCHES, CELLS = 8, 5, 40
FEWEST_CELLS = 4
"""Of a perturbation at first; the most is CELLS."""
CONFIG: dict[str, Any] = {
    **{"genes": 60, "regulators": 20, "program_genes": 12, "cell_types": 3, "donors": 1, "batches": 1},
    **{"knockouts": 14, "knockdowns": 2, "drugs": 0, "combinations": 4, "measured_share": 1.0, "hit_margin": 0.02},
    **{"planted_knockouts": 4, "planted_knockdowns": 1, "planted_combinations": 2, "planted_drugs": 0},
    **{"control_cells": 150, "cells_per_condition": CELLS, "truth_draws": 64, "truth_replicates": 2},
}
TRAINING = """\
kind: train
name: suggest
data:
  path: {folder}/cells.h5ad
  columns: {{perturbation: perturbation, perturbation_type: perturbation_type, cell_type: cell_type}}
training: {{epochs: 12, warmup_steps: 20, learning_rate: 0.002, seeds: 3, device: cpu}}
output: {folder}/model
"""
SCREEN = """\
kind: screen
name: suggest
model: {folder}/model
contexts: all_seen
perturbations: {{genetic: all_seen}}
objective:
  kind: signature
  gene_set: {{file: {world}/program.gmt, name: SIMULATED_PROGRAM, direction: down}}
estimator: {{shards: 8, depth_strata: 4, steps: 3}}
output: {folder}/screen
compute: {{backend: in_process}}
"""
MEASURES = ("pool", "unmeasured", "hits", "score_rank")


@dataclass(frozen=True)
class World:
    """A simulated experiment: what was measured at first, and what could be."""

    folder: Path
    simulation: Simulation
    first: npt.NDArray[np.bool_]
    """Cells of the first experiment, (cells,)."""
    pool: list[Condition]
    truth: dict[Condition, Array]
    scores: dict[Condition, float]
    hits: set[Condition]


@dataclass(frozen=True)
class Screened:
    """What an ensemble predicts."""

    hits: pl.DataFrame
    effects: dict[Condition, Array]

    def errors(self, world: World, conditions: Sequence[Condition]) -> float:
        """Return the root mean squared error over genes and conditions, in log1p counts per 10k."""
        wrong = [self.effects[each] - world.truth[each] for each in conditions]
        return float(np.sqrt(np.mean(np.square(wrong))))

    def pearson(self, world: World) -> float:
        """Return the mean Pearson-Δ over the pool."""
        return float(np.mean([pearson_delta(self.effects[each], world.truth[each]) for each in world.pool]))

    def score_rank(self, world: World) -> float:
        """Return the rank correlation of predicted and true scores over the pool."""
        scores = dict(zip(_keys(self.hits), self.hits["score"], strict=True))
        true = [-world.scores[each] for each in world.pool]  # the programme lowered is a high score
        return spearman(np.array([scores[each] for each in world.pool]), np.array(true))


def measure() -> Figures:
    """Run every seed and print how far each batch brought the model."""
    started, rows = time.process_time(), []
    for seed in SEEDS:
        rows += _one_world(seed)
        print(f"seed {seed}: {time.process_time() - started:.0f} CPU seconds so far", file=sys.stderr, flush=True)
    columns = ["seed", "batch", "perturbations", *MEASURES, "pearson_delta"]
    frame = pl.DataFrame(rows, schema=columns, orient="row")
    table(columns, frame.rows())
    figures: dict[str, Any] = {"cpu_seconds": time.process_time() - started}
    summary = []
    for name in ("suggest", "largest effects", "fewest cells", "random"):
        own = _by_seed(frame, name)
        figures |= {f"{name}: {what}": float(own[what].mean()) for what in (*MEASURES, "pearson_delta")}  # type: ignore[arg-type]
        summary.append([name, *(figures[f"{name}: {what}"] for what in (*MEASURES, "pearson_delta"))])
    table(["batch, means over seeds", *MEASURES, "pearson_delta"], summary)
    print("\nless random, mean over seeds with its 90 % interval (Student t), and random batches that did better")
    differences = []
    for name in ("suggest", "largest effects", "fewest cells"):
        for what in (*MEASURES, "pearson_delta"):
            found = _against_random(frame, name, what)
            figures |= {f"{name} less random, {what}": found}
            differences.append([name, what, *found])
    table(["batch", "measure", "difference", "low", "high", "random ones better, of all"], differences)
    return figures


def _one_world(seed: int) -> list[list[Any]]:
    world = make_world(seed)
    before = learned(world, "first", [])
    batches = {
        "suggest": suggested(world, before),
        "largest effects": _most(world, {each: float(np.linalg.norm(before.effects[each])) for each in world.pool}),
        "fewest cells": _most(world, _cells_lacking(world)),
    }
    random = np.random.default_rng([seed, 61])
    for number in range(RANDOM_BATCHES):
        drawn = random.choice(len(world.pool), BATCH, replace=False)
        batches[f"random {number}"] = [world.pool[place] for place in drawn]
    rows: list[list[Any]] = [[seed, "none", 0, 1.0, 1.0, 1.0, before.score_rank(world), before.pearson(world)]]
    for name, batch in batches.items():
        after = learned(world, name.replace(" ", "-"), batch)
        left = [each for each in world.pool if each not in batch]
        true = [each for each in world.pool if each in world.hits]
        shares = [after.errors(world, part) / before.errors(world, part) for part in (world.pool, left, true)]
        perturbations = len({perturbation for perturbation, _ in batch})
        rows.append([seed, name, perturbations, *shares, after.score_rank(world), after.pearson(world)])
    return rows


def make_world(seed: int) -> World:
    """Simulate, and draw what is measured at first: of each perturbation one cell type and some cells."""
    simulation, folder = simulate(SimulationConfig(**CONFIG, seed=seed)), FOLDER / str(seed)
    simulation.write(folder)
    random = np.random.default_rng([seed, 59])
    obs, truth = simulation.cells.obs, simulation.true_effects
    labels, types = obs["perturbation"].astype(str).to_numpy(), obs["cell_type"].astype(str).to_numpy()
    first, pool = labels == "control", []
    for perturbation in sorted(set(labels) - {"control"}):
        own = str(random.choice(sorted(set(types))))
        number = int(np.exp(random.uniform(np.log(FEWEST_CELLS), np.log(CELLS))))
        first[random.permutation(np.flatnonzero((labels == perturbation) & (types == own)))[:number]] = True
        pool += [(perturbation, each) for each in sorted(set(types)) if each != own]
    keys = list(zip(truth.obs["perturbation"].astype(str), truth.obs["cell_type"].astype(str), strict=True))
    effects = dict(zip(keys, np.asarray(truth.X, dtype=np.float64), strict=True))
    scores = dict(zip(keys, truth.obs["true_score"].astype(float), strict=True))
    hits = {key for key, hit in zip(keys, truth.obs["true_hit"], strict=True) if hit}
    return World(folder, simulation, first, pool, effects, scores, hits)


def learned(world: World, name: str, batch: Sequence[Condition]) -> Screened:
    """Train an ensemble on the first cells and those of a batch, and screen everything."""
    folder = world.folder / name
    folder.mkdir(parents=True, exist_ok=True)
    obs = world.simulation.cells.obs
    keys = zip(obs["perturbation"].astype(str), obs["cell_type"].astype(str), strict=True)
    chosen = world.first | np.array([key in set(batch) for key in keys])
    world.simulation.cells[chosen].write_h5ad(folder / "cells.h5ad")
    (folder / "train.yaml").write_text(TRAINING.format(folder=folder))
    (folder / "screen.yaml").write_text(SCREEN.format(folder=folder, world=world.folder))
    spec = load_training(folder / "train.yaml").spec
    train_ensemble(spec, training_config(spec, {}))
    hits = run_campaign(folder / "screen.yaml", Silent()).hits
    effects = anndata.read_h5ad(folder / "screen/effects.h5ad")
    labels = zip(effects.obs["perturbation"].astype(str), effects.obs["cell_type"].astype(str), strict=True)
    return Screened(hits, dict(zip(labels, np.asarray(effects.X, dtype=np.float64), strict=True)))


def suggested(world: World, before: Screened) -> list[Condition]:
    """Return the batch that `lingshu suggest` proposes out of the pool."""
    place = str(world.folder / "first/screen")
    in_pool = before.hits.filter(pl.Series([key in set(world.pool) for key in _keys(before.hits)]))
    found = propose(in_pool, read_effects(open_results(place)), SuggestionRequest(place, BATCH)).batch
    return [(row[0], row[1].removeprefix("cell_type=")) for row in found.select("perturbation", "context").iter_rows()]


def _cells_lacking(world: World) -> dict[Condition, float]:
    cells = world.simulation.cells.obs["perturbation"][world.first].value_counts()
    return {each: -float(cells[each[0]]) for each in world.pool}


def _most(world: World, worth: dict[Condition, float]) -> list[Condition]:
    return sorted(world.pool, key=lambda each: (-worth[each], each))[:BATCH]


def _keys(hits: pl.DataFrame) -> list[Condition]:
    return [(str(perturbation), str(kind)) for perturbation, kind in hits.select("perturbation", "cell_type").rows()]


def _by_seed(frame: pl.DataFrame, name: str) -> pl.DataFrame:
    """Average the batches of one name within seeds; a row a seed."""
    return frame.filter(pl.col("batch").str.starts_with(name)).drop("batch").group_by("seed").mean().sort("seed")


def _against_random(frame: pl.DataFrame, name: str, what: str) -> list[float]:
    own, random = _by_seed(frame, name)[what].to_numpy(), _by_seed(frame, "random")[what].to_numpy()
    apart = own - random
    margin = float(stats.t.ppf(0.95, len(apart) - 1) * apart.std(ddof=1) / np.sqrt(len(apart)))
    less_is_better = what in MEASURES[:3]
    drawn = frame.filter(pl.col("batch").str.starts_with("random"))
    better = [
        (value < mine) == less_is_better
        for seed, mine in zip(SEEDS, own, strict=True)
        for value in drawn.filter(pl.col("seed") == seed)[what]
    ]
    return [float(apart.mean()), float(apart.mean() - margin), float(apart.mean() + margin), float(np.mean(better))]


if __name__ == "__main__":
    main(measure, __doc__ or "")
