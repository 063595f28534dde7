"""The first forward pass of a walk, computed once where it is asked for again.

At the first step nothing is visible: what the model says depends on condition and depth alone. Depths are drawn anew
within their strata in every shard, so

- a model that is told the depth computes the *control's* branch once for a shard of a context: all conditions share it
  with one another, because they share its depths, and with the control itself. Two shards of a condition share nothing;
- a model that is not told it (``depth_token: false``, as in ``paper``) computes either branch once for a condition.

A pass is kept whole and handed out again for the same cells, so every number is the same to the bit.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable
from typing import Generic, TypeVar

import torch

from lingshu_core.conditioning import ConditionBatch

Kept = TypeVar("Kept")

MOST_BYTES = 2**28
"""Of all passes that are kept, 256 MB: 8 shards of 64 cells of the largest published shape in half precision."""


class FirstSteps(Generic[Kept]):
    """Passes by what went into them; those that were not asked for the longest time make room for others.

    Parameters
    ----------
    uses_depth
        Whether the model is told the depth of a cell.
    size
        Bytes of what a pass leaves.
    most_bytes
        Limit for all of them together.
    """

    def __init__(self, *, uses_depth: bool, size: Callable[[Kept], int], most_bytes: int = MOST_BYTES) -> None:
        self._uses_depth, self._size, self._most = uses_depth, size, most_bytes
        self._kept: OrderedDict[tuple[object, ...], Kept] = OrderedDict()
        self._bytes = 0

    def get(self, batch: ConditionBatch, compute: Callable[[], Kept]) -> Kept:
        """Return the pass of these cells; it is computed if it isn't there."""
        if self._uses_depth and bool(batch.parts.any()):  # its depths never come again
            return compute()
        key = self._key(batch)
        if key in self._kept:
            self._kept.move_to_end(key)
            return self._kept[key]
        found = compute()
        self._kept[key] = found
        self._bytes += self._size(found)
        while self._bytes > self._most:
            self._bytes -= self._size(self._kept.popitem(last=False)[1])
        return found

    def _key(self, batch: ConditionBatch) -> tuple[object, ...]:
        told = [batch.factors, batch.parts, batch.rows, batch.doses, *([batch.log_depth] if self._uses_depth else [])]
        return (batch.log_depth.device, *((each.shape, _bytes(each)) for each in told))


def _bytes(values: torch.Tensor) -> bytes:
    return values.detach().cpu().contiguous().numpy().tobytes()
