"""The real cells that a model is measured on, and which of them it was trained on."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import numpy.typing as npt

from lingshu_core.cell_files import GeneRule, find_files, read_all
from lingshu_core.cells import Cells, CellSource
from lingshu_core.checkpoint import CheckpointHeader
from lingshu_core.errors import MissingColumn, NotCounts, PanelError, UnusableCells

Mask = npt.NDArray[np.bool_]
MOST_NAMED = 5


@dataclass(frozen=True)
class CardCells:
    """Real cells with the genes of a model.

    ``trained`` tells which of them the model was trained on, (cells,); None where that can't be told.
    """

    cells: Cells
    trained: Mask | None


def read_card_cells(
    paths: Sequence[str],
    header: CheckpointHeader,
    columns: Mapping[str, str] | None = None,
    layer: str | None = None,
) -> CardCells:
    """Read cells in the way in which the model's training cells were read.

    Parameters
    ----------
    paths
        Files or patterns.
    header
        The model; it remembers columns and layer, unless it is older than that.
    columns, layer
        Role → column of ``obs`` and the layer with raw counts, in place of what the model remembers.

    Raises
    ------
    DataError
        If the cells can't be used: no counts, columns missing, genes of the model missing.
    """
    reading = header.card.get("reading") or {"columns": _roles(header)}
    words, named = header.vocabulary, {**reading["columns"], **(columns or {})}
    own_layer = layer or reading.get("layer")
    sources = [CellSource(path, named, tuple(words.factors), words.control, own_layer) for path in find_files(paths)]
    found = _read(sources, reading.get("genes", "same"))
    cells = with_genes(found, words.genes, "depth" in named)
    return CardCells(cells, _trained(cells, header))


def _read(sources: Sequence[CellSource], rule: GeneRule) -> Cells:
    try:
        return read_all(sources, rule, experiment=False)
    except MissingColumn as error:
        raise MissingColumn(f"{error}; name it with --column ROLE=COLUMN, or a layer with --layer") from error
    except NotCounts as error:
        raise NotCounts(f"{error} (here: --layer NAME)") from error


def _roles(header: CheckpointHeader) -> dict[str, str]:
    """Name columns as their roles, for a checkpoint that doesn't say how its cells were read."""
    words = header.vocabulary
    doses = any(seen.doses for seen in words.perturbations.values())
    roles = [*words.factors, *(["perturbation"] if words.perturbations else []), *(["dose"] if doses else [])]
    return {role: role for role in roles}


def with_genes(cells: Cells, genes: tuple[str, ...], has_depth: bool = False) -> Cells:
    """Bring cells into a model's panel; genes that it doesn't have are left out.

    Parameters
    ----------
    cells
        The cells.
    genes
        The model's genes.
    has_depth
        Whether the depths are those of a column; otherwise they are summed anew over the genes that are kept.

    Raises
    ------
    PanelError
        If a gene of the model is missing: cells without it can't be compared with the model's.
    UnusableCells
        If a cell has no count in these genes.
    """
    if cells.genes == genes:
        return cells
    place = {gene: column for column, gene in enumerate(cells.genes)}
    missing = [gene for gene in genes if gene not in place]
    if missing:
        shown = ", ".join(missing[:MOST_NAMED])
        raise PanelError(
            f"{cells.source}: {len(missing):,} of the model's {len(genes):,} genes are missing ({shown}), and cells are"
            " compared on all of them; give cells with the genes of the training"
        )
    counts = cells.counts[:, [place[gene] for gene in genes]]
    counts.sort_indices()
    depth = cells.depth if has_depth else np.asarray(counts.sum(axis=1), dtype=np.float64).ravel()
    empty = int((depth == 0).sum())
    if empty:
        raise UnusableCells(f"{cells.source}: {empty} cells have no counts in the genes of the model; drop them")
    return replace(cells, counts=counts, genes=genes, depth=depth)


def _trained(cells: Cells, header: CheckpointHeader) -> Mask | None:
    """Leave the held-out cells out, and see whether the rest are the cells of the training."""
    held = np.zeros(len(cells), dtype=bool)
    try:
        for match in held_out(header.card):
            held |= cells.matching(match)
    except MissingColumn:
        return None
    return ~held if cells.select(~held).digest() == header.card.get("data_digest") else None


def held_out(card: Mapping[str, Any]) -> list[dict[str, Any]]:
    """Return what a training held out: conjunctions of ``role: value(s)``."""
    matches: list[dict[str, Any]] = json.loads(card.get("held_out") or "[]")
    return matches
