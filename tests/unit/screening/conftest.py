"""Small moments, a vocabulary of four genes, and a ledger whose blocks are made up from their names."""

import hashlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest
from scipy import stats

from actors.blobs import open_blobs
from actors.ledger import Ledger
from actors.obstore_blobs import ObstoreBlobs
from actors.progress import Progress
from campaigns.conditions import Condition, Context, Perturbation
from campaigns.plan import Block, PlannedCondition
from campaigns.screen_spec import HitsSpec
from lingshu_core.cells import Cells
from lingshu_core.splits import Split
from lingshu_core.vocabulary import SeenContext, SeenPerturbation, Vocabulary
from screening.deciding import score_posterior
from screening.deciding.decisions import decide
from screening.deciding.hits import RunFacts, hit_table
from screening.deciding.null_distribution import NullDistribution
from screening.deciding.null_table import null_table, standardised_blocks
from screening.deciding.null_tails import Tails
from screening.evaluating.evaluation_plan import Contender, Evaluation, Unit, contenders, make_units, read_evaluation
from screening.evaluating.splitting import make_split
from screening.folding.aggregation import Folded
from screening.folding.effects import Moments
from screening.objective.readouts import read_data
from screening.planning.campaign import PlannedCampaign, load_campaign, plan_campaign
from screening.running.store import BlockResult, encode_block


@pytest.fixture
def moments() -> Callable[..., Moments]:
    """Make moments from per-gene means: `moments([1.0, 2.0], seed=1)`; shards scatter around them."""

    def make(
        means: list[float], seed: int = 0, shards: int = 8, spread: float = 0.05, variance: float = 0.25
    ) -> Moments:
        noise = np.random.default_rng(seed).normal(0.0, spread, (shards, len(means)))
        log1p = np.asarray(means, dtype=float) + noise
        return Moments(
            log1p=log1p,
            counts=2.0 * log1p,
            log1p_square=log1p.mean(axis=0) ** 2 + variance,
            counts_square=(2.0 * log1p.mean(axis=0)) ** 2 + 3.0,
            cells=shards * 4,
        )

    return make


@pytest.fixture
def words() -> Vocabulary:
    """Genes A, B, C, D; A and B were knocked out, alone and together, and a drug called C was given."""
    return Vocabulary(
        genes=("A", "B", "C", "D"),
        factors={"cell_type": ("T cells", "B cells"), "donor": ("D1", "D2")},
        contexts=(
            SeenContext({"cell_type": "T cells", "donor": "D1"}, 40, 20, {"A": 10, "A+B": 3}),
            SeenContext({"cell_type": "T cells", "donor": "D2"}, 30, 20, {"A": 5}),
            SeenContext({"cell_type": "B cells", "donor": "D1"}, 30, 20, {"B": 7}),
        ),
        perturbations={
            "A": SeenPerturbation("genetic", 15, (), float(np.log(0.5))),
            "B": SeenPerturbation("genetic", 7, (), float(np.log(0.8))),
            "A+B": SeenPerturbation("genetic", 3, (), float(np.log(0.3))),
            "C": SeenPerturbation("drug", 9, (0.1, 1.0), 0.0),
        },
        parts=("A", "B", "C"),
        control="control",
    )


@pytest.fixture
def facts() -> RunFacts:
    return RunFacts("run", "model", "variance_reduced", 3, "geometric", 0.0, "bias+tilt", 0)


@pytest.fixture
def fold_of() -> Callable[..., Folded]:
    """Make the fold of one condition: `fold_of("A+B", condition moments, control moments)`."""

    def make(
        label: str,
        found: Moments | None,
        control: Moments | None,
        *,
        kind: str = "genetic",
        dose: float | None = None,
        reason: str = "",
        **context: str,
    ) -> Folded:
        asked = Condition(Context.of(context or {"cell_type": "T cells"}), Perturbation.parse(label, kind, dose))
        key = hashlib.sha256(asked.label.encode()).hexdigest()
        return Folded(PlannedCondition(key, asked), found, control, reason)

    return make


@pytest.fixture
def planned(write_screen: Callable[..., Path]) -> PlannedCampaign:
    """Two knock-outs in one cell type, 16 shards: three conditions with the control, six blocks."""
    path = write_screen(contexts={"cell_type": "type_1"}, perturbations={"genetic": ["REG04", "REG05"]})
    return plan_campaign(load_campaign(path))


@pytest.fixture
def made_up_block() -> Callable[[Block], bytes]:
    """Bytes of a block that depend on nothing but its name: what a deterministic worker would give."""

    def make(block: Block, genes: int = 40) -> bytes:
        draw = np.random.default_rng(int(block.id[:12], 16)).random
        result = BlockResult(
            first_shard=block.first_shard,
            cells_per_shard=4,
            log1p_mean=draw((block.n_shards, genes), dtype=np.float32),
            count_mean=draw((block.n_shards, genes), dtype=np.float32),
            log1p_square=draw(genes, dtype=np.float32) + 2,
            count_square=draw(genes, dtype=np.float32) + 2,
        )
        return encode_block(result)

    return make


@pytest.fixture
def fresh_ledger() -> Callable[[], Ledger]:
    """Make empty ledgers in memory, as many as asked for."""
    from obstore.store import MemoryStore

    return lambda: Ledger(ObstoreBlobs(MemoryStore(), "memory://test"))


@pytest.fixture
def folder_ledger(planned: PlannedCampaign) -> Ledger:
    """The ledger in the output folder of `planned`."""
    return Ledger(open_blobs(f"{planned.campaign.spec.output}/ledger"))


class Listener:
    """Hears what a run tells."""

    def __init__(self) -> None:
        self.stages: list[str] = []
        self.done: list[int] = []

    def stage(self, name: str, detail: str) -> None:
        self.stages.append(name)

    def progress(self, progress: Progress) -> None:
        self.done.append(progress.done)


@pytest.fixture
def listener() -> Listener:
    return Listener()


@dataclass(frozen=True)
class PlannedEvaluation:
    """An evaluation file with its cells, its split, who is asked, and the units."""

    evaluation: Evaluation
    cells: Cells
    split: Split
    asked: tuple[Contender, ...]
    units: tuple[Unit, ...]

    def unit(self, contender: str, fold: int = 0) -> Unit:
        """Return the unit of a contender in a fold."""
        name = self.split.folds[fold].name
        return next(unit for unit in self.units if (unit.contender, unit.fold) == (contender, name))


@pytest.fixture
def plan_evaluation(write_evaluation: Callable[..., Path]) -> Callable[..., PlannedEvaluation]:
    """Plan an evaluation on the small simulation: `plan_evaluation(seeds=[0, 1], …)`, nothing is computed."""

    def make(**changes: object) -> PlannedEvaluation:
        evaluation = read_evaluation(write_evaluation(**changes))
        cells = read_data(evaluation.spec.data)
        split = make_split(evaluation.spec.split, cells, evaluation.spec.name)
        asked = contenders(evaluation)
        return PlannedEvaluation(evaluation, cells, split, asked, make_units(evaluation, cells, split, asked))

    return make


@pytest.fixture
def decided_screen(monkeypatch: pytest.MonkeyPatch) -> Callable[..., tuple[pl.DataFrame, pl.DataFrame | None]]:
    """Make a decided table and its null: `decided_screen({"A": {"cell_type=T": 0.5, …}}, blocks=30, spread=0.05)`.

    Blocks of the null go by one number in all contexts, and `own` of a context's own beside it. `blocks=0`: no null.
    """
    monkeypatch.setattr(score_posterior, "DRAWS", 2)  # intervals take most of the time, and nobody looks at them
    monkeypatch.setattr(score_posterior, "BURN_IN", 0)

    def make(
        scores: Mapping[str, Mapping[str, float | None]],
        blocks: int = 30,
        spread: float = 0.05,
        own: float = 0.0,
        tails: Tails = "learned",
        **changes: Any,
    ) -> tuple[pl.DataFrame, pl.DataFrame | None]:
        random = np.random.default_rng(7)
        contexts = sorted({context for row in scores.values() for context in row})
        label = stats.zscore(random.normal(size=max(blocks, 2)), ddof=1) * spread
        noise = {name: label + own * random.normal(size=len(label)) for name in contexts}
        found = {name: NullDistribution.of(each, np.full(len(each), 30.0)) for name, each in noise.items()}
        rows = []
        for name, row in scores.items():
            for context, score in row.items():
                base = {"perturbation": name, "context": context, "gate": "pass", "support": "in_vocabulary"}
                base |= {"training_cells": 20, "training_cells_all": 30, "score_unit": "mean log1p counts per 10k"}
                base |= dict(part.split("=") for part in context.split(", "))
                own_null = found[context]
                if score is None:
                    rows.append(base | {"status": "failed", "reason": "it exploded"} | changes)
                    continue
                base |= {"status": "done", "score": score, "score_se": 0.001}
                if blocks and own_null is not None:
                    base |= {"null_blocks": own_null.blocks, "null_centre": 0.0, "null_sd": own_null.sd_of([30.0])}
                    base |= {"minimum_effect": own_null.minimum_effect([30.0])}
                rows.append(base | changes)
        factors = dict.fromkeys(sorted({part.split("=")[0] for c in contexts for part in c.split(", ")}), pl.String)
        pseudo = [
            {"perturbation": f"null-{i:02d}", "context": context, "status": "done", "training_cells_all": 30}
            | {"score": float(value)}
            for context in contexts
            for i, value in enumerate(noise[context], 1)
        ]
        null = null_table(pseudo, factors) if blocks else None
        standardised = None if null is None else standardised_blocks(null)
        return decide(hit_table(rows, factors), HitsSpec(tails=tails), 0, standardised), null

    return make
