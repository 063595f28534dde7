"""Drawn cells of one condition, joined from its blocks and placed where they are compared with real ones."""

from __future__ import annotations

import numpy as np
import scipy.sparse as sp

from lingshu_core.state_space import PlacedCells, StateSpace
from screening.errors import BlockError
from screening.running.store import BlockResult, DrawnCells


def joined_cells(blocks: list[BlockResult]) -> DrawnCells:
    """Join the cells of a condition's blocks, ordered by shard.

    Raises
    ------
    BlockError
        If a block holds none.
    """
    ordered = sorted(blocks, key=lambda block: block.first_shard)
    drawn = [block.cells for block in ordered if block.cells is not None]
    if len(drawn) < len(ordered):
        raise BlockError("a block holds no drawn cells although its plan asks for them; `lingshu verify` the store")
    return DrawnCells(sp.vstack([each.counts for each in drawn]).tocsr(), np.concatenate([d.depth for d in drawn]))


def placed_cells(blocks: list[BlockResult], space: StateSpace) -> PlacedCells:
    """Place the drawn cells of a condition; errors as in :func:`joined_cells`."""
    cells = joined_cells(blocks)
    return space.place(cells.counts, cells.depth, sum(block.shards for block in blocks))
