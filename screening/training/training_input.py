"""The cells of a training: read into memory, or left on disk and read in blocks."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import fsspec
import numpy as np
import numpy.typing as npt

from campaigns.data_spec import TrainingDataSpec
from lingshu_core.cell_files import read_all
from lingshu_core.cell_store import CACHE, open_store
from lingshu_core.cells import Cells, CellSource
from lingshu_core.count_rows import CountRows
from screening.objective.readouts import cell_sources

BYTES_PER_VALUE = 28
"""Memory that a stored value takes at its peak: arrays of the file (8), counts (8), tokens (6), training set (6)."""
Mask = npt.NDArray[np.bool_]


def read_input(
    data: TrainingDataSpec, held_out: Callable[[Cells], Mask], folder: str | None = None
) -> tuple[Cells, int]:
    """Read and check the cells of a training, and leave some of them out.

    Parameters
    ----------
    data
        The ``data`` block.
    held_out
        Tells which cells to leave out, (cells,).
    folder
        Where the result of the pass over files on disk is kept; None: nowhere.

    Returns
    -------
    The cells, ``StoredCells`` where their counts stay on disk, and how many were left out.

    Raises
    ------
    DataError
        If the cells can't be used.
    """
    sources = cell_sources(data)
    if not fits_in_memory(sources, data):
        return open_store(sources, data.genes, held_out=held_out, cache=folder)
    cells = read_all(sources, data.genes)
    left_out = held_out(cells)
    return cells.select(~left_out), int(left_out.sum())


def forget_pass(folder: str) -> None:
    """Remove what the pass over the files left for a resumed training."""
    filesystem, root = fsspec.core.url_to_fs(folder)
    if filesystem.exists(f"{root}/{CACHE}"):
        filesystem.rm_file(f"{root}/{CACHE}")


def fits_in_memory(sources: Sequence[CellSource], data: TrainingDataSpec) -> bool:
    """Tell whether all counts are to be held in memory."""
    if data.in_memory != "auto":
        return data.in_memory
    limit = data.memory_gb * 1e9
    if sum(bytes_of(source.path) for source in sources) * BYTES_PER_VALUE <= limit:
        return True  # a byte is seldom more than a value, however well it is packed
    return sum(_stored_values(source) for source in sources) * BYTES_PER_VALUE <= limit


def _stored_values(source: CellSource) -> int:
    with CountRows(source) as file:
        return file.stored_values


def bytes_of(path: str) -> int:
    """Return the size of a file or store; 0 where there is none, which reading it will tell."""
    try:
        filesystem, root = fsspec.core.url_to_fs(path)
        return int(filesystem.du(root))
    except (OSError, ValueError, ImportError):
        return 0
