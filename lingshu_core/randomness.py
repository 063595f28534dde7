"""Random numbers that depend on what is asked, never on who computes it.

Every cell of a shard draws from a counter-based generator (Philox) keyed by the root seed, the context,
the control set, the shard and the cell. The perturbation and the worker are not in the key: a condition
and its control see the same order of genes and the same uniforms (common random numbers), and a shard is
the same wherever and whenever it is computed. A gene is revealed in exactly one step, so one uniform per
gene covers all steps.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt


@dataclass(frozen=True)
class RandomRoot:
    """What the random numbers of a shard depend on."""

    root_seed: int
    context: str
    control_set: str

    def generator(self, *path: int | str) -> np.random.Generator:
        """Return the generator at a path such as ``(shard, cell)``."""
        key = "\x1f".join(map(str, (self.root_seed, self.context, self.control_set, *path)))
        digest = hashlib.sha256(key.encode()).digest()
        return np.random.Generator(np.random.Philox(key=np.frombuffer(digest[:16], dtype=np.uint64)))


@dataclass(frozen=True)
class CellRandomness:
    """Order of reveal and uniforms of some cells, both (cells, genes)."""

    rank: npt.NDArray[np.int32]
    uniforms: npt.NDArray[np.float32]


def cell_randomness(root: RandomRoot, shard: int, cells: int, genes: int, first: int = 0) -> CellRandomness:
    """Draw order and uniforms for the cells ``first`` to ``first + cells`` of one shard.

    Returns
    -------
    ``rank[i, g]`` is the position of gene ``g`` in the random order of cell ``i``; ``uniforms[i, g]`` the
    number from which its token is drawn by inverse CDF.
    """
    rank = np.empty((cells, genes), dtype=np.int32)
    uniforms = np.empty((cells, genes), dtype=np.float32)
    for cell in range(cells):
        generator = root.generator(shard, first + cell)
        rank[cell] = generator.permutation(genes)
        uniforms[cell] = generator.random(genes, dtype=np.float32)
    return CellRandomness(rank, uniforms)


class SharedRandomness:
    """Order and uniforms of shards, kept for the conditions of one context, which all ask for the same.

    Parameters
    ----------
    most_bytes
        What may be kept; shards beyond that are drawn every time.
    """

    def __init__(self, most_bytes: int = 64 * 2**20) -> None:
        self._most, self._bytes = most_bytes, 0
        self._root: RandomRoot | None = None
        self._kept: dict[tuple[int, int, int, int], CellRandomness] = {}

    def of(self, root: RandomRoot, shard: int, cells: int, genes: int, first: int = 0) -> CellRandomness:
        """Return what `cell_randomness` returns; nobody may write into it."""
        if root != self._root:  # conditions come context by context
            self._root, self._kept, self._bytes = root, {}, 0
        key = (shard, cells, genes, first)
        if key in self._kept:
            return self._kept[key]
        found = cell_randomness(root, shard, cells, genes, first)
        size = found.rank.nbytes + found.uniforms.nbytes
        if self._bytes + size <= self._most:
            self._bytes += size
            self._kept[key] = found
        return found


def stratified_quantiles(root: RandomRoot, shard: int, strata: int) -> npt.NDArray[np.float64]:
    """Return one quantile level in each of ``strata`` equal strata of (0, 1), with one shared offset."""
    offset = root.generator(shard, "depth").random()
    return (np.arange(strata) + offset) / strata
