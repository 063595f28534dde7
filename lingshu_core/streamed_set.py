"""A training set whose tokens are read from disk in blocks of rows, just ahead of the trainer.

Reading single cells at random is the slowest thing one can ask of a file, so cells are read in runs of
``BLOCK_CELLS`` rows. An epoch takes the blocks in random order and shuffles the cells of ``MIXED_BLOCKS`` of them
together (:func:`lingshu_core.epoch_order.block_order`). Which blocks a batch needs is known beforehand: a thread
reads them in that order, and a block is let go of when the last batch that needs it is made.
"""

from __future__ import annotations

from collections.abc import Generator, Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt
import scipy.sparse as sp
import torch
from torch import Tensor

from lingshu_core.cell_store import StoredCells
from lingshu_core.cells import Cells
from lingshu_core.conditioning import ConditionBatch, index_conditions
from lingshu_core.epoch_order import block_order
from lingshu_core.prefetch import prefetched
from lingshu_core.preparation import cell_condition, condition_sizes
from lingshu_core.tokens import encode
from lingshu_core.vocabulary import Vocabulary

BLOCK_CELLS = 512
"""Rows that are read at once."""
MIXED_BLOCKS = 16
"""Blocks whose cells are shuffled together; about twice as many are in memory."""
Rows = npt.NDArray[np.int64]


@dataclass(frozen=True)
class StreamedSet:
    """Cells to train on whose counts are on disk.

    Parameters
    ----------
    store
        Where the counts are.
    rows
        Row of each cell in the store's files, (cells,), rising.
    conditions, condition_cells
        As in :class:`lingshu_core.preparation.TrainingSet`.
    inner
        Place of each of the file's genes in the model's order, (genes,).
    block_cells, mixed_blocks
        How much is read at once, and how much is mixed.
    """

    store: StoredCells
    rows: Rows
    conditions: ConditionBatch
    condition_cells: Rows
    inner: Rows
    block_cells: int = BLOCK_CELLS
    mixed_blocks: int = MIXED_BLOCKS

    def __len__(self) -> int:
        """Return the number of cells."""
        return len(self.rows)

    def select(self, positions: Rows) -> StreamedSet:
        """Return some of the cells; positions must rise."""
        conditions = self.conditions[torch.from_numpy(positions)]
        cells = self.condition_cells[positions]
        return replace(self, rows=self.rows[positions], conditions=conditions, condition_cells=cells)

    def order(self, balance: float, seed: list[int]) -> Rows:
        """Draw the positions of one epoch, with weights size^−balance, block by block."""
        return block_order(self.condition_cells, balance, seed, self._blocks(), self.mixed_blocks)

    def batch(self, positions: Rows) -> tuple[Tensor, ConditionBatch]:
        """Return dense tokens (cells, genes) and conditions of some cells."""
        return next(self.token_batches([positions])), self.conditions[torch.from_numpy(positions)]

    def token_batches(self, batches: Sequence[Rows]) -> Generator[Tensor, None, None]:
        """Yield the dense tokens of batches of positions, each (cells, genes)."""
        blocks = self._blocks()
        needed = [np.unique(blocks[positions]).tolist() for positions in batches]
        last_use = {block: number for number, present in enumerate(needed) for block in present}
        reads, held = list(_runs(needed)), {}
        with closing(prefetched(self._read_block, reads, ahead=self.mixed_blocks)) as coming:
            due = iter(reads)
            for number, positions in enumerate(batches):
                while any(block not in held for block in needed[number]):
                    held[next(due)] = next(coming)
                yield self._dense(positions, blocks, held)
                for block in needed[number]:
                    if last_use[block] == number:
                        del held[block]

    def _blocks(self) -> Rows:
        """Return the block of each cell, (cells,); a block never crosses from one file into the next."""
        starts = self.store.starts
        file = np.searchsorted(starts, self.rows, side="right") - 1
        first_block = np.concatenate([[0], np.cumsum(-(-np.diff(starts) // self.block_cells))])
        return first_block[file] + (self.rows - starts[file]) // self.block_cells

    def _bounds(self, block: int) -> tuple[int, int]:
        starts = self.store.starts
        first_block = np.concatenate([[0], np.cumsum(-(-np.diff(starts) // self.block_cells))])
        file = int(np.searchsorted(first_block, block, side="right")) - 1
        start = int(starts[file] + (block - first_block[file]) * self.block_cells)
        return start, min(start + self.block_cells, int(starts[file + 1]))

    def _read_block(self, block: int) -> tuple[int, sp.csr_matrix]:
        """Read a block and encode it; returns its first row and its tokens in the inner gene order."""
        start, stop = self._bounds(block)
        counts = self.store.read(start, stop)
        parts = (encode(counts.data), self.inner[counts.indices], counts.indptr)
        return start, sp.csr_matrix(parts, shape=counts.shape)

    def _dense(self, positions: Rows, blocks: Rows, held: dict[int, tuple[int, sp.csr_matrix]]) -> Tensor:
        dense = np.zeros((len(positions), len(self.inner)), dtype=np.int64)
        for cell, (position, block) in enumerate(zip(positions, blocks[positions].tolist(), strict=True)):
            start, tokens = held[block]
            row = self.rows[position] - start
            here = slice(tokens.indptr[row], tokens.indptr[row + 1])
            dense[cell, tokens.indices[here]] = tokens.data[here]
        return torch.from_numpy(dense)


def _runs(needed: Sequence[Sequence[int]]) -> Iterator[int]:
    """Yield each block where it is needed first."""
    seen: set[int] = set()
    for present in needed:
        for block in present:
            if block not in seen:
                seen.add(block)
                yield block


def streamed_set(store: StoredCells, vocabulary: Vocabulary, gene_order: Tensor) -> StreamedSet:
    """Look the conditions of a store's cells up; their tokens are read when they are wanted."""
    return StreamedSet(
        store=store,
        rows=store.rows,
        conditions=condition_batch(store, vocabulary),
        condition_cells=condition_sizes(store),
        inner=np.argsort(gene_order.numpy()),
    )


def condition_batch(cells: Cells, vocabulary: Vocabulary) -> ConditionBatch:
    """Look up the condition of every cell, each different one once: millions of cells have few of them."""
    frame = cells.obs[[*cells.context_roles, "perturbation", "dose"]]
    code = frame.groupby(list(frame.columns), dropna=False, sort=False).ngroup().to_numpy()
    _, first = np.unique(code, return_index=True)
    conditions = [cell_condition(row, cells) for row in frame.iloc[first].to_dict("records")]
    different = index_conditions(vocabulary, conditions, cells.depth[first])
    log_depth = torch.from_numpy(np.log(cells.depth).astype(np.float32))
    return replace(different[torch.from_numpy(code)], log_depth=log_depth)
