"""What the leak checkers share: which cells nothing may be learnt from, and files of cells to compare with."""

from __future__ import annotations

import fsspec
import numpy as np
import numpy.typing as npt

from lingshu_core.cell_store import AbsentCounts, open_store
from lingshu_core.cells import Cells, CellSource, read_cells
from lingshu_core.splits import Fold, Split
from screening.training.training_input import BYTES_PER_VALUE, bytes_of

Mask = npt.NDArray[np.bool_]

IN_MEMORY = 8e9
"""Bytes of counts that are read into memory to be compared; of larger files they are read in blocks."""


def kept_from_learning(split: Split, fold: Fold) -> Mask:
    """Return the cells that a fold asks, or measures effects by, (cells,); shared controls are not among them."""
    found = np.zeros(len(fold.train), dtype=bool)
    for question in (*fold.questions, *fold.calibration):
        found |= question.perturbed
        if split.options.get("controls") != "shared":
            found |= question.controls
    return found


def kept_from_all(split: Split) -> Mask:
    """Return the cells that any fold asks, or measures effects by, (cells,)."""
    return np.logical_or.reduce([kept_from_learning(split, fold) for fold in split.folds])


def learnable(fold: Fold) -> Mask:
    """Return the cells that a fold leaves to learn from, or to adapt to, (cells,)."""
    return fold.train if fold.adaptation is None else fold.train | fold.adaptation


def names_and_counts(path: str) -> Cells:
    """Read names and counts of a file, whatever its labels say; errors as in :func:`read_cells`."""
    source = CellSource(path, {})
    if bytes_of(path) * BYTES_PER_VALUE > IN_MEMORY:
        return open_store([source])[0]
    return read_cells(source, experiment=False)


def counts_are_here(cells: Cells) -> bool:
    """Whether counts are in memory."""
    return not isinstance(cells.counts, AbsentCounts)


def is_there(path: str) -> bool:
    """Whether a path or a pattern names something that can be reached."""
    try:
        filesystem, root = fsspec.core.url_to_fs(path)
        return bool(filesystem.glob(root)) if set(path) & set("*?[") else bool(filesystem.exists(root))
    except (OSError, ValueError, ImportError):
        return False
