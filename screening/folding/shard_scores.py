"""Scores of single shards: what an allocation decides by, from the blocks of a condition and of its control.

A shard's score is the score of the ranked table with one shard. It is divided by the control's spread in the *first*
block alone, so that a score never changes when more of the control is known.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from lingshu_core.state_space import StateSpace
from screening.folding.aggregation import merged_moments
from screening.folding.effects import Moments
from screening.objective.objectives import Readout
from screening.running.store import BlockResult

Array = npt.NDArray[np.float64]


@dataclass(frozen=True)
class BlockScores:
    """Shards of a block: ``scores`` and ``effects``, (shards,), as the columns of the ranked table have them."""

    scores: Array
    effects: Array


def measure_block(
    condition: Sequence[BlockResult],
    control: Sequence[BlockResult],
    first_control: Sequence[BlockResult],
    readout: Readout,
    left_out: npt.NDArray[np.int64],
    genes: tuple[str, ...],
    space: StateSpace | None = None,
) -> BlockScores:
    """Measure the shards of one block: means over the members of an ensemble.

    Parameters
    ----------
    condition, control
        The block with each model, and that of the control with the same shards.
    first_control
        The first block of the control, whose cells give the unit.
    readout, left_out, genes
        As in :func:`screening.objective.objectives.score_condition`.
    space
        Where drawn cells are compared with real ones, for an objective of a population.

    Raises
    ------
    ObjectiveError
        If no gene is left.
    BlockError
        If bytes are not what the plan asked for.
    """
    scores, effects = [], []
    for mine, theirs, first in zip(condition, control, first_control, strict=True):
        start = _moments(first, space)
        scale = readout.by_shard(start, start, left_out, genes).scale
        found = readout.by_shard(_moments(mine, space), _moments(theirs, space), left_out, genes)
        scores.append(found.effects / scale)
        effects.append(found.effects)
    return BlockScores(np.asarray(np.mean(scores, axis=0)), np.asarray(np.mean(effects, axis=0)))


def _moments(block: BlockResult, space: StateSpace | None) -> Moments:
    return merged_moments([block], space, block.first_shard)
