"""How long a block takes: told by blocks that were committed before, or by a pilot; and what follows for a plan.

An estimate is a range or nothing. Its ends are the quick and the slow blocks that were measured; where replicas share
the cores of one machine, the high end has them take turns.
"""

from __future__ import annotations

import json
import math
import os
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from actors.blobs import open_blobs
from actors.errors import BlobNotFound, CorruptBlob
from actors.ledger import Ledger
from campaigns.plan import SHARDS_PER_BLOCK, Block
from screening.errors import ResultsError
from screening.planning.campaign import PlannedCampaign
from screening.publishing.publication import PLAN, ledger_url, open_results, read_published
from screening.watching.status import committed_blocks

SAMPLED_RECORDS = 40
"""Commit records that are read; each is a request to the store."""
ENOUGH_FOR_QUANTILES = 10
MARGIN = 1.25
"""Fewer blocks than that have not met the quickest nor the slowest: the range is made wider by this factor."""
LARGEST_PLAN = 50_000_000
"""Bytes of an earlier ``plan.json`` that is searched for its blocks."""


@dataclass(frozen=True)
class BlockRates:
    """What is known of the time that blocks take.

    Parameters
    ----------
    seconds
        Of each block that was measured, for as many shards as a block of this plan has.
    opening_seconds
        From asking for a replica until it computes; None where that isn't known.
    source
        Where this was measured, in words.
    """

    seconds: tuple[float, ...]
    opening_seconds: float | None
    source: str

    @property
    def low(self) -> float:
        """Seconds of a quick block."""
        if len(self.seconds) >= ENOUGH_FOR_QUANTILES:
            return float(np.quantile(self.seconds, 0.1))
        return min(self.seconds) / MARGIN

    @property
    def high(self) -> float:
        """Seconds of a slow block."""
        if len(self.seconds) >= ENOUGH_FOR_QUANTILES:
            return float(np.quantile(self.seconds, 0.9))
        return max(self.seconds) * MARGIN


@dataclass(frozen=True)
class Expectation:
    """What the blocks that are missing will take, each a range of (low, high).

    ``money`` is in the currency of ``budget.price_per_hour``, None where no price is given; ``gpu_hours`` None where
    replicas have no GPU. ``warnings`` tell which limits of the budget will end the run.
    """

    blocks: tuple[int, int]
    replicas: int
    block_seconds: tuple[float, float]
    seconds: tuple[float, float]
    replica_hours: tuple[float, float]
    gpu_hours: tuple[float, float] | None
    money: tuple[float, float] | None
    source: str
    warnings: tuple[str, ...] = ()

    def as_json(self) -> dict[str, Any]:
        """Give plain data."""
        return {name: list(value) if isinstance(value, tuple) else value for name, value in asdict(self).items()}


def expect(
    planned: PlannedCampaign, rates: BlockRates, blocks: tuple[int, int], cores: int | None = None
) -> Expectation:
    """Say what it takes to compute some blocks.

    Parameters
    ----------
    planned
        The campaign.
    rates
        How long a block takes.
    blocks
        How many are missing, at least and at most.
    cores
        Of this machine; by default as many as it has.
    """
    compute, budget = planned.campaign.spec.compute, planned.campaign.spec.budget
    opening = rates.opening_seconds or 0.0
    shared = _turns(planned, cores or os.cpu_count() or 1)
    times = tuple(
        turns * (opening + math.ceil(count / compute.replicas) * seconds) if count else 0.0
        for count, seconds, turns in ((blocks[0], rates.low, 1.0), (blocks[1], rates.high, shared))
    )
    low, high = (each * compute.replicas / 3600 for each in times)
    gpus, price = compute.gpus_per_replica, budget.price_per_hour
    made = Expectation(
        blocks=blocks,
        replicas=compute.replicas,
        block_seconds=(rates.low, rates.high),
        seconds=(times[0], times[1]),
        replica_hours=(low, high),
        gpu_hours=(low * gpus, high * gpus) if gpus else None,
        money=None if price is None else (low * price, high * price),
        source=rates.source,
    )
    return Expectation(
        **{**vars(made), "warnings": tuple(_beyond(made, {"money": budget.money, "gpu_hours": budget.gpu_hours}))}
    )


def _turns(planned: PlannedCampaign, cores: int) -> float:
    """Return how many replicas share a core at most; on a cluster or a GPU each has what it reserves."""
    compute = planned.campaign.spec.compute
    elsewhere = compute.backend == "in_process" or compute.address or os.environ.get("RAY_ADDRESS")
    if elsewhere or compute.gpus_per_replica:
        return 1.0
    return max(1.0, compute.replicas * compute.threads / cores)


def _beyond(made: Expectation, limits: Mapping[str, float | None]) -> Iterable[str]:
    for name, limit in limits.items():
        expected = getattr(made, name)
        if limit is not None and expected is not None and expected[1] > limit:
            sure = "will" if expected[0] > limit else "may"
            yield f"budget.{name}: {limit:g} {sure} be spent before all blocks are computed"


def recorded_rates(planned: PlannedCampaign) -> BlockRates | None:
    """Return what the store knows of the time of blocks: of this plan, or of the screen whose results are there.

    Blocks of another plan count where the model is the same and the estimator is of the same kind, by their passes.

    Raises
    ------
    StoreError
        If the store can't be reached.
    """
    committed = committed_blocks(planned)
    blocks = [block for block in planned.plan.blocks if block.id in committed]
    if blocks:
        return _rates(planned, blocks, lambda block: block.n_shards, "earlier runs")
    return _of_published(planned)


def _of_published(planned: PlannedCampaign) -> BlockRates | None:
    plan = _published_plan(planned.campaign.spec.output)
    if plan is None or plan.get("model_digest") != planned.plan.inputs.model_digest:
        return None
    ours, theirs = planned.plan.inputs.estimator, plan.get("estimator") or {}
    if theirs.get("kind") != ours["kind"]:
        return None
    ratio = _passes_of_shard(ours) / _passes_of_shard(theirs)
    blocks = [Block(**each) for each in plan.get("blocks", ())]
    return _rates(planned, blocks, lambda block: block.n_shards / ratio, "the earlier screen in this output")


def _published_plan(output: str) -> dict[str, Any] | None:
    """Return the plan of the results that are in a place; None where there are none."""
    try:
        data = read_published(open_results(output), PLAN)
    except (ResultsError, BlobNotFound):  # nothing was published: nothing is known
        return None
    return dict(json.loads(data)) if len(data) <= LARGEST_PLAN else None


def _passes_of_shard(estimator: Mapping[str, Any]) -> int:
    return int(estimator["depth_strata"]) * int(estimator["steps"]) * (2 if estimator["guidance"] else 1)


def _rates(
    planned: PlannedCampaign, blocks: Sequence[Block], work: Callable[[Block], float], source: str
) -> BlockRates | None:
    """Read the times of some blocks, spread over all, and bring them to a block of this plan."""
    spec = planned.campaign.spec
    ledger = Ledger(open_blobs(ledger_url(spec.output, spec.cache)), patience_seconds=0)
    seconds = []
    for place in spread(len(blocks), SAMPLED_RECORDS):
        try:
            record = ledger.record(blocks[place].id)
        except (BlobNotFound, CorruptBlob):  # `lingshu verify` tells what is wrong with it; others are as good
            continue
        seconds.append(record.seconds * shards_of_block(planned) / work(blocks[place]))
    if not seconds:
        return None
    told = (
        f"{source}: {len(seconds):,} block{'s' * (len(seconds) > 1)}, on whatever machine they ran; start not counted"
    )
    return BlockRates(tuple(seconds), None, told)


def shards_of_block(planned: PlannedCampaign) -> int:
    """Return the shards of a whole block of a plan."""
    return min(SHARDS_PER_BLOCK, planned.plan.shards)


def spread(count: int, most: int) -> list[int]:
    """Return places from 0 to ``count - 1``, spread evenly, no more than `most`."""
    return sorted({round(each) for each in np.linspace(0, count - 1, min(count, most))}) if count else []
