"""Hit calling on simulated screens with known truth: false calls, realised FDR, power and coverage.

Scores of conditions and of pseudo-perturbations come from one simulated distribution of noise, and go through the same
code as those of a screen (`NullDistribution`, `decide`). The noise depends on the number of cells, and is correlated:
labels share cells by batches and genes by low-rank components, within and between contexts. Some screens are trained
end to end (`--trained N`, resumable; `benchmarks.hit_calling_trained`).
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import numpy.typing as npt
import polars as pl
from scipy import stats

from benchmarks.hit_calling_trained import trained_screens
from benchmarks.report import Figures, table
from campaigns.screen_spec import HitsSpec
from screening.deciding import score_posterior
from screening.deciding.decisions import HIT, decide
from screening.deciding.hits import hit_table
from screening.deciding.null_distribution import NullDistribution

Array = npt.NDArray[np.float64]
Draw = Callable[[np.random.Generator, tuple[int, ...]], Array]
Tails = Literal["learned", "heaviest", "normal"]

FDR = 0.1
NOTHING_SCREENS, TRUE_SCREENS, COVERAGE_SCREENS = 200, 40, 10
CONTEXTS, BATCHES, FACTORS, SHARED = 2, 8, 3, 0.3
"""Contexts of a screen, batches that labels belong to, low-rank components, and their share of the variance."""
TYPICAL_CELLS = 22.0

NOISE: Mapping[str, Draw] = {
    "normal": lambda random, size: random.normal(size=size),
    "t, 5 degrees": lambda random, size: random.standard_t(5, size) / np.sqrt(5 / 3),
    "skewed (gamma 4)": lambda random, size: (random.gamma(4, size=size) - 4) / 2,
    "unequal variances": lambda random, size: random.normal(size=size) * np.exp(random.normal(0, 0.5, size) - 0.25),
    "t, 3 degrees": lambda random, size: random.standard_t(3, size) / np.sqrt(3),
    "exponential": lambda random, size: random.exponential(size=size) - 1,
}
"""Blocks and conditions around their context's offset, with variance 1."""
PROMISED = ("normal", "t, 5 degrees", "skewed (gamma 4)", "unequal variances")
TAILS: tuple[Tails, ...] = ("learned", "heaviest", "normal")


@dataclass(frozen=True)
class Simulated:
    """A screen: its rows before anything is decided, standardised blocks (contexts, labels), and true effects."""

    rows: list[dict[str, Any]]
    blocks: Array
    truth: Mapping[tuple[str, str], float]


def simulated(draw: Draw, conditions: int, blocks: int, effects: Array, seed: list[int]) -> Simulated:
    """Draw a screen of so many conditions over all contexts; the first of them have ``effects``, all others none."""
    random, labels = np.random.default_rng(seed), conditions // CONTEXTS + blocks
    batch = random.integers(BATCHES, size=labels)
    # What labels share is the same in all contexts: their loadings on components, (labels, components).
    loadings = np.sqrt(0.5) * (random.normal(size=(BATCHES, FACTORS))[batch] + random.normal(size=(labels, FACTORS)))
    cells = np.exp(random.uniform(np.log(5), np.log(100), labels))
    cells[:blocks] = np.quantile(cells[blocks:], (np.arange(blocks) + 0.5) / blocks)  # as the training draws groups
    places = np.concatenate([effects, np.zeros(conditions - len(effects))]).reshape(-1, CONTEXTS)
    rows: list[dict[str, Any]] = []
    standardised, truth = [], {}
    for context in range(CONTEXTS):
        weights = random.normal(size=FACTORS)
        common = loadings @ (weights / np.linalg.norm(weights))
        noise = np.sqrt(SHARED) * common + np.sqrt(1 - SHARED) * draw(random, (labels,))
        unit = random.uniform(0.5, 2)
        noise = unit * noise * np.sqrt(TYPICAL_CELLS / cells) + random.normal(0, 2)
        null = NullDistribution.of(noise[:blocks], cells[:blocks])
        if null is None:
            raise ValueError("a null needs two blocks")
        standardised.append(null.standardised(noise[:blocks], cells[:blocks]))
        name = f"context {context}"
        for place, label in enumerate(range(blocks, labels)):
            effect = unit * float(places[place, context])
            truth[f"P{place:04d}", name] = effect
            rows.append(_row(f"P{place:04d}", name, float(noise[label]) + effect, null, float(cells[label])))
    return Simulated(rows, np.array(standardised), truth)


def _row(label: str, context: str, score: float, null: NullDistribution, cells: float) -> dict[str, Any]:
    return {
        **{"status": "done", "perturbation": label, "context": context, "gate": "pass", "score": score},
        **{"support": "in_vocabulary", "training_cells_all": int(cells), "score_se": 0.0, "null_blocks": null.blocks},
        **{"null_centre": null.centre, "null_sd": null.sd_of([cells])},
        **{"minimum_effect": null.minimum_effect([cells])},
    }


def decided(screen: Simulated, tails: Tails = "learned") -> pl.DataFrame:
    """Decide as a screen does, with the true effect beside."""
    found = decide(hit_table(screen.rows, {}), HitsSpec(fdr=FDR, tails=tails), 0, screen.blocks)
    keys = zip(found["perturbation"], found["context"], strict=True)
    return found.with_columns(truth=pl.Series([screen.truth[key] for key in keys]))


@contextmanager
def without_intervals() -> Iterator[None]:
    """Draw next to nothing for intervals, which take most of the time and have no part in hits."""
    draws = score_posterior.DRAWS, score_posterior.BURN_IN
    score_posterior.DRAWS, score_posterior.BURN_IN = 2, 0
    try:
        yield
    finally:
        score_posterior.DRAWS, score_posterior.BURN_IN = draws


def nothing_there(blocks: int) -> dict[str, dict[str, int]]:
    """Count the screens that report any hit, of 400 conditions without an effect: noise → tails → screens."""
    found: dict[str, dict[str, int]] = {}
    for noise, draw in NOISE.items():
        counts: dict[str, int] = dict.fromkeys(TAILS, 0)
        for run in range(NOTHING_SCREENS):
            screen = simulated(draw, 400, blocks, np.empty(0), [run, blocks, 41])
            for tails in TAILS:
                counts[tails] += HIT in decided(screen, tails)["decision"].to_list()
        found[noise] = counts
    return found


def something_there(blocks: int, tails: Tails) -> dict[str, dict[str, float]]:
    """Measure realised FDR and power with 20 true effects of 4 to 12 standard deviations among 2,000 conditions."""
    found = {}
    for noise, draw in NOISE.items():
        shares, power = [], []
        for run in range(TRUE_SCREENS):
            effects = np.linspace(4, 12, 20)
            rows = decided(simulated(draw, 2000, blocks, effects, [run, blocks, 43]), tails)
            hits = rows.filter(pl.col("decision") == HIT)
            shares.append(float((hits["truth"] == 0).sum()) / max(hits.height, 1))
            power.append(float((hits["truth"] > 0).sum()) / 20)
        error = float(np.std(shares, ddof=1) / np.sqrt(len(shares)))
        found[noise] = {"fdr": float(np.mean(shares)), "fdr_se": error, "power": float(np.mean(power))}
    return found


def coverage(noise: str) -> dict[str, float]:
    """Measure how often 90 % intervals hold: of effects, and of the ranks of true effects where these differ."""
    inside, ranks = [], []
    for run in range(COVERAGE_SCREENS):
        effects = np.random.default_rng([run, 47]).normal(0, 3, 300)
        rows = decided(simulated(NOISE[noise], 300, 40, effects, [run, 49]))
        inside.append(np.mean(((rows["truth"] >= rows["low_90"]) & (rows["truth"] <= rows["high_90"])).to_numpy()))
        true_rank = rows["truth"].rank("ordinal", descending=True)
        ranks.append(np.mean(((true_rank >= rows["rank_low"]) & (true_rank <= rows["rank_high"])).to_numpy()))
    return {"effects": float(np.mean(inside)), "ranks": float(np.mean(ranks))}


def measure(trained: int, quick: bool) -> Figures:
    """Run all parts and print their tables."""
    bound = int(stats.binom.ppf(0.99, NOTHING_SCREENS, FDR))
    figures: dict[str, Any] = {"screens": NOTHING_SCREENS, "bound": bound}
    with without_intervals():
        for blocks in (20,) if quick else (20, 60):
            print(f"\n{NOTHING_SCREENS} screens of nothing, {blocks} blocks a context; with a hit ({bound} allowed):")
            found = nothing_there(blocks)
            table(["noise", *TAILS], [[noise, *counts.values()] for noise, counts in found.items()])
            figures[f"any_hit_{blocks}"] = found
        ways = [(blocks, tails) for blocks in (20, 60, 200) for tails in ("learned", "heaviest")] + [(60, "normal")]
        for blocks, tails in ways[: 1 if quick else len(ways)]:
            print(f"\n{TRUE_SCREENS} screens, 20 true among 2,000, {blocks} blocks a context, tails {tails}")
            true = something_there(blocks, tails)  # type: ignore[arg-type]
            table(["noise", "FDR", "± se", "power"], [[noise, *each.values()] for noise, each in true.items()])
            figures[f"true_{blocks}_{tails}"] = true
    print(f"\n90 % intervals hold, {COVERAGE_SCREENS} screens of 300 effects, 40 blocks a context")
    held = {noise: coverage(noise) for noise in PROMISED}
    table(["noise", "effects", "ranks"], [[noise, *each.values()] for noise, each in held.items()])
    figures["coverage"] = held
    figures["within_promise_heaviest"] = all(
        counts["heaviest"] <= bound
        for blocks in ((20,) if quick else (20, 60))
        for counts in figures[f"any_hit_{blocks}"].values()
    )
    figures["within_promise"] = all(
        figures[f"any_hit_{blocks}"][noise]["learned"] <= bound
        for blocks in ((20,) if quick else (20, 60))
        for noise in PROMISED
    )
    if trained:
        figures["trained"] = trained_screens(trained)
    return figures


def main() -> None:
    """Read the command line and run."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--json", action="store_true", help="print the figures as one JSON object, last line")
    parser.add_argument("--trained", type=int, default=0, metavar="N", help="screens to train end to end as well")
    parser.add_argument("--quick", action="store_true", help="20 blocks and learned tails only")
    arguments = parser.parse_args()
    figures = measure(arguments.trained, arguments.quick)
    if arguments.json:
        print(json.dumps(figures))


if __name__ == "__main__":
    main()
