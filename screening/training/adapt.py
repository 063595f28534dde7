"""``lingshu adapt``: a model that knows new contexts, from their control cells."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd
import torch

from lingshu_core.adaptation import AdaptationConfig, Adapted, ControlCells, adapt
from lingshu_core.cell_file import CellFile, open_cells
from lingshu_core.checkpoint import Checkpoint, load_checkpoint, write_checkpoint
from lingshu_core.errors import MissingColumn, UnusableCells
from lingshu_core.gene_panel import Orthologs, PanelMatch, match_panel
from lingshu_core.training import pick_device
from screening.errors import ResultsError
from screening.place import same_place
from screening.training.training_run import check_output


@dataclass(frozen=True)
class AdaptationRequest:
    """What to learn, from which cells.

    Parameters
    ----------
    model, data, output
        The checkpoint, the ``.h5ad`` with the new contexts' cells, and the folder of the new checkpoint.
    columns
        Context factor of the model → column of ``obs``; factors left out have their own name there.
    where
        Which cells are controls: column of ``obs`` → values; empty: all cells of the file.
    depth
        Column with the total UMIs of a cell, where the file holds a panel only.
    layer
        Layer with the raw counts; None: ``X``.
    orthologs
        From the genes of the cells to those of the model, where species differ.
    """

    model: str
    data: str
    output: str
    columns: Mapping[str, str] = field(default_factory=dict)
    where: Mapping[str, Iterable[object]] = field(default_factory=dict)
    depth: str | None = None
    layer: str | None = None
    orthologs: Orthologs | None = None
    device: str = "auto"
    threads: int = 1
    config: AdaptationConfig = field(default_factory=AdaptationConfig)


@dataclass(frozen=True)
class AdaptationResult:
    """What came of it; losses are nats per gene on the new control cells."""

    output: str
    digest: str
    contexts: tuple[str, ...]
    cells: int
    new_values: Mapping[str, tuple[str, ...]]
    loss_before: float
    loss_after: float
    genes: str


def adapt_model(request: AdaptationRequest, on_step: Callable[[int, int], None] | None = None) -> AdaptationResult:
    """Learn new contexts and write the checkpoint that knows them; the old one stays as it is.

    Raises
    ------
    CheckpointError, DataError, ResultsError
        If the model, the cells or the output can't be used.
    """
    if same_place(request.output, request.model):
        raise ResultsError(f"{request.output}: is the model itself, which stays as it is; give another --output")
    torch.set_num_threads(request.threads)
    model = load_checkpoint(request.model, pick_device(request.device))
    with open_cells(request.data, request.layer) as file:
        match = match_panel(model.vocabulary.genes, file.genes, request.data, request.orthologs)
        cells = control_cells(file, model, match, request)
    check_output(request.output)
    adapted = adapt(model, cells, request.config, on_step)
    new = adapted.vocabulary.contexts[len(model.vocabulary.contexts) :]
    return AdaptationResult(
        output=request.output,
        digest=_write(request, model, adapted, len(cells.contexts)),
        contexts=tuple(", ".join(context.factors.values()) for context in new),
        cells=len(cells.contexts),
        new_values=adapted.new_values,
        loss_before=adapted.loss_before,
        loss_after=adapted.loss_after,
        genes=match.describe(),
    )


def control_cells(file: CellFile, model: Checkpoint, match: PanelMatch, request: AdaptationRequest) -> ControlCells:
    """Read the control cells and what their contexts are.

    Raises
    ------
    DataError
        If a column or a label is missing, or the model's contexts have no factors.
    """
    factors = model.vocabulary.factors
    if not factors:
        raise UnusableCells(f"{request.model}: the model has no context factors, so no context is new to it")
    for factor in request.columns:
        if factor not in factors:
            raise MissingColumn(
                f"--factor {factor}: the model has no context factor {factor!r}; it has: {', '.join(factors)}"
            )
    rows = file.matching(request.where) if request.where else np.arange(len(file))
    labels = {factor: _labels(file, request.columns.get(factor, factor), rows) for factor in factors}
    counts = match.align(file.counts(rows))
    return ControlCells(
        counts=counts,
        present=match.present,
        contexts=tuple(dict(zip(labels, values, strict=True)) for values in zip(*labels.values(), strict=True)),
        depth=_depth(file, rows, request.depth, np.asarray(counts.sum(axis=1)).ravel()),
    )


def _labels(file: CellFile, column: str, rows: npt.NDArray[np.int64]) -> list[str]:
    values = file.column(column).iloc[rows]
    if values.isna().any():
        raise UnusableCells(f"{file.path}: obs[{column!r}] is empty in {int(values.isna().sum())} of the cells")
    return [str(value) for value in values]


def _depth(
    file: CellFile, rows: npt.NDArray[np.int64], column: str | None, counted: npt.NDArray[np.float64]
) -> npt.NDArray[np.float64]:
    total = counted
    if column is not None:
        total = pd.to_numeric(file.column(column).iloc[rows], errors="coerce").to_numpy(dtype=np.float64)
    if not (total > 0).all():
        raise UnusableCells(f"{file.path}: {int((~(total > 0)).sum())} cells have no depth above zero; leave them out")
    if (total < counted).any():
        raise UnusableCells(
            f"{file.path}: obs[{column!r}] is below the sum of the counts in {int((total < counted).sum())} cells; it"
            " has to be the total UMIs over all genes"
        )
    return np.asarray(total, dtype=np.float64)


def _write(request: AdaptationRequest, model: Checkpoint, adapted: Adapted, cells: int) -> str:
    earlier: list[dict[str, Any]] = list(model.card.get("adapted", ()))
    step = {
        "model": model.digest,
        "data": request.data,
        "cells": cells,
        "values": {factor: list(values) for factor, values in adapted.new_values.items() if values},
        "loss_before": adapted.loss_before,
        "loss_after": adapted.loss_after,
    }
    card = {**model.card, "adapted": [*earlier, step]}
    depths = adapted.control_depths
    return write_checkpoint(request.output, adapted.denoiser, adapted.vocabulary, depths, card, model.priors)
