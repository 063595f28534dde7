"""Cells drawn from the model, from nothing or starting from real ones.

Random numbers are keyed by the seed and the number of the cell alone (``randomness``): the same request gives the same
cells, and two requests that differ in condition only share orders of reveal, uniforms, depths and kept genes. Contexts
and depths are drawn cell by cell, independently: generated cells are a sample, as real ones are, and no stratified
design.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import scipy.sparse as sp
import torch

from lingshu_core.conditioning import Condition, index_conditions
from lingshu_core.denoiser import Denoiser
from lingshu_core.depths import pooled_depths
from lingshu_core.errors import ConfigurationError, UnusableCells
from lingshu_core.estimator import CELLS_PER_BATCH
from lingshu_core.randomness import RandomRoot, cell_randomness
from lingshu_core.reveal import RevealSettings
from lingshu_core.sampler import sample_tokens, to_outer_counts
from lingshu_core.tokens import MASK, encode
from lingshu_core.vocabulary import SeenContext, Vocabulary

Depths = tuple[npt.NDArray[np.float64], ...]


@dataclass(frozen=True)
class StartCells:
    """Real cells to start from.

    Parameters
    ----------
    counts
        (cells, genes), the model's panel in the vocabulary's order; one row for each cell to draw.
    present
        Which genes of the panel were measured in them, (genes,); the others are drawn.
    keep
        Share of the measured genes that each cell keeps, chosen at random; the same number in every cell.
    """

    counts: sp.csr_matrix
    present: npt.NDArray[np.bool_]
    keep: float

    @property
    def kept_genes(self) -> int:
        """How many genes each cell keeps."""
        return round(self.keep * int(self.present.sum()))


@dataclass(frozen=True)
class DrawnBatch:
    """Cells of one batch: ``counts`` (cells, genes) in the vocabulary's order, ``kept`` the same shape or None."""

    counts: sp.csr_matrix
    kept: sp.csr_matrix | None


def generation_root(seed: int) -> RandomRoot:
    """Return the root of all random numbers of a request."""
    return RandomRoot(seed, "generate", "")


def agreeing_contexts(vocabulary: Vocabulary, fixed: Mapping[str, str]) -> list[SeenContext]:
    """Return the training contexts that have the given values; contexts added later only where no other has."""
    found = [
        seen for seen in vocabulary.contexts if all(seen.factors[factor] == value for factor, value in fixed.items())
    ]
    return [seen for seen in found if not seen.adapted] or found


def draw_contexts(
    vocabulary: Vocabulary, fixed: Sequence[Mapping[str, str]], root: RandomRoot
) -> list[Mapping[str, str]]:
    """Draw the contexts of cells among those of the training that agree with the values fixed for each.

    Each with a probability in proportion to its control cells (to all its cells where none of them has a control).

    Raises
    ------
    UnusableCells
        If no training context agrees.
    """
    tables: dict[tuple[tuple[str, str], ...], tuple[list[SeenContext], npt.NDArray[np.int64]]] = {}
    drawn = []
    for cell, values in enumerate(fixed):
        key = tuple(sorted(values.items()))
        if key not in tables:
            tables[key] = _weighted_contexts(vocabulary, values)
        seen, reached = tables[key]
        level = root.generator(0, cell, "context").random() * reached[-1]
        drawn.append(seen[int(np.searchsorted(reached, level, side="right"))].factors)
    return drawn


def _weighted_contexts(
    vocabulary: Vocabulary, fixed: Mapping[str, str]
) -> tuple[list[SeenContext], npt.NDArray[np.int64]]:
    """Return the contexts that agree, and their cells summed up."""
    seen = agreeing_contexts(vocabulary, fixed)
    if not seen:
        asked = ", ".join(f"{factor}={value}" for factor, value in fixed.items())
        raise UnusableCells(
            f"no training cell is {asked}, so the factors that are left out can't be drawn in proportion; state them"
            " all, or leave them unspecified"
        )
    controls = [context.control_cells for context in seen]
    return seen, np.cumsum(controls if any(controls) else [context.cells for context in seen])


def draw_depths(
    vocabulary: Vocabulary, depths: Depths, contexts: Sequence[Mapping[str, str]], root: RandomRoot
) -> npt.NDArray[np.float64]:
    """Draw one depth for each cell from the controls that agree with its context, (cells,).

    A combination of values without any control takes the depths of all controls.
    """
    pools: dict[tuple[tuple[str, str], ...], npt.NDArray[np.float64]] = {}
    drawn = np.empty(len(contexts))
    for cell, context in enumerate(contexts):
        key = tuple(sorted(context.items()))
        if key not in pools:
            found = pooled_depths(vocabulary, depths, context)
            pools[key] = found if len(found) else pooled_depths(vocabulary, depths, {})
        drawn[cell] = np.quantile(pools[key], root.generator(0, cell, "depth").random())
    return drawn


def generate_cells(
    denoiser: Denoiser,
    vocabulary: Vocabulary,
    conditions: Sequence[Condition],
    depth: npt.NDArray[np.float64],
    root: RandomRoot,
    settings: RevealSettings,
    start: StartCells | None = None,
    on_batch: Callable[[int], None] | None = None,
) -> Iterator[DrawnBatch]:
    """Draw cells, a batch at a time.

    Parameters
    ----------
    denoiser, vocabulary
        The model.
    conditions, depth
        One for each cell; ``depth`` in UMIs, (cells,).
    root
        Root of the random numbers.
    settings
        Steps, schedule, guidance.
    start
        Real cells to start from; None draws every gene.
    on_batch
        Called with the number of cells drawn so far.

    Yields
    ------
    Counts, whole numbers: of a token above 99, which stands for a range, the middle. Kept genes have the counts of
    the real cell.

    Raises
    ------
    ConditionError
        If the model has no words for a condition.
    ConfigurationError
        If the share to keep leaves fewer genes to draw than there are steps, or is outside 0 to 1.
    """
    if start is not None:
        _check_start(start, settings, denoiser.genes)
    for first in range(0, len(conditions), CELLS_PER_BATCH):
        rows = slice(first, min(first + CELLS_PER_BATCH, len(conditions)))
        yield _draw_batch(denoiser, vocabulary, conditions[rows], depth[rows], root, settings, start, first)
        if on_batch is not None:
            on_batch(rows.stop)


def _check_start(start: StartCells, settings: RevealSettings, genes: int) -> None:
    if not 0.0 <= start.keep <= 1.0:
        raise ConfigurationError(f"the share of genes to keep must be between 0 and 1, not {start.keep:g}")
    left = genes - start.kept_genes
    if left < settings.steps:
        raise ConfigurationError(
            f"keeping {start.kept_genes:,} of {genes:,} genes leaves {left} to draw in {settings.steps} steps; keep a"
            " smaller share or take fewer steps"
        )


def _draw_batch(
    denoiser: Denoiser,
    vocabulary: Vocabulary,
    conditions: Sequence[Condition],
    depth: npt.NDArray[np.float64],
    root: RandomRoot,
    settings: RevealSettings,
    start: StartCells | None,
    first: int,
) -> DrawnBatch:
    order, device = denoiser.gene_order.cpu().numpy(), denoiser.gene_order.device
    batch = index_conditions(vocabulary, conditions, depth).to(device)
    noise = cell_randomness(root, 0, len(conditions), denoiser.genes, first)
    rank, uniforms = (torch.from_numpy(each[:, order]).to(device) for each in (noise.rank, noise.uniforms))
    if start is None:
        tokens = sample_tokens(denoiser, batch, rank, uniforms, settings)
        return DrawnBatch(_whole_counts(to_outer_counts(denoiser, tokens)), None)
    real = start.counts[first : first + len(conditions)].toarray()
    kept = _kept_genes(start, root, first, len(conditions))
    given = torch.from_numpy(np.where(kept, encode(real), MASK)[:, order]).long().to(device)
    counts = to_outer_counts(denoiser, sample_tokens(denoiser, batch, rank, uniforms, settings, given))
    # A token above 99 stands for a range: a kept gene has its own count all the same.
    return DrawnBatch(_whole_counts(np.where(kept, real, counts)), sp.csr_matrix(kept))


def _kept_genes(start: StartCells, root: RandomRoot, first: int, cells: int) -> npt.NDArray[np.bool_]:
    """Choose the genes that each cell keeps, (cells, genes)."""
    measured = np.flatnonzero(start.present)
    kept = np.zeros((cells, len(start.present)), dtype=bool)
    for cell in range(cells):
        order = root.generator(0, first + cell, "keep").permutation(len(measured))
        kept[cell, measured[order[: start.kept_genes]]] = True
    return kept


def _whole_counts(counts: npt.NDArray[np.float32]) -> sp.csr_matrix:
    # The middle of a bin may be no integer; counts have to be.
    return sp.csr_matrix(np.floor(counts).astype(np.int32))
