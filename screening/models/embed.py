"""``lingshu embed``: cells of a file beside their representation by a model."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Any

import anndata
import fsspec
import h5py
import numpy as np
import numpy.typing as npt
import torch

from lingshu_core.cell_file import CellFile, open_cells
from lingshu_core.checkpoint import Checkpoint, load_checkpoint
from lingshu_core.gene_panel import Orthologs, PanelMatch, match_panel
from lingshu_core.representation import RepresentationKind, default_kind, represent_cells
from lingshu_core.training import pick_device
from screening.errors import ResultsError
from screening.models.cell_output import replaced
from screening.place import same_place

KEY = "X_lingshu"
ROWS = 2048
"""Cells whose counts are in memory at a time."""

Progress = Callable[[int, int], None]


@dataclass(frozen=True)
class EmbeddingResult:
    """What came of an embedding."""

    output: str
    cells: int
    dimensions: int
    kind: str
    model_digest: str
    genes: str


@dataclass(frozen=True)
class EmbeddingRequest:
    """What to embed.

    Parameters
    ----------
    data, layer
        The ``.h5ad`` with raw counts, and the layer that holds them (None: ``X``).
    model, output
        The checkpoint, and the ``.h5ad`` to write.
    kind
        ``tilt`` or ``hidden``; None takes the model's default.
    orthologs
        From the genes of the cells to those of the model, where species differ.
    device, threads
        Where and with how many CPU threads to compute.
    """

    data: str
    model: str
    output: str
    layer: str | None = None
    kind: RepresentationKind | None = None
    orthologs: Orthologs | None = None
    device: str = "auto"
    threads: int = 1


def embed(request: EmbeddingRequest, on_progress: Progress | None = None) -> EmbeddingResult:
    """Represent the cells of a file and write it with ``obsm["X_lingshu"]``; everything else stays as it is.

    Raises
    ------
    CheckpointError, DataError, ConfigurationError, ResultsError
        If the model, the cells or the output can't be used.
    """
    if same_place(request.output, request.data):
        raise ResultsError(f"{request.output}: is the file of the cells itself; write to another with --output")
    with replaced(request.output) as temporary:
        torch.set_num_threads(request.threads)
        model = load_checkpoint(request.model, pick_device(request.device))
        kind = request.kind or default_kind(model.denoiser)
        with open_cells(request.data, request.layer) as cells:
            match = match_panel(model.vocabulary.genes, cells.genes, request.data, request.orthologs)
            found = represent_file(cells, model, match, kind, on_progress)
        _copy(request.data, temporary)
        _write(temporary, found, {"model": request.model, "model_digest": model.digest, "kind": kind})
    return EmbeddingResult(request.output, len(found), found.shape[1], kind, model.digest, match.describe())


def represent_file(
    cells: CellFile,
    model: Checkpoint,
    match: PanelMatch,
    kind: RepresentationKind,
    on_progress: Progress | None = None,
) -> npt.NDArray[np.float32]:
    """Represent all cells of a file, (cells, dimensions), holding the counts of a few of them at a time."""
    parts = []
    for first in range(0, len(cells), ROWS):
        rows = np.arange(first, min(first + ROWS, len(cells)))
        counts = match.align(cells.counts(rows))
        parts.append(represent_cells(model.denoiser, model.vocabulary, counts, match.present, kind))
        if on_progress is not None:
            on_progress(int(rows[-1]) + 1, len(cells))
    return np.concatenate(parts)


def _copy(data: str, temporary: Path) -> None:
    with fsspec.open(data, "rb") as source, temporary.open("wb") as copy:
        shutil.copyfileobj(source, copy)


def _write(path: Path, found: npt.NDArray[np.float32], facts: dict[str, Any]) -> None:
    """Add the representation to a file; nothing else in it is read or written again."""
    with h5py.File(path, "r+") as file:
        for group, key in (("obsm", KEY), ("uns", KEY)):
            if group not in file:
                anndata.io.write_elem(file, group, {})
            if key in file[group]:
                del file[group][key]
        anndata.io.write_elem(file["obsm"], KEY, found)
        anndata.io.write_elem(file["uns"], KEY, {**facts, "version": version("lingshu-screen")})
