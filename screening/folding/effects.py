"""Effects of a condition: paired differences from the control of the same context.

Shard r of a condition and shard r of its control share their random numbers, so effects are means of
paired differences over shards, and their standard errors come from the spread of those differences.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from lingshu_core.state_space import PlacedCells
from screening.errors import BlockError
from screening.running.store import BlockResult

Array = npt.NDArray[np.float64]


@dataclass(frozen=True)
class Moments:
    """All shards of one condition, in the order of their numbers.

    ``log1p`` and ``counts`` are (shards, genes); ``log1p_square`` and ``counts_square`` (genes,). ``placed`` are the
    drawn cells themselves, where the objective asks for them.
    """

    log1p: Array
    counts: Array
    log1p_square: Array
    counts_square: Array
    cells: int
    placed: PlacedCells | None = None

    @property
    def log1p_variance(self) -> Array:
        """Variance of log1p counts per 10k over cells, (genes,): E[x²] − (E x)²."""
        return np.maximum(self.log1p_square - np.square(self.log1p.mean(axis=0)), 0.0)

    @property
    def counts_variance(self) -> Array:
        """Variance of counts over cells, (genes,)."""
        return np.maximum(self.counts_square - np.square(self.counts.mean(axis=0)), 0.0)


@dataclass(frozen=True)
class Effect:
    """Difference between a condition and its control, with one standard error, each (genes,).

    ``log1p_sd`` is the standard deviation between the members of an ensemble, the model's own uncertainty; None for a
    single model.
    """

    log1p: Array
    log1p_se: Array
    counts: Array
    counts_se: Array
    log1p_sd: Array | None = None


def merge_blocks(blocks: list[BlockResult], first_shard: int = 0) -> Moments:
    """Join the blocks of a condition, ordered by shard, whatever the order of their commits.

    ``first_shard`` is the shard that they begin with, where an allocation leaves the ones before out.

    Raises
    ------
    BlockError
        If shards repeat or are missing.
    """
    ordered = sorted(blocks, key=lambda block: block.first_shard)
    expected = first_shard
    for block in ordered:
        if block.first_shard != expected:
            raise BlockError(f"shard {expected} of a condition is missing or doubled (found {block.first_shard})")
        expected += block.shards
    weights = [block.shards for block in ordered]
    return Moments(
        log1p=np.concatenate([block.log1p_mean for block in ordered]).astype(np.float64),
        counts=np.concatenate([block.count_mean for block in ordered]).astype(np.float64),
        log1p_square=np.average([block.log1p_square.astype(np.float64) for block in ordered], axis=0, weights=weights),
        counts_square=np.average([block.count_square.astype(np.float64) for block in ordered], axis=0, weights=weights),
        cells=sum(block.shards * block.cells_per_shard for block in ordered),
    )


def pool_members(members: Sequence[Moments]) -> Moments:
    """Average the members of an ensemble, shard by shard; a single model is itself.

    Members draw the same random numbers, so their errors are correlated. The mean over members of one shard is one
    replicate all the same, and a standard error over such shards is right whatever the correlation.
    """
    if len(members) == 1:
        return members[0]
    return Moments(
        log1p=np.mean([member.log1p for member in members], axis=0),
        counts=np.mean([member.counts for member in members], axis=0),
        log1p_square=np.mean([member.log1p_square for member in members], axis=0),
        counts_square=np.mean([member.counts_square for member in members], axis=0),
        cells=sum(member.cells for member in members),
    )


def member_spread(members: Sequence[tuple[Moments, Moments]]) -> Array | None:
    """Return the standard deviation of the effect between members, log1p counts per 10k, (genes,); None for one.

    ``members`` has the condition and the control of each.
    """
    if len(members) == 1:
        return None
    effects = [(condition.log1p - control.log1p).mean(axis=0) for condition, control in members]
    return np.asarray(np.std(effects, axis=0, ddof=1))


def paired_effect(condition: Moments, control: Moments) -> Effect:
    """Return the effect of a condition against the control of the same context.

    Raises
    ------
    BlockError
        If the two do not have the same number of shards.
    """
    if condition.log1p.shape != control.log1p.shape:
        raise BlockError(
            f"a condition has {len(condition.log1p)} shards and its control {len(control.log1p)}; they can't be paired"
        )
    log1p, counts = condition.log1p - control.log1p, condition.counts - control.counts
    return Effect(log1p.mean(axis=0), standard_error(log1p), counts.mean(axis=0), standard_error(counts))


def standard_error(replicates: Array) -> Array:
    """Return the standard error of the mean over the first axis, the independently randomised shards."""
    return replicates.std(axis=0, ddof=1) / np.sqrt(len(replicates))
