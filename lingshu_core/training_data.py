"""What a trainer asks of its cells, wherever they are."""

from __future__ import annotations

from collections.abc import Generator, Sequence
from typing import Protocol

import numpy as np
import numpy.typing as npt
from torch import Tensor

from lingshu_core.conditioning import ConditionBatch


class TrainingData(Protocol):
    """Cells to train on or to validate with: conditions at hand, tokens in batches."""

    @property
    def conditions(self) -> ConditionBatch:
        """Conditions of all the cells."""

    def __len__(self) -> int:
        """Return the number of cells."""

    def order(self, balance: float, seed: list[int]) -> npt.NDArray[np.int64]:
        """Draw the positions of one epoch, with weights size^−balance."""

    def token_batches(self, batches: Sequence[npt.NDArray[np.int64]]) -> Generator[Tensor, None, None]:
        """Yield the tokens of batches of positions, each (cells, genes), in the model's inner gene order."""
