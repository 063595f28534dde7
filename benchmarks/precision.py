"""A precision in place of a fixed number of shards: passes, and how many conditions are as precise as promised.

Papalexi's 25 knock-outs, objective "interferon-gamma response down", both estimators, 16 depth strata, 6 steps. The
model draws a bank of paired shards of every condition once; in a repetition the rule takes what it wants of shards that
are dealt from the bank with replacement. So the true effect and the true scatter of each condition are known, those of
its bank, and outliers and skew are the model's.

- **fixed** is the least number of shards, in eights, with which *every* condition has a standard error of the precision
  or less by the true scatter: what somebody would choose who knew it beforehand.
- Simulated shards (normal, Student t with 3 degrees of freedom, log-normal with sd of the logarithm 1) show what
  stopping by the scatter does; all conditions are alike there, so a fixed number known beforehand can't be beaten.
- Passes count the control of the context too, which has as many shards as any condition.
"""

from __future__ import annotations

import sys
from dataclasses import dataclass
from math import ceil
from typing import Any

import numpy as np
import numpy.typing as npt
from scipy import stats

from benchmarks.report import EXAMPLES, RESULTS, Figures, main, table
from benchmarks.variance import trained_model
from campaigns.plan import SHARDS_PER_BLOCK
from lingshu_core.conditioning import Condition
from lingshu_core.depths import pooled_depths
from lingshu_core.estimator import EstimatorKind, ShardRequest, estimate_shard
from lingshu_core.randomness import RandomRoot
from lingshu_core.reveal import RevealSettings
from screening.allocating.precision import Precision
from screening.planning.campaign import load_campaign, plan_campaign

Array = npt.NDArray[np.float64]

CONTEXT = {"cell_type": "THP-1"}
CELLS, SETTINGS = 16, RevealSettings(steps=6, schedule="geometric", guidance=0.0)
BANK, MOST = 64, 1024
PRECISIONS: dict[EstimatorKind, tuple[float, ...]] = {"variance_reduced": (0.005, 0.0025), "sampled": (0.02, 0.01)}
"""log1p counts per 10k."""
REPETITIONS, SIMULATED_REPETITIONS = 200, 40
SIMULATED = {"normal, 4": 4, "normal, 16": 16, "normal, 50": 50, "Student t, 3": 16, "log-normal": 16}
"""Shards that the precision takes."""
FIRST = 8


def measure() -> Figures:
    """Measure both estimators; all figures."""
    figures: dict[str, float] = {}
    rows: list[list[Any]] = []
    for name, bank in simulated_banks().items():
        found = replay(bank, float(bank.std()) / np.sqrt(SIMULATED[name]), SIMULATED_REPETITIONS)
        rows.append([name, f"of {SIMULATED[name]} shards", *vars(found).values()])
        figures |= {f"{name}_{figure}": value for figure, value in vars(found).items()}
    for kind, precisions in PRECISIONS.items():
        bank = draw_bank(kind, BANK)
        for precision in precisions:
            found = replay(bank, precision)
            rows.append([kind, precision, *vars(found).values()])
            figures |= {f"{kind}_{precision:g}_{name}": value for name, value in vars(found).items()}
    table(["estimator", "precision", *vars(found)], rows)
    return figures


@dataclass(frozen=True)
class Replayed:
    """What came of a precision, over repetitions.

    Attributes
    ----------
    fixed
        Shards of each condition that a fixed number takes.
    shards
        Mean shards of a condition.
    ratio
        Passes of the fixed number over those of the precision, control and all.
    within
        Share of conditions whose true standard error is the precision or less; of those that didn't end at the cap.
    covered
        Share of 90 % Student intervals that hold the true effect.
    error_bias
        Mean standard error that is reported over the true one of as many shards.
    capped
        Share of conditions that ended at the cap.
    """

    fixed: int
    shards: float
    ratio: float
    within: float
    covered: float
    error_bias: float
    capped: float


def replay(bank: Array, precision: float, repetitions: int = REPETITIONS) -> Replayed:
    """Let the rule take shards of a bank, (conditions, shards), which are dealt anew in every repetition."""
    scatter, truth = bank.std(axis=1), bank.mean(axis=1)
    eights = ceil(float(np.square(scatter.max() / precision)) / SHARDS_PER_BLOCK)
    fixed = max(FIRST, SHARDS_PER_BLOCK * eights)
    rng = np.random.default_rng(0)
    played = [_play(_dealt(bank, rng), precision) for _ in range(repetitions)]
    shards = np.stack([each[0] for each in played])  # (repetitions, conditions)
    means, errors, words = (np.stack([each[part] for each in played]) for part in (1, 2, 3))
    is_covered = np.abs(means - truth) <= stats.t.ppf(0.95, shards - 1) * errors
    passes = shards.sum(axis=1) + shards.max(axis=1)
    return Replayed(
        fixed=fixed,
        shards=float(shards.mean()),
        ratio=float(fixed * (len(bank) + 1) / passes.mean()),
        within=float((scatter / np.sqrt(shards) <= precision)[words].mean()),
        covered=float(is_covered[words].mean()),
        error_bias=float((errors / (scatter / np.sqrt(shards)))[words].mean()),
        capped=float(1.0 - words.mean()),
    )


def _play(effects: Array, precision: float) -> tuple[Array, Array, Array, Array]:
    """Return shards, means, standard errors of every condition, and whether it is within the precision."""
    most = effects.shape[1]
    rule = Precision(len(effects), precision=precision, first=FIRST, most=most, unit=SHARDS_PER_BLOCK)
    given = np.zeros(len(effects), dtype=np.int64)
    while (rule.wanted() > given).any():
        wanted = rule.wanted().copy()
        for place in np.flatnonzero(wanted > given).tolist():
            rule.observe(place, effects[place, given[place] : wanted[place]])
        given = wanted
    taken = [each[:stop] for each, stop in zip(effects, given, strict=True)]
    errors = np.array([each.std(ddof=1) / np.sqrt(len(each)) for each in taken])
    within = np.array([rule.is_within(place) for place in range(len(effects))])
    return given.astype(np.float64), np.array([each.mean() for each in taken]), errors, within


def simulated_banks() -> dict[str, Array]:
    """Return banks of 100 conditions that are all alike, of shards with light and heavy tails and with skew."""
    rng, size = np.random.default_rng(1), (100, 400)
    drawn = {name: rng.normal(size=size) for name in SIMULATED if name.startswith("normal")}
    return {**drawn, "Student t, 3": rng.standard_t(3, size), "log-normal": np.exp(rng.normal(size=size))}


def _dealt(bank: Array, rng: np.random.Generator) -> Array:
    """Deal shards with replacement, for each condition on its own, (conditions, MOST)."""
    picks = rng.integers(bank.shape[1], size=(len(bank), MOST))
    return np.take_along_axis(bank, picks, axis=1)


def draw_bank(kind: EstimatorKind, shards: int) -> Array:
    """Return the effects of all knock-outs in so many paired shards, log1p counts per 10k, (conditions, shards)."""
    model = trained_model("papalexi")
    overrides = {"model": str(RESULTS / "variance/papalexi")}
    planned = plan_campaign(load_campaign(EXAMPLES / "papalexi/screen.yaml", overrides))
    weights = next(iter(planned.readouts.values())).weights
    names = [each.condition.perturbation.label for each in planned.plan.conditions if each.role == "perturbation"]
    own = [_without(weights, model.vocabulary.genes, name) for name in names]
    depths = pooled_depths(model.vocabulary, model.control_depths, CONTEXT)
    root = RandomRoot(0, "precision", kind)
    found = np.empty((len(names), shards))
    for shard in range(shards):
        control, *moved = (
            estimate_shard(
                model.denoiser, model.vocabulary, depths, ShardRequest(each, root, shard, CELLS, SETTINGS), kind
            )
            .moments[0]
            .astype(np.float64)
            for each in (Condition(CONTEXT), *(Condition(CONTEXT, ((name, None),)) for name in names))
        )
        found[:, shard] = [(each - control) @ weight for each, weight in zip(moved, own, strict=True)]
        if shard % 16 == 15:
            print(f"{kind}: {shard + 1} of {shards} shards", file=sys.stderr, flush=True)
    return found


def _without(weights: Array, genes: tuple[str, ...], target: str) -> Array:
    own = np.where(np.array(genes) == target, 0.0, weights)
    return np.asarray(own / np.count_nonzero(own))


if __name__ == "__main__":
    main(measure, __doc__ or "")
