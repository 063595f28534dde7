"""Effects of *every* condition as an AnnData zarr store of large shards, written while the fold runs: ``effects.zarr``.

100,000 conditions × 18,080 genes are 7.2 GB a layer, so nothing of it is kept: the fold fills a stretch of rows, and a
full stretch becomes one object per layer. When the last condition is folded, only the rows' descriptions are left to be
written. Inside a shard lie chunks of 512 conditions × 128 genes (256 kB), a compromise: one condition is read from one
shard, one gene from a 142nd of each where there are 18,080.

Numbers are not compressed: they are Monte Carlo means whose last bits are noise (zstd takes off 5 % and doubles the
time).
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import anndata
import numpy as np
import numpy.typing as npt
import pandas as pd
import polars as pl
import zarr
from zarr.storage import MemoryStore

from actors.blobs import Blobs
from screening.deciding.hits import Scored
from screening.folding.effect_matrix import readable_obs

EFFECTS_STORE = "effects.zarr"
ROWS, GENES = 512, 128
"""Conditions of a shard and of its chunks; genes of a chunk. A shard has all genes."""
LAYERS: Mapping[str, str] = {"X": "log1p", "layers/effect_se": "log1p_se"}
"""Array of the store → what it has of an effect (`screening.folding.effects.Effect`)."""
_ROOT = "zarr.json"


class EffectStore:
    """Takes conditions in the order of the plan and keeps no more than one shard of them.

    Until `finish` there is no root of the store, so that nobody takes a half of it, or a mixture with the one that was
    there before, for a whole. Like ``cells.zarr`` it has no versions.

    Parameters
    ----------
    blobs
        The place of results.
    genes
        Columns.
    rows
        Conditions of a shard.
    """

    def __init__(self, blobs: Blobs, genes: tuple[str, ...], rows: int = ROWS) -> None:
        self._blobs, self._genes, self._rows = blobs, genes, rows
        self._keys: list[str] = []
        self._labels: list[tuple[str, str]] = []
        self._filled = {name: np.empty((rows, len(genes)), np.float32) for name in LAYERS}
        self._stale = {key for key, _ in blobs.list(EFFECTS_STORE)}
        self._blobs.delete(f"{EFFECTS_STORE}/{_ROOT}")

    def add(self, scored: Scored) -> None:
        """Take one condition, unless it failed; each full shard is written at once."""
        if scored.effect is None or scored.score is None:
            return
        row = len(self._keys) % self._rows
        for name, part in LAYERS.items():
            self._filled[name][row] = getattr(scored.effect, part)
        condition = scored.folded.planned.condition
        self._keys.append(scored.folded.planned.key)
        self._labels.append((condition.perturbation.label, condition.context.label))
        if row == self._rows - 1:
            self._flush(self._rows)

    def finish(self, hits: pl.DataFrame, used: npt.NDArray[np.bool_]) -> int:
        """Write the last shard and what describes rows and columns; the root last of all.

        Parameters
        ----------
        hits
            The decided table, whose rows become ``obs``.
        used
            Which genes the objective uses, (genes,).

        Returns
        -------
        How many conditions the store has.
        """
        if left := len(self._keys) % self._rows:
            self._flush(left)
        files: dict[str, Any] = {}
        group = zarr.open_group(MemoryStore(files), mode="w", zarr_format=3)
        with anndata.settings.override(zarr_write_format=3, auto_shard_zarr_v3=True):
            anndata.io.write_elem(group, "/", self._described(hits, used))
        _arrays(group, len(self._keys), len(self._genes), self._rows)
        root = files.pop(_ROOT)
        for key, content in files.items():
            self._put(key, content.to_bytes())
        for key in self._stale:
            self._blobs.delete(key)
        self._put(_ROOT, root.to_bytes())
        return len(self._keys)

    def _flush(self, rows: int) -> None:
        """Write the rows that are filled as the next shard of every array."""
        number = (len(self._keys) - 1) // self._rows
        files: dict[str, Any] = {}
        group = zarr.open_group(MemoryStore(files), mode="w", zarr_format=3)
        # An array of one shard, whose bytes are those of any shard: only the name tells which rows they are.
        for name, array in _arrays(group, rows, len(self._genes), self._rows).items():
            array[:] = self._filled[name][:rows]
            if (first := files.get(f"{name}/c/0/0")) is not None:  # a shard of nothing but zeros isn't written
                self._put(f"{name}/c/{number}/0", first.to_bytes())
            files.clear()

    def _put(self, key: str, data: bytes) -> None:
        self._blobs.put(f"{EFFECTS_STORE}/{key}", data)
        self._stale.discard(f"{EFFECTS_STORE}/{key}")

    def _described(self, hits: pl.DataFrame, used: npt.NDArray[np.bool_]) -> anndata.AnnData:
        wanted = pl.DataFrame(self._labels, schema={"perturbation": pl.String, "context": pl.String}, orient="row")
        rows = wanted.join(hits, on=["perturbation", "context"], how="left", maintain_order="left").select(hits.columns)
        obs = readable_obs(rows.to_pandas(), self._keys)
        texts = {name: "category" for name in obs if obs[name].dtype == object}
        var = pd.DataFrame({"in_objective": used}, index=pd.Index(self._genes, name="gene"))
        uns = {"units": {"X": "log1p counts per 10k", "*": "log1p counts per 10k"}}
        return anndata.AnnData(obs=obs.astype(texts), var=var, uns=uns)


def _arrays(group: zarr.Group, rows: int, genes: int, shard: int) -> dict[str, zarr.Array[Any]]:
    """Make the arrays of a store, empty."""
    made = {}
    for name in LAYERS:
        made[name] = group.create_array(
            name,
            shape=(rows, genes),
            dtype=np.float32,
            chunks=(shard, GENES),
            shards=(shard, GENES * -(-genes // GENES)),
            compressors=None,
            fill_value=0.0,
            attributes={"encoding-type": "array", "encoding-version": "0.2.0"},
            overwrite=True,
        )
    return made
