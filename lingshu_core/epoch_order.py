"""In which order the cells of an epoch are drawn: all of it follows from (seed, epoch)."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

Rows = npt.NDArray[np.int64]


def balanced_order(sizes: Rows, balance: float, seed: list[int]) -> Rows:
    """Draw one epoch of positions with weights size^−balance, evenly (systematic resampling), and shuffle them.

    With ``balance`` 0 it is a permutation: every cell once.
    """
    rng = np.random.default_rng(seed)
    return rng.permutation(_systematic(sizes, balance, rng))


def block_order(sizes: Rows, balance: float, seed: list[int], blocks: Rows, mixed: int) -> Rows:
    """Draw one epoch as :func:`balanced_order` does, in an order that touches few blocks at a time.

    The draw is the same one: the same cells equally often, whatever the blocks. What differs is how well they are
    mixed. Blocks come in random order, ``mixed`` of them at a time, and only the cells of these are shuffled
    together, so that no more than two such windows have to be in memory at any moment.

    Parameters
    ----------
    sizes
        Cells that share the condition of each cell, (cells,).
    balance
        Exponent of the weights.
    seed
        Seed and epoch.
    blocks
        Block of each cell, (cells,), not falling.
    mixed
        Blocks that are shuffled together.
    """
    rng = np.random.default_rng(seed)
    drawn = _systematic(sizes, balance, rng)  # not falling, as the blocks are
    present, starts = np.unique(blocks[drawn], return_index=True)
    pieces = np.split(drawn, starts[1:])
    shuffled = rng.permutation(len(present))
    windows = [shuffled[start : start + mixed] for start in range(0, len(shuffled), mixed)]
    return np.concatenate([rng.permutation(np.concatenate([pieces[block] for block in window])) for window in windows])


def _systematic(sizes: Rows, balance: float, rng: np.random.Generator) -> Rows:
    """Draw as many positions as there are cells, each floor or ceil of its expected number of times; sorted."""
    reached = np.cumsum(sizes.astype(float) ** -balance)
    levels = (np.arange(len(sizes)) + rng.random()) / len(sizes) * reached[-1]
    return np.minimum(np.searchsorted(reached, levels, side="right"), len(sizes) - 1)
