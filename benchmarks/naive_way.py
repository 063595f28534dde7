"""The naive way to screen with a generative model of cells: draw cells of a condition, store them, rank with scanpy.

What one writes around the published model: for each condition a file of drawn cells, then the effect of each gene and
its test against the control's cells. Control cells are drawn and prepared once. Each piece is as quick as it can be
without changing what it does: random numbers are drawn for a whole batch, and the test is the t-test, scanpy's default
and its fastest.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

import anndata
import numba
import numpy as np
import numpy.typing as npt
import pandas as pd
import scanpy as sc  # type: ignore[import-untyped]
import scipy.sparse as sp
import torch

from lingshu_core.checkpoint import Checkpoint
from lingshu_core.conditioning import Condition, index_conditions
from lingshu_core.depths import pooled_depths
from lingshu_core.reveal import RevealSettings
from lingshu_core.sampler import sample_tokens, to_outer_counts

Array = npt.NDArray[np.float64]
Found = TypeVar("Found")

BATCH = 256
"""Cells in one pass; more are no faster with a model of this size."""


@dataclass(frozen=True)
class Ranked:
    """One condition, the naive way: effect on log1p counts per 10k and its variance from cell to cell, both (genes,).

    Seconds are those of the processor.
    """

    effect: Array
    variance: Array
    generate_seconds: float
    store_seconds: float
    rank_seconds: float
    stored_bytes: int


def naive_condition(
    model: Checkpoint,
    condition: Condition,
    cells: int,
    controls: anndata.AnnData,
    settings: RevealSettings,
    rng: np.random.Generator,
    folder: Path,
) -> Ranked:
    """Draw the cells of one condition, store them, and rank its genes; ``controls`` are as of `prepared`."""
    path = folder / "cells.h5ad"
    one_thread()
    drawn, generating = _timed(lambda: draw_cells(model, condition, cells, settings, rng))
    _, storing = _timed(lambda: drawn.write_h5ad(path))
    (effect, variance), ranking = _timed(lambda: _ranked(path, controls))
    one_thread()
    return Ranked(effect, variance, generating, storing, ranking, path.stat().st_size)


def one_thread() -> None:
    """Hold torch and numba to one thread: numba, which scanpy calls, gives torch two, which take ten times as long."""
    numba.set_num_threads(1)
    torch.set_num_threads(1)


def draw_cells(
    model: Checkpoint, condition: Condition, cells: int, settings: RevealSettings, rng: np.random.Generator
) -> anndata.AnnData:
    """Draw cells at depths of control cells; raw counts, with the depth of each in ``obs``."""
    depth = rng.choice(pooled_depths(model.vocabulary, model.control_depths, condition.context), cells)
    parts = [depth[first : first + BATCH] for first in range(0, cells, BATCH)]
    counts = [sp.csr_matrix(_batch(model, condition, part, settings, rng)) for part in parts]
    names = pd.Index([f"cell{i}" for i in range(cells)])
    obs = pd.DataFrame({"depth": depth}, index=names)
    return anndata.AnnData(sp.csr_matrix(sp.vstack(counts)), obs, pd.DataFrame(index=list(model.vocabulary.genes)))


@torch.inference_mode()
def _batch(
    model: Checkpoint, condition: Condition, depth: Array, settings: RevealSettings, rng: np.random.Generator
) -> npt.NDArray[np.float32]:
    shape = (len(depth), model.denoiser.genes)
    rank = torch.from_numpy(np.argsort(rng.random(shape, dtype=np.float32), axis=1))
    uniforms = torch.from_numpy(rng.random(shape, dtype=np.float32))
    batch = index_conditions(model.vocabulary, [condition] * len(depth), depth)
    return to_outer_counts(model.denoiser, sample_tokens(model.denoiser, batch, rank, uniforms, settings))


def prepared(cells: anndata.AnnData, label: str) -> anndata.AnnData:
    """Turn counts into log1p counts per 10k in place, and name the cells."""
    cells.X = sp.csr_matrix(cells.X.multiply(1e4 / cells.obs["depth"].to_numpy()[:, None]))
    sc.pp.log1p(cells)
    cells.obs["condition"] = label
    return cells


def _ranked(path: Path, controls: anndata.AnnData) -> tuple[Array, Array]:
    """Read the cells of a condition and compare them with the control's."""
    cells = prepared(anndata.read_h5ad(path), "condition")
    both = anndata.concat([cells, controls], index_unique="-")
    both.obs["condition"] = both.obs["condition"].astype("category")
    sc.tl.rank_genes_groups(both, "condition", groups=["condition"], reference="control", method="t-test")
    mean, square = _moments(cells)
    return mean - _moments(controls)[0], square - np.square(mean)


def _moments(cells: anndata.AnnData) -> tuple[Array, Array]:
    values = cells.X
    return np.asarray(values.mean(axis=0)).ravel(), np.asarray(values.multiply(values).mean(axis=0)).ravel()


def _timed(action: Callable[[], Found]) -> tuple[Found, float]:
    started = time.process_time()
    found = action()
    return found, time.process_time() - started
