"""Allocation on hard cases: shards against `uniform` at equal recall of the 50 best, and whether certificates are kept.

Seeds and numbers of repetitions are constants below. A shard is what is counted: cells are shards times `depth_strata`
for every kind, so their ratios are the same.

- **halving** has rungs of 8, 32, 128 and 512 shards. `uniform` draws shards for all conditions alike, and is asked at
  every eighth shard; where its mean recall over the repetitions (made monotone by isotonic regression) reaches that of
  halving is interpolated. Intervals are from a bootstrap over repetitions; a repetition is a screen of its own.
- **certified** keeps its promise in a run if no condition that is `in` is more than ε below the 50th best, and none
  that is `out` more than ε above it.
"""

from __future__ import annotations

import sys
import time
from dataclasses import dataclass
from typing import Any

import numpy as np
from scipy.optimize import isotonic_regression

from benchmarks.allocation_cases import CASES, CONDITIONS, TOP, Array, SimulatedScreen
from benchmarks.report import Figures, main, table
from screening.allocating.allocation import FINALIST, IN, OUT, UNDECIDED, Allocation
from screening.allocating.certified import Certified
from screening.allocating.halving import Halving, build_ladder

SEED = 20_261_122
HALVING_RUNS = 60
CERTIFIED_RUNS = 20
"""Of each of the five cases: 100 in all."""
FIRST, MOST, FACTOR = 8, 512, 4
UNIFORM_MOST, UNIFORM_STEP = 1_024, 8
EPSILON, DELTA, CAP = 0.05, 0.05, 8_192
RESAMPLES = 1_000


def measure() -> Figures:
    """Measure both kinds on all cases; all figures."""
    halving = {name: _halving(name) for name in CASES}
    table(
        [
            "halving",
            "recall@50",
            "shards a condition",
            "uniform needs",
            "times fewer",
            "90 % interval",
            "curse",
            "fresh",
        ],
        [[name, *found.row] for name, found in halving.items()],
    )
    print()
    certified = {name: [_certified(name, run) for run in range(CERTIFIED_RUNS)] for name in CASES}
    table(
        ["certified", "kept", "recall@50", "undecided, median", "shards a condition", "rounds", "seconds a run"],
        [[name, *_certified_row(found)] for name, found in certified.items()],
    )
    runs = [run for found in certified.values() for run in found]
    return {
        "halving_ratio": min(found.ratio for found in halving.values()),
        "halving_ratios": {name: found.ratio for name, found in halving.items()},
        "halving_ratio_intervals": {name: found.interval for name, found in halving.items()},
        "halving_recall": {name: found.recall for name, found in halving.items()},
        "certified_kept": sum(run.kept for run in runs),
        "certified_runs": len(runs),
        "certified_shards": {
            name: float(np.median([run.shards for run in found])) for name, found in certified.items()
        },
    }


def play(allocation: Allocation, screen: SimulatedScreen) -> tuple[int, int]:
    """Give an allocation what it asks for until it asks no more; returns shards and rounds."""
    given, rounds = np.zeros(CONDITIONS, dtype=np.int64), 0
    while (allocation.wanted() > given).any():
        wanted, rounds = allocation.wanted().copy(), rounds + 1
        for number in np.unique(wanted - given)[1:] if (wanted == given).any() else np.unique(wanted - given):
            conditions = np.flatnonzero(wanted - given == number)
            for condition, scores in zip(conditions, screen.draw(conditions, int(number)), strict=True):
                allocation.observe(int(condition), scores)
        given = wanted
    return int(given.sum()), rounds


@dataclass(frozen=True)
class HalvingFigures:
    """Halving beside uniform on one case."""

    recall: float
    shards: float
    uniform: float
    interval: tuple[float, float]
    curse: float
    fresh: float

    @property
    def ratio(self) -> float:
        """How many times fewer shards than uniform at the same mean recall."""
        return self.uniform / self.shards

    @property
    def row(self) -> list[Any]:
        """The cells of its table."""
        low, high = self.interval
        numbers = [self.recall, self.shards, self.uniform, self.ratio]
        return [*numbers, f"{low:.1f} to {high:.1f}", self.curse, self.fresh]


def _halving(name: str) -> HalvingFigures:
    recalls, shards, curses, fresh, curves = [], [], [], [], []
    for run in range(HALVING_RUNS):
        screen = SimulatedScreen(CASES[name], [SEED, list(CASES).index(name), run])
        halving = Halving(CONDITIONS, build_ladder(CONDITIONS, TOP, FIRST, MOST, FACTOR), seed=run)
        given, _ = play(halving, screen)
        verdicts = [halving.verdict(condition) for condition in range(CONDITIONS)]
        finalists = [i for i, each in enumerate(verdicts) if each is not None and each.word == FINALIST]
        estimates = np.array([verdicts[i].estimate for i in finalists])  # type: ignore[union-attr]
        before = np.array([halving.scores.mean(i, 0, halving.ladder.rungs[-2].shards) for i in finalists])
        best = np.array(finalists)[np.argsort(-estimates)[:TOP]]
        recalls.append(screen.recall(best))
        shards.append(given / CONDITIONS)
        curses.append((before - screen.centres[finalists]).mean())
        fresh.append((estimates - screen.centres[finalists]).mean())
        curves.append(_uniform(screen))
    each, curve, used = np.array(recalls), np.stack(curves), np.array(shards)
    rng = np.random.default_rng(SEED)
    picks = rng.integers(HALVING_RUNS, size=(RESAMPLES, HALVING_RUNS))
    ratios = [_needed(curve[pick].mean(axis=0), each[pick].mean()) / used[pick].mean() for pick in picks]
    low, high = np.quantile(ratios, [0.05, 0.95])
    print(f"halving, {name}: done", file=sys.stderr, flush=True)
    return HalvingFigures(
        float(each.mean()),
        float(used.mean()),
        _needed(curve.mean(axis=0), float(each.mean())),
        (float(low), float(high)),
        float(np.mean(curses)),
        float(np.mean(fresh)),
    )


def _uniform(screen: SimulatedScreen) -> Array:
    """Return the recall of uniform after every eighth shard."""
    totals, recalls = np.zeros(CONDITIONS), []
    for _ in range(0, UNIFORM_MOST, UNIFORM_STEP):
        totals += screen.draw(np.arange(CONDITIONS), UNIFORM_STEP).sum(axis=1)
        recalls.append(screen.recall(np.argsort(-totals, kind="stable")[:TOP]))
    return np.array(recalls)


def _needed(curve: Array, recall: float) -> float:
    """Return the shards of every condition at which a mean recall is first reached, between two steps by a line."""
    rising = np.asarray(isotonic_regression(curve).x)
    place = int(np.searchsorted(rising, recall))
    if place >= len(rising):
        return float(UNIFORM_MOST)  # at least
    if place == 0:
        return float(UNIFORM_STEP)
    share = (recall - rising[place - 1]) / (rising[place] - rising[place - 1])
    return float(UNIFORM_STEP * (place + share))


@dataclass(frozen=True)
class CertifiedRun:
    """One run of certified, judged by the truth."""

    kept: bool
    recall: float
    undecided: int
    shards: float
    rounds: int
    seconds: float


def _certified(name: str, run: int) -> CertifiedRun:
    screen = SimulatedScreen(CASES[name], [SEED, list(CASES).index(name), run, 1])
    found = Certified(CONDITIONS, top=TOP, epsilon=EPSILON, delta=DELTA, first=FIRST, most=CAP, unit=8)
    began = time.perf_counter()
    shards, rounds = play(found, screen)
    words, best = found.words, np.argsort(-found.estimates)[:TOP]
    wrong_in = (words == IN) & (screen.centres < screen.kth - EPSILON)
    wrong_out = (words == OUT) & (screen.centres > screen.kth + EPSILON)
    kept, seconds = not (wrong_in | wrong_out).any(), time.perf_counter() - began
    print(f"certified, {name}: run {run}, kept: {kept}", file=sys.stderr, flush=True)
    undecided = int((words == UNDECIDED).sum())
    return CertifiedRun(kept, screen.recall(best), undecided, shards / CONDITIONS, rounds, seconds)


def _certified_row(runs: list[CertifiedRun]) -> list[Any]:
    medians = {
        name: float(np.median([getattr(run, name) for run in runs])) for name in ("undecided", "rounds", "seconds")
    }
    shards = [run.shards for run in runs]
    low, high = np.quantile(shards, [0.05, 0.95])
    return [
        f"{sum(run.kept for run in runs)} of {len(runs)}",
        float(np.mean([run.recall for run in runs])),
        medians["undecided"],
        f"{np.median(shards):.0f} ({low:.0f} to {high:.0f})",
        medians["rounds"],
        medians["seconds"],
    ]


if __name__ == "__main__":
    main(measure, __doc__ or "")
