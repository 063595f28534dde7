"""Per-gene effects of the best conditions, kept while the fold runs: what becomes ``effects.h5ad``."""

from __future__ import annotations

import heapq
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import anndata
import numpy as np
import numpy.typing as npt
import pandas as pd
import polars as pl

from screening.deciding.hits import COLUMNS, Scored

LARGEST_EXPORT = 20_000_000
"""Entries (conditions × genes) of a layer; of a larger screen only the best conditions are exported."""

Layers = dict[str, npt.NDArray[np.float32]]


@dataclass(order=True)
class _Kept:
    score: float
    order: int = field(compare=True)
    key: str = field(compare=False)
    layers: Layers = field(compare=False)


class EffectMatrix:
    """Effects of up to ``most`` conditions; when it is full, a better one takes the place of the worst."""

    def __init__(self, genes: tuple[str, ...], most: int | None = None) -> None:
        self.genes = genes
        self.most = most if most is not None else max(1, LARGEST_EXPORT // len(genes))
        self._kept: list[_Kept] = []
        self._seen = 0

    def add(self, scored: Scored) -> None:
        """Keep one condition, unless it failed or better ones fill the matrix."""
        layers = _layers(scored)
        if layers is None or scored.score is None:
            return
        # Of equal scores the one that came first in the plan stays.
        kept = _Kept(scored.score.score, -self._seen, scored.folded.planned.key, layers)
        self._seen += 1
        if len(self._kept) < self.most:
            heapq.heappush(self._kept, kept)
        else:
            heapq.heappushpop(self._kept, kept)

    @property
    def keys(self) -> list[str]:
        """Keys of the conditions that are kept, in the order of the plan."""
        return [kept.key for kept in self._in_order()]

    @property
    def by_key(self) -> dict[str, Layers]:
        """Layers of each condition that is kept, (genes,) each, as `to_anndata` names them; ``effect`` is its ``X``."""
        return {kept.key: kept.layers for kept in self._kept}

    def to_anndata(self, rows: Mapping[str, Mapping[str, Any]], used: npt.NDArray[np.bool_]) -> anndata.AnnData | None:
        """Return conditions × genes; ``X`` is the effect in log1p counts per 10k, ``obs`` the hit table.

        Parameters
        ----------
        rows
            Row of the hit table of each key.
        used
            Which genes the objective uses, (genes,).
        """
        kept = self._in_order()
        if not kept:
            return None
        obs = readable_obs(pd.DataFrame([rows[each.key] for each in kept]), self.keys)
        layers = {name: np.stack([each.layers[name] for each in kept]) for name in kept[0].layers}
        var = pd.DataFrame({"in_objective": used}, index=pd.Index(self.genes, name="gene"))
        table = anndata.AnnData(X=layers.pop("effect"), obs=obs, var=var, layers=layers)
        table.uns["units"] = {"X": "log1p counts per 10k", "*_counts": "counts", "*": "log1p counts per 10k"}
        return table

    def _in_order(self) -> list[_Kept]:
        return sorted(self._kept, key=lambda kept: -kept.order)


def readable_obs(rows: pd.DataFrame, keys: Sequence[str]) -> pd.DataFrame:
    """Make ``obs`` of rows of the hit table: h5ad and zarr have no missing values among texts."""
    obs = rows.set_index(pd.Index(keys, name="condition"))
    for name in obs:  # a column of Nones has lost its type
        number = name in COLUMNS and COLUMNS[name][0] != pl.String
        obs[name] = pd.to_numeric(obs[name]) if number else _as_text(obs[name])
    return obs


def _as_text(column: pd.Series) -> pd.Series:
    return column.fillna("").astype(str) if column.dtype == object else column


def _layers(scored: Scored) -> Layers | None:
    effect, moments, control = scored.effect, scored.folded.moments, scored.folded.control
    if effect is None or moments is None or control is None:
        return None
    layers = {
        "effect": effect.log1p,
        "effect_se": effect.log1p_se,
        "effect_counts": effect.counts,
        "effect_counts_se": effect.counts_se,
        "mean": moments.log1p.mean(axis=0),
        "variance": moments.log1p_variance,
        "mean_counts": moments.counts.mean(axis=0),
        "variance_counts": moments.counts_variance,
        "control_mean": control.log1p.mean(axis=0),
        "control_mean_counts": control.counts.mean(axis=0),
    }
    if effect.log1p_sd is not None:
        layers["effect_sd"] = effect.log1p_sd
    return {name: values.astype(np.float32) for name, values in layers.items()}
