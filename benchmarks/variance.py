"""Monte Carlo variance of an effect: expectations and common random numbers against drawing cells.

Both sides use the same number of cells (64), steps (3, geometric) and forward passes. "Sampled" is what a loop over
conditions does: independent cells for condition and control, depths drawn from the control's cells. Variances are
over 100 repetitions, in log1p counts per 10k; the two means are compared gene by gene within their errors.
"""

from __future__ import annotations

import sys
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch

from benchmarks.report import EXAMPLES, RESULTS, Figures, main, table
from campaigns.source import load_training
from lingshu_core.checkpoint import Checkpoint, load_checkpoint
from lingshu_core.conditioning import Condition, index_conditions
from lingshu_core.depths import pooled_depths
from lingshu_core.estimator import ShardRequest, estimate_shard, sampled_moments
from lingshu_core.randomness import RandomRoot
from lingshu_core.reveal import RevealSettings
from lingshu_core.sampler import sample_tokens, to_outer_counts
from screening.planning.campaign import load_campaign, plan_campaign
from screening.training.training_request import train_spec
from screening.training.training_run import training_config

CELLS, REPETITIONS = 64, 100
SETTINGS = RevealSettings(steps=3, schedule="geometric", guidance=0.0)


@dataclass(frozen=True)
class Case:
    """One effect that is estimated."""

    name: str
    context: dict[str, str]
    perturbation: str


CASES = (
    Case("papalexi", {"cell_type": "THP-1"}, "JAK2"),
    Case("kang", {"cell_type": "CD14+ Monocytes"}, "IFNB1"),
)


def measure() -> Figures:
    """Measure both cases; all figures."""
    figures: dict[str, float] = {}
    rows = []
    for case in CASES:
        found = _case(case)
        figures |= {f"{case.name}_{name}": value for name, value in found.items()}
        rows.append([f"{case.name}: {case.perturbation}", *found.values()])
        names = list(found)
    table(["case", *names], rows)
    return figures


def _case(case: Case) -> dict[str, float]:
    model = trained_model(case.name)
    weights = _weights(case)
    sampled, expected = [], []
    for repetition in range(REPETITIONS):
        sampled.append(_sampled_effect(model, case, repetition))
        expected.append(_expected_effect(model, case, repetition))
        if repetition % 20 == 19:
            print(f"{case.name}: {repetition + 1} of {REPETITIONS}", file=sys.stderr, flush=True)
    a, b = np.stack(sampled), np.stack(expected)
    variance_a, variance_b = a.var(axis=0, ddof=1), b.var(axis=0, ddof=1)
    moving = variance_a > 0
    z = (a.mean(axis=0) - b.mean(axis=0))[moving] / np.sqrt((variance_a + variance_b)[moving] / REPETITIONS)
    score_a, score_b = a @ weights, b @ weights
    return {
        "ratio": float(variance_a.sum() / variance_b.sum()),
        "ratio_low": _bootstrap(a, b)[0],
        "ratio_high": _bootstrap(a, b)[1],
        "median_gene_ratio": float(np.median(variance_a[moving] / np.maximum(variance_b[moving], 1e-30))),
        "score_ratio": float(score_a.var(ddof=1) / score_b.var(ddof=1)),
        "means_beyond_2_errors": float((np.abs(z) > 2).mean()),
        "score_means_z": float(
            (score_a.mean() - score_b.mean()) / np.sqrt((score_a.var(ddof=1) + score_b.var(ddof=1)) / REPETITIONS)
        ),
    }


def _bootstrap(a: Any, b: Any) -> tuple[float, float]:
    """Return a 90 % interval of the ratio of summed variances, over repetitions."""
    rng = np.random.default_rng(0)
    ratios = []
    for _ in range(200):
        one, other = rng.integers(len(a), size=len(a)), rng.integers(len(b), size=len(b))
        ratios.append(a[one].var(axis=0, ddof=1).sum() / b[other].var(axis=0, ddof=1).sum())
    low, high = np.quantile(ratios, [0.05, 0.95])
    return float(low), float(high)


def trained_model(name: str) -> Checkpoint:
    folder = RESULTS / f"variance/{name}"
    if not (folder / "manifest.json").exists():
        spec = load_training(EXAMPLES / f"{name}/train.yaml").spec.model_copy(update={"output": str(folder)})
        train_spec(spec, training_config(spec, {}))
    return load_checkpoint(str(folder))


def _weights(case: Case) -> Any:
    planned = plan_campaign(
        load_campaign(EXAMPLES / f"{case.name}/screen.yaml", {"model": str(RESULTS / f"variance/{case.name}")})
    )
    weights = next(iter(planned.readouts.values())).weights
    return weights / np.abs(weights).sum()


def _expected_effect(model: Checkpoint, case: Case, repetition: int) -> Any:
    depths = pooled_depths(model.vocabulary, model.control_depths, case.context)
    root = RandomRoot(repetition, "variance", "")
    moments = [
        estimate_shard(model.denoiser, model.vocabulary, depths, ShardRequest(c, root, 0, CELLS, SETTINGS)).moments[0]
        for c in _pair(case)
    ]
    return moments[0].astype(float) - moments[1]


def _sampled_effect(model: Checkpoint, case: Case, repetition: int) -> Any:
    depths = pooled_depths(model.vocabulary, model.control_depths, case.context)
    moments = []
    for side, condition in enumerate(_pair(case)):
        rng = np.random.default_rng([repetition, side])
        depth = rng.choice(depths, CELLS)
        batch = index_conditions(model.vocabulary, [condition] * CELLS, depth)
        shape = (CELLS, model.denoiser.genes)
        rank = torch.from_numpy(np.argsort(rng.random(shape), axis=1))
        uniforms = torch.from_numpy(rng.random(shape, dtype=np.float32))
        tokens = sample_tokens(model.denoiser, batch, rank, uniforms, SETTINGS)
        moments.append(sampled_moments(to_outer_counts(model.denoiser, tokens), depth)[0].astype(float))
    return moments[0] - moments[1]


def _pair(case: Case) -> tuple[Condition, Condition]:
    return Condition(case.context, ((case.perturbation, None),)), Condition(case.context)


if __name__ == "__main__":
    main(measure, __doc__ or "")
