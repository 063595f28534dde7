"""An ensemble on Papalexi 2021: does the spread between members tell where the model is wrong?

Three members, replicate 3 held out of training; objective "interferon-gamma response down". Predicted scores are
compared with the depth-matched scores of the held-out cells, for every member alone and for the ensemble.
"""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import Any

import anndata
import numpy as np
import polars as pl

from benchmarks.papalexi import HELD_OUT
from benchmarks.report import EXAMPLES, RESULTS, Figures, Silent, main, table
from campaigns.source import load_training
from lingshu_core.baselines import real_effect
from lingshu_core.cells import Cells
from lingshu_core.differences import matched_effect
from lingshu_core.metrics import spearman
from screening.objective.readouts import read_data
from screening.planning.campaign import load_campaign, plan_campaign
from screening.run import run_campaign
from screening.training.ensemble_training import EnsembleResult, train_ensemble
from screening.training.training_run import training_config

SEEDS = (0, 1, 2)
FOLDER = RESULTS / "ensemble"
SCREEN = EXAMPLES / "papalexi/screen.yaml"


@dataclass(frozen=True)
class Real:
    """What the held-out cells say of one knock-out: scores in log1p counts per 10k, their noise, effects by gene."""

    raw: float
    matched: float
    noise: float
    effects: np.ndarray


def measure() -> Figures:
    """Train, screen and compare; all figures."""
    loaded = load_training(EXAMPLES / "papalexi/train.yaml").spec
    training = loaded.training.model_copy(update={"seeds": SEEDS})
    spec = loaded.model_copy(update={"hold_out": (HELD_OUT,), "training": training, "output": str(FOLDER / "model")})
    started = time.monotonic()
    trained = train_ensemble(spec, training_config(spec, {}))
    seconds = time.monotonic() - started
    hits, reused = _screens(trained)
    cells = read_data(spec.data)
    real = _real(cells, hits["ensemble"]["perturbation"].to_list())
    there = sum(member.result is None for member in trained.members)
    print(f"{len(SEEDS)} members, {there} of them there already, in {seconds:.0f} s")
    print(f"a member alone reuses {reused} blocks of the ensemble's")
    print("\nSpearman correlation with the real scores of replicate 3 over the 25 knock-outs")
    ranks = {name: _ranks(found, real) for name, found in hits.items()}
    table(["model", "raw", "matched"], [[name, *found] for name, found in ranks.items()])
    figures: dict[str, Any] = {f"{name}_raw": found[0] for name, found in ranks.items()}
    return {**figures, "seconds": seconds, **_calibration(hits["ensemble"], real), **_by_gene(real)}


def _screens(trained: EnsembleResult) -> tuple[dict[str, pl.DataFrame], int]:
    """Screen with the ensemble, then with each member alone into the same folder; and how much of that was there."""
    output = str(FOLDER / "screen")
    models = {"ensemble": trained.output}
    models |= {f"seed {m.seed}": f"{trained.output}/{m.folder}" for m in trained.members}
    local = {"output": output, "backend": "in_process", "replicas": 1}
    results = {name: run_campaign(SCREEN, Silent(), {"model": place, **local}) for name, place in models.items()}
    run_campaign(SCREEN, Silent(), {"model": trained.output, **local})  # effects.h5ad is that of the last run
    return {name: found.hits for name, found in results.items()}, results[f"seed {SEEDS[0]}"].reused


def _real(cells: Cells, names: list[str]) -> dict[str, Real]:
    test = cells.matching(HELD_OUT)
    campaign = load_campaign(SCREEN, {"model": str(FOLDER / "model")})
    weights = next(iter(plan_campaign(campaign).readouts.values())).weights
    return {name: _real_score(cells, test, name, weights) for name in names}


def _real_score(cells: Cells, test: Any, name: str, weights: Any) -> Real:
    perturbed, controls = test & np.asarray(cells.obs["perturbation"] == name), test & cells.is_control
    used = (weights != 0) & (np.array(cells.genes) != name)
    along = weights * used / used.sum()
    effects = matched_effect(cells, perturbed, controls)
    by_cell = [_scores(cells, group, along) for group in (perturbed, controls)]
    noise = float(np.sqrt(sum(scores.var(ddof=1) / len(scores) for scores in by_cell)))
    return Real(float(real_effect(cells, perturbed, controls) @ along), float(effects @ along), noise, effects)


def _scores(cells: Cells, group: Any, along: Any) -> np.ndarray:
    scaled = cells.counts[group].multiply(1e4 / cells.depth[group][:, None]).log1p()
    return np.asarray(scaled @ along).ravel()


def _ranks(hits: pl.DataFrame, real: dict[str, Real]) -> tuple[float, float]:
    predicted = hits["effect"].to_numpy()
    found = [real[name] for name in hits["perturbation"]]
    raw, matched = np.array([each.raw for each in found]), np.array([each.matched for each in found])
    return spearman(predicted, raw), spearman(predicted, matched)


def _calibration(hits: pl.DataFrame, real: dict[str, Real]) -> Figures:
    """Compare the spread of the score between members with how wrong it is; in control standard deviations."""
    found = [real[name] for name in hits["perturbation"]]
    scale = float(np.median(hits["effect"].to_numpy() / hits["score"].to_numpy()))
    error = hits["score"].to_numpy() - np.array([each.matched for each in found]) / scale
    noise = np.array([each.noise for each in found]) / scale
    spread, size = hits["score_sd"].to_numpy(), np.abs(hits["score"].to_numpy())
    figures = {
        "spread_and_error": spearman(spread, np.abs(error)),
        "size_and_error": spearman(size, np.abs(error)),
        "median_error": float(np.median(np.abs(error))),
        "median_spread": float(np.median(spread)),
        "median_monte_carlo": float(np.median(hits["score_se"].to_numpy())),
        "median_noise_of_the_real": float(np.median(noise)),
        "z_noise_alone": float(np.sqrt(np.mean(np.square(error / noise)))),
        "z_noise_and_spread": float(np.sqrt(np.mean(np.square(error) / (np.square(noise) + np.square(spread))))),
    }
    print("\nscores of the ensemble: spread between members against the error on replicate 3")
    table(list(figures), [list(figures.values())])
    rows = hits.select("perturbation", "score", "score_se", "score_sd").rows()
    shown = [[*row, row[1] - wrong, own] for row, wrong, own in zip(rows, error, noise, strict=True)]
    table(["perturbation", "predicted", "Monte Carlo error", "spread", "real", "noise of the real"], shown)
    return figures


def _by_gene(real: dict[str, Real]) -> Figures:
    """Compare spread and error of every gene's effect, own targets left out."""
    effects = anndata.read_h5ad(FOLDER / "screen/effects.h5ad")
    truth = np.stack([real[str(name)].effects for name in effects.obs["perturbation"]])
    others = np.array([[gene != name for gene in effects.var_names] for name in effects.obs["perturbation"]])
    error = np.abs(np.asarray(effects.X) - truth)[others]
    spread, size = effects.layers["effect_sd"][others], np.abs(np.asarray(effects.X))[others]
    figures = {
        "genes": int(others.sum()),
        "gene_spread_and_error": spearman(spread, error),
        "gene_size_and_error": spearman(size, error),
        "gene_spread_beyond_size": _partial(spread, error, size),
    }
    print("\neffects of single genes: Spearman correlation with the size of the error")
    table(list(figures), [list(figures.values())])
    return figures


def _partial(first: np.ndarray, second: np.ndarray, given: np.ndarray) -> float:
    """Return the rank correlation of two lists once a third is taken out of both."""
    both, one, other = spearman(first, second), spearman(first, given), spearman(second, given)
    return float((both - one * other) / np.sqrt((1 - one**2) * (1 - other**2)))


if __name__ == "__main__":
    main(measure, __doc__ or "")
