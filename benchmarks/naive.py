"""A screen of 2,000 conditions on a CPU beside the naive way: a loop that draws cells, stores them, and ranks.

Both with the same trained model (Papalexi's 25 knock-outs in THP-1, alone, in pairs and in triples), the same three
geometric steps, guidance 0, one thread. Ours is run whole, from the file to the hits, with the estimator's defaults
(8 shards of 16 cells). Meanwhile it is stopped now and then, and the naive way has its turn, at a fixed
random subset of the conditions and with two numbers of cells: so both see the same machine.

The naive way is not run for all 2,000. Its seconds a cell and its variance a cell are measured, the latter's 1/n law is
checked, and the sum is

    conditions x cells x (draw + store + rank) + controls x draw + conditions x controls x rank

with as many cells as give the squared standard error that ours has, summed over genes (log1p counts per 10k) and
averaged over conditions: V(n) = (variance of a condition + variance of the control / k) / n with k n control cells,
drawn once. The k is the one that makes the naive way cheapest; with as many control cells as a condition has it is the
`_equal_controls` figure. The same for the score, a mean over the genes of the question. Seconds are the processor's.
"""

from __future__ import annotations

import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from itertools import pairwise
from pathlib import Path

import anndata
import numpy as np
import numpy.typing as npt

from actors.blobs import open_blobs
from actors.ledger import Ledger
from actors.progress import Progress
from actors.snapshot import Snapshot
from benchmarks.naive_way import Ranked, draw_cells, naive_condition, one_thread, prepared
from benchmarks.papalexi_screen import trained_model, write_screen
from benchmarks.report import Figures, main, table
from benchmarks.stage_clock import StageClock
from lingshu_core.checkpoint import Checkpoint, load_checkpoint
from lingshu_core.conditioning import Condition
from lingshu_core.depths import pooled_depths
from lingshu_core.estimator import ShardRequest, estimate_shard
from lingshu_core.randomness import RandomRoot
from lingshu_core.reveal import RevealSettings
from screening.folding.aggregation import fold
from screening.folding.effects import paired_effect
from screening.planning.campaign import PlannedCampaign, load_campaign, plan_campaign
from screening.publishing.publication import ledger_url
from screening.run import run_campaign

Array = npt.NDArray[np.float64]

CONDITIONS, SUBSET, REPETITIONS, SIZES = 2_000, 6, 5, (512, 2_048)
SHARDS, STRATA, OWN_REPETITIONS = 8, 16, 20
SETTINGS = RevealSettings(steps=3, schedule="geometric", guidance=0.0)
CONTROL_SHARES = tuple(float(k) for k in np.geomspace(1, 64, 25))
"""Numbers of control cells that are tried, over those of a condition."""
BOOTSTRAPS = 1_000


@dataclass(frozen=True)
class Costs:
    """Seconds of the processor a cell, the naive way; a cell of the test is one of either side."""

    draw: float
    store: float
    rank: float

    @classmethod
    def of(cls, runs: Sequence[tuple[int, Ranked]]) -> Costs:
        """Take medians over runs with their numbers of cells; each was tested against as many controls."""
        return cls(
            float(np.median([run.generate_seconds / cells for cells, run in runs])),
            float(np.median([run.store_seconds / cells for cells, run in runs])),
            float(np.median([run.rank_seconds / (2 * cells) for cells, run in runs])),
        )


@dataclass(frozen=True)
class Noise:
    """Variance of one drawn cell, of a condition and of the control, and the squared standard error that ours has."""

    condition: float
    control: float
    ours: float

    def cells(self, share: float) -> float:
        """Return the cells a condition that give our standard error, with ``share`` times as many control cells."""
        return (self.condition + self.control / share) / self.ours


def naive_seconds(conditions: int, costs: Costs, noise: Noise, share: float) -> float:
    """Return what the naive way takes in all at our standard error, with ``share`` times as many control cells."""
    cells = noise.cells(share)
    own = conditions * cells * (costs.draw + costs.store + costs.rank)
    return own + share * cells * (costs.draw + conditions * costs.rank)


def cheapest(conditions: int, costs: Costs, noise: Noise) -> tuple[float, float]:
    """Return the least seconds, and the share of control cells that gives them."""
    return min((naive_seconds(conditions, costs, noise, share), share) for share in CONTROL_SHARES)


@dataclass
class Turns:
    """The naive way, in pieces: every piece is one condition with one number of cells."""

    model: Checkpoint
    conditions: Sequence[Condition]
    folder: Path
    rng: np.random.Generator = field(default_factory=lambda: np.random.default_rng(1))
    found: dict[tuple[int, int], list[Ranked]] = field(default_factory=dict)
    _controls: dict[int, anndata.AnnData] = field(default_factory=dict)

    @property
    def pieces(self) -> list[tuple[int, int]]:
        """Places of conditions and numbers of cells, in the order of their turns."""
        return [(place, size) for _ in range(REPETITIONS) for place in range(len(self.conditions)) for size in SIZES]

    def prepare(self) -> None:
        """Draw the control's cells, and let everything compile."""
        control = Condition(self.conditions[0].context)
        for size in SIZES:
            self._controls[size] = prepared(draw_cells(self.model, control, size, SETTINGS, self.rng), "control")
        naive_condition(self.model, control, 64, self._controls[SIZES[0]], SETTINGS, self.rng, self.folder)

    def take(self, place: int, size: int) -> None:
        """Take one turn."""
        condition, controls = self.conditions[place], self._controls[size]
        ranked = naive_condition(self.model, condition, size, controls, SETTINGS, self.rng, self.folder)
        self.found.setdefault((place, size), []).append(ranked)

    def control_variance(self) -> Array:
        """Return the control's variance from cell to cell, (genes,)."""
        values = self._controls[SIZES[-1]].to_df().to_numpy(dtype=float)
        return np.asarray(values.var(axis=0, ddof=1))


class Alternating(StageClock):
    """Stops our run now and then for a turn of the naive way, evenly over its blocks."""

    def __init__(self, turns: Turns) -> None:
        super().__init__()
        self._turns, self._left = turns, turns.pieces
        self._all = len(self._left)
        self.slices: list[tuple[int, float]] = []

    def progress(self, progress: object) -> None:
        """Take the turns that are due."""
        if not isinstance(progress, Progress):
            return
        self.slices.append((progress.done, self.now().cpu))
        with self.paused():
            due = round(self._all * (progress.done + progress.failed) / progress.total)
            while self._all - len(self._left) < due:
                self._turns.take(*self._left.pop(0))
            one_thread()

    def seconds_each(self) -> Array:
        """Return seconds of the processor a block, between two looks; there are as many as leases."""
        pairs = [(a, b) for a, b in pairwise(self.slices) if b[0] > a[0]]
        return np.array([(b[1] - a[1]) / (b[0] - a[0]) for a, b in pairs])


@dataclass(frozen=True)
class Ours:
    """What our run gave: squared standard errors of every condition, summed over genes, and of its score."""

    planned: PlannedCampaign
    seconds: float
    wall: float
    square_error: Array
    score_square_error: Array
    effects: Mapping[str, Array]


def measure() -> Figures:
    """Run ours, and the naive way in turns; all figures."""
    model = load_checkpoint(str(trained_model()))
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        path = write_screen(
            folder, CONDITIONS, str(folder / "screen"), steps=SETTINGS.steps, shards=SHARDS, depth_strata=STRATA
        )
        chosen = _subset(plan_campaign(load_campaign(path)))
        turns = Turns(model, list(chosen.values()), folder)
        turns.prepare()
        clock = Alternating(turns)
        run_campaign(path, clock)
        whole = clock.now() - clock.began["load"]
        ours = _ours(path, whole.cpu, whole.wall)
    weights = next(iter(ours.planned.readouts.values())).weights
    weights = weights / np.abs(weights).sum()
    figures = _compare(turns, ours, weights, clock)
    figures |= _own_law(model, list(chosen.values()))
    figures |= _agreement(turns, ours, list(chosen))
    table(["figure", "value"], [[name.replace("_", " "), value] for name, value in figures.items()])
    return figures


def _subset(planned: PlannedCampaign) -> dict[str, Condition]:
    """Choose conditions at random, once and for all; label → condition."""
    asked = [each.condition for each in planned.plan.conditions if each.role == "perturbation"]
    places = np.random.default_rng(0).choice(len(asked), SUBSET, replace=False)
    return {
        asked[place].perturbation.label: Condition(
            asked[place].context.as_dict(), tuple((part.name, part.dose) for part in asked[place].perturbation.parts)
        )
        for place in places
    }


def _ours(path: Path, seconds: float, wall: float) -> Ours:
    """Read back what the run has committed."""
    planned = plan_campaign(load_campaign(path))
    snapshot = Snapshot(Ledger(open_blobs(ledger_url(planned.campaign.spec.output))))
    weights = next(iter(planned.readouts.values())).weights
    weights = weights / np.abs(weights).sum()
    squares, scores, effects = [], [], {}
    for folded in fold(planned.plan, snapshot, {}):
        if folded.moments is None or folded.control is None:
            raise SystemExit(f"{folded.planned.condition.perturbation.label}: {folded.reason}")
        effect = paired_effect(folded.moments, folded.control)
        by_shard = (folded.moments.log1p - folded.control.log1p) @ weights  # (shards,)
        squares.append(np.square(effect.log1p_se).sum())
        scores.append(by_shard.var(ddof=1) / len(by_shard))
        effects[folded.planned.condition.perturbation.label] = effect.log1p
    return Ours(planned, seconds, wall, np.array(squares), np.array(scores), effects)


def _compare(turns: Turns, ours: Ours, weights: Array, clock: Alternating) -> dict[str, float]:
    """Work out both ratios with their parts and intervals."""
    runs = [(size, run) for (_, size), its in turns.found.items() for run in its]
    costs = Costs.of(runs)
    own, score = _cell_variances(turns, weights)
    control = turns.control_variance()
    control_score = float((turns._controls[SIZES[-1]].to_df().to_numpy(dtype=float) @ weights).var(ddof=1))
    noise = Noise(float(own.mean()), float(control.sum()), float(ours.square_error.mean()))
    score_noise = Noise(float(score.mean()), control_score, float(ours.score_square_error.mean()))
    ratio = partial(_ratio, seconds=ours.seconds)
    low, high = _interval(runs, own, noise, ours, clock)
    seconds, share = cheapest(CONDITIONS, costs, noise)
    laws = {f"law_{size}": value for size, value in zip(SIZES, _laws(turns, own), strict=True)}
    return {
        "naive_ratio": seconds / ours.seconds,
        "naive_ratio_low": low,
        "naive_ratio_high": high,
        "naive_ratio_equal_controls": naive_seconds(CONDITIONS, costs, noise, 1.0) / ours.seconds,
        "score_ratio": ratio(costs, score_noise),
        "score_ratio_equal_controls": naive_seconds(CONDITIONS, costs, score_noise, 1.0) / ours.seconds,
        "our_cpu_seconds": ours.seconds,
        "our_wall_seconds": ours.wall,
        "our_seconds_a_condition_median": float(np.median(clock.seconds_each())),
        "our_seconds_a_condition_low": float(np.quantile(clock.seconds_each(), 0.05)),
        "our_seconds_a_condition_high": float(np.quantile(clock.seconds_each(), 0.95)),
        "our_cells_a_condition": float(SHARDS * STRATA),
        "naive_cpu_hours": seconds / 3600,
        "naive_cells_a_condition": noise.cells(share),
        "naive_control_share": share,
        "naive_cells_for_the_score": score_noise.cells(cheapest(CONDITIONS, costs, score_noise)[1]),
        "naive_draw_ms_a_cell": 1e3 * costs.draw,
        "naive_store_ms_a_cell": 1e3 * costs.store,
        "naive_rank_ms_a_cell": 1e3 * costs.rank,
        "naive_stored_bytes_a_cell": float(np.median([run.stored_bytes / cells for cells, run in runs])),
        "passes_ratio": (noise.condition + noise.control) / noise.ours / (SHARDS * STRATA),
        "score_passes_ratio": (score_noise.condition + score_noise.control) / score_noise.ours / (SHARDS * STRATA),
        "our_standard_error": float(np.sqrt(noise.ours)),
        "our_score_standard_error": float(np.sqrt(score_noise.ours)),
        **laws,
    }


def _ratio(costs: Costs, noise: Noise, seconds: float) -> float:
    return cheapest(CONDITIONS, costs, noise)[0] / seconds


def _cell_variances(turns: Turns, weights: Array) -> tuple[Array, Array]:
    """Return the variance from cell to cell of every condition of the subset, summed over genes, and of its score.

    The score's is that of effects between repetitions, over the same control: genes move together.
    """
    sums, scores = [], []
    for place in range(len(turns.conditions)):
        runs = [(size, run) for size in SIZES for run in turns.found[place, size]]
        sums.append(np.mean([run.variance.sum() for _, run in runs]))
        scores.append(np.mean([size * _variance(turns.found[place, size], weights) for size in SIZES]))
    return np.array(sums), np.array(scores)


def _variance(runs: Sequence[Ranked], weights: Array) -> float:
    return float(np.var([run.effect @ weights for run in runs], ddof=1))


def _laws(turns: Turns, own: Array) -> list[float]:
    """Return cells times the variance of effects between repetitions, over the variance of a cell: one, by the law."""
    laws = []
    for size in SIZES:
        between = [
            np.var([run.effect for run in turns.found[place, size]], axis=0, ddof=1).sum() for place in range(len(own))
        ]
        laws.append(float(size * np.mean(between) / own.mean()))
    return laws


def _interval(
    runs: Sequence[tuple[int, Ranked]], own: Array, noise: Noise, ours: Ours, clock: Alternating
) -> tuple[float, float]:
    """Return a 90 % interval of the ratio: over runs of the naive way, conditions of both, and slices of our run."""
    rng, ratios, each = np.random.default_rng(0), [], clock.seconds_each()

    def again(values: Array) -> float:
        return float(values[rng.integers(len(values), size=len(values))].mean())

    for _ in range(BOOTSTRAPS):
        costs = Costs.of([runs[place] for place in rng.integers(len(runs), size=len(runs))])
        drawn = Noise(again(own), noise.control, again(ours.square_error))
        ratios.append(_ratio(costs, drawn, ours.seconds * again(each) / float(each.mean())))
    low, high = np.quantile(ratios, [0.05, 0.95])
    return float(low), float(high)


def _own_law(model: Checkpoint, conditions: Sequence[Condition]) -> dict[str, float]:
    """Compare our standard errors with how far repetitions with other seeds differ: one, if they are right."""
    shards = np.stack([_shards(model, conditions, seed) for seed in range(1, 1 + OWN_REPETITIONS)])
    within = shards.var(axis=2, ddof=1).sum(axis=-1) / SHARDS  # (repetitions, conditions)
    between = shards.mean(axis=2).var(axis=0, ddof=1).sum(axis=-1)  # (conditions,)
    return {"our_law": float(between.mean() / within.mean())}


def _shards(model: Checkpoint, conditions: Sequence[Condition], seed: int) -> Array:
    """Estimate the effects of the subset anew, (conditions, shards, genes)."""
    control = Condition(conditions[0].context)
    means = np.stack([_means(model, condition, seed) for condition in (control, *conditions)])
    return means[1:] - means[0]


def _means(model: Checkpoint, condition: Condition, seed: int) -> Array:
    depths = pooled_depths(model.vocabulary, model.control_depths, condition.context)
    root = RandomRoot(seed, "naive", "")
    shards = [ShardRequest(condition, root, shard, STRATA, SETTINGS) for shard in range(SHARDS)]
    moments = [estimate_shard(model.denoiser, model.vocabulary, depths, each).moments[0] for each in shards]
    return np.stack(moments).astype(float)


def _agreement(turns: Turns, ours: Ours, labels: Sequence[str]) -> dict[str, float]:
    """Say how many genes' effects differ by more than two standard errors between the two ways: 5 %, by chance."""
    size, beyond = SIZES[-1], []
    control = turns.control_variance() / size
    for place, label in enumerate(labels):
        runs = turns.found[place, size]
        naive = np.mean([run.effect for run in runs], axis=0)
        variance = np.mean([run.variance for run in runs], axis=0) / (size * len(runs)) + control
        moving = variance > 0
        beyond.append((np.abs(naive - ours.effects[label])[moving] > 2 * np.sqrt(variance[moving])).mean())
    return {"genes_beyond_2_errors": float(np.mean(beyond))}


if __name__ == "__main__":
    main(measure, __doc__ or "")
