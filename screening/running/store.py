"""What the bytes of a committed block mean: the moments of its shards, as safetensors.

A block holds some shards of one condition. Per shard it keeps the means that standard errors are made of;
mean squares are kept once, averaged over the shards.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import safetensors
import safetensors.numpy
import scipy.sparse as sp

from screening.errors import BlockError

Array = npt.NDArray[np.float32]


@dataclass(frozen=True)
class DrawnCells:
    """Cells of a block that were drawn: ``counts`` (cells, genes) CSR and ``depth`` (cells,)."""

    counts: sp.csr_matrix
    depth: npt.NDArray[np.float64]


@dataclass(frozen=True)
class BlockResult:
    """Moments of the shards of one block.

    ``log1p_mean`` and ``count_mean`` are (shards, genes), in log1p counts per 10k and in counts;
    ``log1p_square`` and ``count_square`` (genes,) are mean squares over all shards.
    """

    first_shard: int
    cells_per_shard: int
    log1p_mean: Array
    count_mean: Array
    log1p_square: Array
    count_square: Array
    cells: DrawnCells | None = None
    origin: str = ""
    """Device, threads and torch version that computed it."""

    @property
    def shards(self) -> int:
        """Number of shards in the block."""
        return len(self.log1p_mean)


def encode_block(result: BlockResult) -> bytes:
    """Turn a block into bytes; the same block always gives the same bytes."""
    arrays = {
        "log1p_mean": result.log1p_mean,
        "count_mean": result.count_mean,
        "log1p_square": result.log1p_square,
        "count_square": result.count_square,
    }
    if result.cells is not None:
        counts = result.cells.counts
        arrays |= {
            "cells_data": counts.data.astype(np.float32),
            "cells_indices": counts.indices.astype(np.int32),
            "cells_indptr": counts.indptr.astype(np.int64),
            "cells_depth": result.cells.depth.astype(np.float64),
        }
    header = json.dumps(
        {"first_shard": result.first_shard, "cells_per_shard": result.cells_per_shard, "origin": result.origin}
    )
    return safetensors.numpy.save({name: np.ascontiguousarray(a) for name, a in arrays.items()}, {"block": header})


def decode_block(data: bytes) -> BlockResult:
    """Read a block back.

    Raises
    ------
    BlockError
        If the bytes are not a block.
    """
    try:
        arrays = safetensors.numpy.load(data)
        header = _header(data)
        return BlockResult(
            first_shard=int(header["first_shard"]),
            cells_per_shard=int(header["cells_per_shard"]),
            log1p_mean=arrays["log1p_mean"],
            count_mean=arrays["count_mean"],
            log1p_square=arrays["log1p_square"],
            count_square=arrays["count_square"],
            cells=_cells(arrays),
            origin=str(header["origin"]),
        )
    except (safetensors.SafetensorError, KeyError, TypeError, ValueError) as error:
        raise BlockError(
            f"not a block of shards ({error}); run `lingshu run` again after removing its commit"
        ) from error


def _header(data: bytes) -> dict[str, Any]:
    """Return the block's own header from the safetensors metadata (its length is the first eight bytes)."""
    length = int.from_bytes(data[:8], "little")
    content: dict[str, Any] = json.loads(json.loads(data[8 : 8 + length])["__metadata__"]["block"])
    return content


def _cells(arrays: dict[str, npt.NDArray[np.generic]]) -> DrawnCells | None:
    if "cells_data" not in arrays:
        return None
    genes = arrays["log1p_mean"].shape[1]
    depth = arrays["cells_depth"]
    parts = (arrays["cells_data"], arrays["cells_indices"], arrays["cells_indptr"])
    return DrawnCells(sp.csr_matrix(parts, shape=(len(depth), genes)), depth.astype(np.float64))
