"""Do the intervals of an EC50 hold it? On a small simulated screen that nothing was chosen by, and on the large one.

Sixty of the 188 drugs in three lines at six doses, eight cells a dose and line, simulated as in
`benchmarks.large_campaign` with another seed. The large campaign is compared where its results are there. The truth is
the EC50 of a Hill curve through the true scores; the curves are the fitted and rising ones whose efficacy is decided.
Three ways to an error of a score, with the same draws:

- ``as in the ranked table``: the null's error at every dose, as if each had been learned from all cells of the drug;
- ``shared out``: √doses times that, because its cells are spread over them;
- ``held down``: and what few cells lose in training, read off the null; this is what ``doses.parquet`` has.

A model or a block that is in the results folder already is not made again; remove the folder to measure anew.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import numpy as np
import polars as pl

from benchmarks import large_campaign as large
from benchmarks.drugs import real_drugs
from benchmarks.report import RESULTS, Figures, Silent, main, table
from campaigns.source import load_training
from lingshu_core.drug_simulator import AnnotatedDrug, DrugSimulation, DrugSimulationConfig, simulate_drugs
from screening.answers.dose_response import DRAWS, LEAST_ERROR, shares_left
from screening.answers.hill_curve import posterior_draws
from screening.run import run_campaign
from screening.training.training_request import train_spec
from screening.training.training_run import training_config

OF_CLASS, OTHERS, KNOCK_OUTS = 20, 40, 6
DESIGNS: Mapping[str, DrugSimulationConfig] = {
    "six_doses": dataclasses.replace(
        large.CONFIG, seed=1, cell_lines=3, doses=(0.03, 0.1, 0.3, 1.0, 3.0, 10.0), cells=24, control_cells=500
    ),
}
WAYS = ("as in the ranked table", "shared out", "held down")


def measure() -> Figures:
    """Simulate, train and screen every design, and compare intervals with the truth; all figures."""
    figures: dict[str, Any] = {}
    for name, config in DESIGNS.items():
        with design(name, config):
            figures[name] = compared(_screened(_drugs()))
    if (large.FOLDER / "screen/doses.parquet").exists():
        drugs = [drug for drug in real_drugs() if drug.smiles]
        simulation = simulate_drugs([*drugs, *large.knock_outs(drugs)], large.CONFIG)
        figures["large_campaign"] = compared(_truth(simulation, len(drugs)))
    rows = [[name, way, *found.values()] for name, ways in figures.items() for way, found in ways.items()]
    first = next(iter(figures.values()))
    table(["screen", "error of a score", *first[WAYS[0]]], rows)
    return figures


@contextmanager
def design(name: str, config: DrugSimulationConfig) -> Iterator[None]:
    """Let the functions of the large campaign work on another simulation, in another folder."""
    kept = large.FOLDER, large.CONFIG
    large.FOLDER, large.CONFIG = RESULTS / "dose_intervals" / name, config
    large.FOLDER.mkdir(parents=True, exist_ok=True)
    try:
        yield
    finally:
        large.FOLDER, large.CONFIG = kept


def _drugs() -> list[AnnotatedDrug]:
    known = [drug for drug in real_drugs() if drug.smiles]
    of_class = [drug for drug in known if large.CLASS in drug.targets]
    return of_class[:OF_CLASS] + [drug for drug in known if drug not in of_class][:OTHERS]


def _screened(drugs: list[AnnotatedDrug]) -> pl.DataFrame:
    """Train, screen and return the true scores."""
    simulation = simulate_drugs([*drugs, *large.knock_outs(drugs)[:KNOCK_OUTS]], large.CONFIG)
    large.write_cells(simulation, len(drugs))
    if not (large.FOLDER / "model/weights.safetensors").exists():
        spec = load_training(large.write("train.yaml", large.training())).spec
        train_spec(spec, training_config(spec, {}))
    up, down = large.signature(simulation, len(drugs))
    run_campaign(large.write("screen.yaml", large.screen(simulation, up, down)), Silent(), {})
    return _truth(simulation, len(drugs))


def _truth(simulation: DrugSimulation, drugs: int) -> pl.DataFrame:
    up, down = large.signature(simulation, drugs)
    return large.true_scores(simulation, drugs, up, down)


def compared(truth: pl.DataFrame) -> dict[str, dict[str, float]]:
    """Say how often intervals hold the true EC50, by each way to an error."""
    screen = large.FOLDER / "screen"
    hits = pl.read_parquet(screen / "hits.parquet").join(truth, on=["perturbation", "context"]).sort("dose")
    series = dict(hits.group_by("name", "context", maintain_order=True))
    curves = large.decided_curves(pl.read_parquet(screen / "doses.parquet"))
    chosen = [series[row["perturbation"], row["context"]] for row in curves.iter_rows(named=True)]
    true = np.array([large.true_ec50(rows) for rows in chosen])
    left = shares_left(pl.read_parquet(screen / "null.parquet"))
    found = {}
    for way in WAYS:
        ends = np.array([_interval(rows, way, left[rows["context"][0]]) for rows in chosen])
        found[way] = {"curves": len(chosen), **large.coverage(ends[:, 0], ends[:, 1], true)}
    return found


def _interval(rows: pl.DataFrame, way: str, left: float) -> tuple[float, float]:
    """Return the 90 % interval of an EC50; open ends are 0 and infinite."""
    doses, scores = rows["dose"].to_numpy(), rows["score"].to_numpy()
    times = {WAYS[0]: 1.0, WAYS[1]: len(doses), WAYS[2]: len(doses) / left}[way]
    own = np.square(rows["score_se"].to_numpy()) + times * np.square(rows["null_sd"].to_numpy())
    errors = np.maximum(np.sqrt(own), LEAST_ERROR * np.abs(scores).max())
    drawn = posterior_draws(doses, scores, errors, DRAWS, np.random.default_rng(0))
    low, high = np.quantile(drawn.ec50, (0.05, 0.95))
    return low if low >= doses[0] else 0.0, high if high <= doses[-1] else np.inf


if __name__ == "__main__":
    main(measure, __doc__ or "")
