import numpy as np
import pytest
import scipy.sparse as sp

from screening.errors import BlockError
from screening.folding.drawn_cells import joined_cells
from screening.running.store import BlockResult, DrawnCells


def block(first: int, shards: int, cells: bool = True) -> BlockResult:
    zeros = np.zeros((shards, 2), dtype=np.float32)
    depth = np.arange(2 * first, 2 * (first + shards), dtype=float)
    drawn = DrawnCells(sp.csr_matrix(np.column_stack([depth, depth])), depth) if cells else None
    return BlockResult(first, 2, zeros, zeros, zeros[0], zeros[0], drawn)


def test_cells_are_in_the_order_of_shards_whatever_that_of_blocks() -> None:
    found = joined_cells([block(3, 1), block(0, 3)])
    assert found.depth.tolist() == list(range(8))
    assert found.counts.toarray()[:, 1].tolist() == list(range(8))


def test_a_block_without_cells_is_told() -> None:
    with pytest.raises(BlockError, match="holds no drawn cells"):
        joined_cells([block(0, 3), block(3, 1, cells=False)])
