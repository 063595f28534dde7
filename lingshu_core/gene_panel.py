"""Other people's genes and the model's: which of them are the same.

Genes are matched by name, across species through a table of orthologs. A gene of the model that the cells don't have
is *masked*, not zero: nobody looked. A gene that the model doesn't have is left out.
"""

from __future__ import annotations

import io
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import fsspec
import numpy as np
import numpy.typing as npt
import pandas as pd
import scipy.sparse as sp

from lingshu_core.bounded_reading import read_at_most
from lingshu_core.errors import MissingColumn, PanelError, UnreadableCells

LARGEST_ORTHOLOGS = 1 << 28
"""Bytes of a table, once it is unpacked."""
SMALLEST_SHARE = 0.3
"""Below this share of the model's genes, cells are refused: they are most likely named in another way."""


@dataclass(frozen=True)
class Orthologs:
    """One-to-one orthologs: gene of the cells → gene of the model.

    ``ambiguous`` counts the rows that were dropped because one of their genes stands in another pair too.
    """

    names: Mapping[str, str]
    ambiguous: int

    def backwards(self) -> dict[str, str]:
        """Return gene of the model → gene of the cells."""
        return {theirs: own for own, theirs in self.names.items()}


def read_orthologs(path: str, cells: str, model: str) -> Orthologs:
    """Read a table of orthologs and keep the pairs whose genes stand in no other pair.

    Parameters
    ----------
    path
        A ``.csv`` or ``.tsv`` file, ``.gz`` or not, with a header: local path or fsspec URL.
    cells, model
        Columns with the genes of the cells and of the model.

    Raises
    ------
    UnreadableCells
        If the file can't be read as a table.
    MissingColumn
        If it lacks a column.
    """
    separator = "\t" if path.removesuffix(".gz").endswith((".tsv", ".txt")) else ","
    try:
        with fsspec.open(path, "rb", compression="infer") as handle:
            content = io.BytesIO(read_at_most(handle, LARGEST_ORTHOLOGS))
        table = pd.read_csv(content, sep=separator, dtype=str, encoding="utf-8")
    except FileNotFoundError as error:
        raise UnreadableCells(f"{path}: no such file; check the path of the orthologs") from error
    except (OSError, ValueError) as error:  # ValueError: bytes that are no text, rows of unequal length
        raise UnreadableCells(f"{path}: not a readable table of orthologs ({error})") from error
    for column in (cells, model):
        if column not in table:
            raise MissingColumn(f"{path}: no column {column!r}; columns are: {', '.join(map(str, table))}")
    pairs = table[[cells, model]].dropna().drop_duplicates()
    unique = ~(pairs[cells].duplicated(keep=False) | pairs[model].duplicated(keep=False))
    kept = pairs[unique]
    return Orthologs(dict(zip(kept[cells], kept[model], strict=True)), int((~unique).sum()))


@dataclass(frozen=True)
class PanelMatch:
    """Which genes of a file are which genes of the model.

    ``columns`` (shared,) are positions in the file and ``positions`` (shared,) those in the model's panel.
    """

    columns: npt.NDArray[np.int64]
    positions: npt.NDArray[np.int64]
    panel: int
    extra: int
    ambiguous: int = 0

    @property
    def present(self) -> npt.NDArray[np.bool_]:
        """Which genes of the panel the file has, (panel genes,)."""
        found = np.zeros(self.panel, dtype=bool)
        found[self.positions] = True
        return found

    def align(self, counts: sp.csr_matrix) -> sp.csr_matrix:
        """Bring counts, (cells, genes of the file), into the panel's order, (cells, panel genes)."""
        # One entry a shared gene: a product of sparse matrices moves columns without a dense copy.
        selector = sp.csr_matrix(
            (np.ones(len(self.columns), dtype=counts.dtype), (self.columns, self.positions)),
            shape=(counts.shape[1], self.panel),
        )
        return (counts @ selector).tocsr()

    def describe(self) -> str:
        """Say how many genes are shared, missing and left out."""
        shared = len(self.columns)
        text = f"{shared:,} of the model's {self.panel:,} genes are in the cells; {self.panel - shared:,} are masked"
        text += f", {self.extra:,} genes of the cells are left out"
        return text + (f", {self.ambiguous:,} ambiguous rows of the orthologs were dropped" if self.ambiguous else "")


def match_panel(
    panel: Sequence[str], genes: Sequence[str], source: str, orthologs: Orthologs | None = None
) -> PanelMatch:
    """Match the genes of a file to the model's by name.

    Raises
    ------
    PanelError
        If fewer than 30 % of the model's genes are found.
    """
    place = {gene: position for position, gene in enumerate(panel)}
    names = [orthologs.names.get(gene, "") for gene in genes] if orthologs else genes
    found = [(column, place[name]) for column, name in enumerate(names) if name in place]
    if len(found) < SMALLEST_SHARE * len(panel):
        raise PanelError(
            f"{source}: {len(found):,} of the model's {len(panel):,} genes are among the file's {len(genes):,}, and at"
            f" least {SMALLEST_SHARE:.0%} are needed; are the names of one kind and species? the model's:"
            f" {', '.join(panel[:3])}; the file's: {', '.join(genes[:3])}"
        )
    pairs = np.array(found, dtype=np.int64).reshape(-1, 2)
    return PanelMatch(
        columns=pairs[:, 0],
        positions=pairs[:, 1],
        panel=len(panel),
        extra=len(genes) - len(pairs),
        ambiguous=orthologs.ambiguous if orthologs else 0,
    )
