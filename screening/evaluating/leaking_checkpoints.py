"""What has a model that is trained already seen of what is asked?

A checkpoint tells much of itself: the conditions that it was trained on, the contexts that its priors were measured in,
the digest of its cells, and where they lie. Where the digest is that of a fold's training cells, nothing of the fold
can have been seen; else the files that its card names are compared cell by cell.
"""

from __future__ import annotations

import json
from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from lingshu_core.cell_files import find_files
from lingshu_core.cells import Cells
from lingshu_core.checkpoint import CheckpointHeader
from lingshu_core.errors import MissingColumn
from lingshu_core.feature_files import read_feature_file
from lingshu_core.leak_finding import Finding
from lingshu_core.relations import Relations
from lingshu_core.shared_cells import shared_cells
from lingshu_core.split_leaks import Look, condition_leaks, prior_leaks, trained_by
from lingshu_core.split_table import CellTable
from lingshu_core.splits import Fold, Split
from screening.evaluating.leaking_features import table_leaks
from screening.evaluating.leaking_files import counts_are_here, is_there, kept_from_learning, names_and_counts

Mask = npt.NDArray[np.bool_]


def checkpoint_leaks(
    header: CheckpointHeader, split: Split, cells: Cells, model: str, relations: Relations | None = None
) -> list[Finding]:
    """Find what a trained model has seen of what is asked.

    Parameters
    ----------
    header
        The checkpoint without its weights.
    split, cells
        The split, and the data set that it is of.
    model
        Its name, for messages.
    relations
        What counts as related, for splits by families and structures.

    Raises
    ------
    DataError, FeatureError
        If a file that the card names is there and can't be read.
    """
    findings: list[Finding] = []
    trained, table = trained_by(header.vocabulary), CellTable.of(cells)
    for fold in split.folds:
        look = Look(split, fold, trained, table, f"{model}, fold {fold.name!r}", relations)
        findings += condition_leaks(look)
        if header.priors is not None:
            findings += prior_leaks(look, header.priors)
    unproven = [fold for fold in split.folds if not _was_trained_on(header, cells, fold)]
    if unproven:
        findings += _cell_leaks(header, split, unproven, cells, model)
    for origin in header.card.get("features", ()):
        if origin["kind"] == "table" and is_there(origin["file"]):
            findings += table_leaks(read_feature_file(origin["file"]), split, cells, model)
    return findings


def _was_trained_on(header: CheckpointHeader, cells: Cells, fold: Fold) -> bool:
    """Whether a model was trained on the training cells of a fold and on no others."""
    return counts_are_here(cells) and header.card.get("data_digest") == cells.select(fold.train).digest()


def _cell_leaks(
    header: CheckpointHeader, split: Split, folds: Sequence[Fold], cells: Cells, model: str
) -> list[Finding]:
    """Find cells that are asked among those that a model was trained on."""
    held = np.logical_or.reduce([kept_from_learning(split, fold) for fold in folds])
    if header.card.get("data_digest") == cells.digest():
        return _learnt(held, cells, model, "all cells of the data")
    places = [*str(header.card.get("data", "")).split(", "), *(step["data"] for step in header.card.get("adapted", ()))]
    findings = []
    for place in filter(None, places):
        if not is_there(place):
            text = f"it was trained on {place}, which isn't here, so it can't be told whether cells are shared"
            cure = "put the file where the model's card says that it is"
            findings.append(Finding("unknown", "note", model, 0, (), text, cure))
            continue
        for file in find_files([place]):
            found = shared_cells(cells, names_and_counts(file))
            seen = CellTable.of(cells).mask(found.same) & held & ~_left_out(header, cells) & _of_seen(header, cells)
            findings += _learnt(seen, cells, model, file)
    return findings


def _left_out(header: CheckpointHeader, cells: Cells) -> Mask:
    """Return the cells that the card says were held out of the training, (cells,)."""
    left_out = np.zeros(len(cells), dtype=bool)
    for match in json.loads(header.card.get("held_out") or "[]"):
        try:
            left_out |= cells.matching(match)
        except MissingColumn:
            continue  # none of these cells is of a value, or tells of a column, that was held out
    return left_out


def _of_seen(header: CheckpointHeader, cells: Cells) -> Mask:
    """Return the cells of conditions that a model was trained on, as far as the data tell, (cells,)."""
    factors = list(header.vocabulary.factors)
    if not set(factors) <= set(cells.obs):
        return np.ones(len(cells), dtype=bool)
    seen = {
        (*(one.values.get(factor, "") for factor in factors), one.label or header.vocabulary.control)
        for one in trained_by(header.vocabulary)
    }
    labels = np.where(cells.is_control, header.vocabulary.control, cells.obs["perturbation"].astype(str))
    columns = [cells.obs[factor].astype(str) for factor in factors]
    return np.array([key in seen for key in zip(*columns, labels, strict=True)], dtype=bool)


def _learnt(seen: Mask, cells: Cells, model: str, source: str) -> list[Finding]:
    if not seen.any():
        return []
    text = f"it was trained on {source}: {{count}} cells of it are asked, or effects are measured by them"
    cure = "train it within the evaluation, or hold them out of its training"
    if bool(cells.is_control[seen].all()):
        cure += "; controls: shared lets models learn from controls that effects are measured by"
    return [Finding.of("same_cells", model, CellTable.of(cells).names[seen].tolist(), text, cure)]
