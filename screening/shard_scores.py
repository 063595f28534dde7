"""Scores of single shards: what an allocation decides by, from the blocks of a condition and of its control.

A shard's score is the score of the ranked table with one shard. It is divided by the control's spread in the *first*
block alone, so that a score never changes when more of the control is known.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from screening.effects import Moments, merge_blocks
from screening.objectives import Readout, effects_by_shard
from screening.store import BlockResult

Array = npt.NDArray[np.float64]


def block_scores(
    condition: Sequence[BlockResult],
    control: Sequence[BlockResult],
    first_control: Sequence[BlockResult],
    readout: Readout,
    left_out: npt.NDArray[np.int64],
    genes: tuple[str, ...],
) -> Array:
    """Score the shards of one block, (shards,): the mean over the members of an ensemble.

    Parameters
    ----------
    condition, control
        The block with each model, and that of the control with the same shards.
    first_control
        The first block of the control, whose cells give the unit.
    readout, left_out, genes
        As in :func:`screening.objectives.score_condition`.

    Raises
    ------
    ObjectiveError
        If no gene is left.
    BlockError
        If bytes are not what the plan asked for.
    """
    scores = []
    for mine, theirs, first in zip(condition, control, first_control, strict=True):
        effects, _ = effects_by_shard(_moments(mine), _moments(theirs), readout, left_out, genes)
        _, scale = effects_by_shard(_moments(first), _moments(first), readout, left_out, genes)
        scores.append(effects / scale)
    return np.asarray(np.mean(scores, axis=0))


def _moments(block: BlockResult) -> Moments:
    return merge_blocks([block], block.first_shard)
