"""Population moments of a condition, with little noise.

A screen wants E[x | condition], not cells. Three things take nearly all Monte Carlo noise out of it, and
none of them biases it (figures in docs/benchmarks.md):

1. *Expectation at the revealing step* (Rao–Blackwell): a gene's mean over its predicted distribution at the
   step that reveals it, instead of one draw from it. Exact because the order of reveal is independent of the
   values drawn.
2. *Stratified depths*: the cells of a shard cover the control's depth distribution evenly.
3. *Common random numbers*: condition and control share order, uniforms and depths (``randomness``).

A shard is one independently randomised replicate over all depth strata. Standard errors come from paired
differences between shards, never from the cells inside one. The variance of a gene is E[x²] − (E x)², both
expectations taken as above. Everything is *depth-matched*: counts are divided by the drawn depth.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from lingshu_core.conditioning import Condition, ConditionBatch, index_conditions
from lingshu_core.denoiser import Denoiser
from lingshu_core.errors import ConfigurationError
from lingshu_core.prior_genes import INJECTED_COUNT
from lingshu_core.randomness import RandomRoot, SharedRandomness, stratified_quantiles
from lingshu_core.reveal import Revealed, RevealedBlock, RevealSettings, reveal
from lingshu_core.sampler import sample_tokens, to_outer_counts
from lingshu_core.tokens import MASK, REPRESENTATIVE_COUNTS
from lingshu_core.vocabulary import Vocabulary

EstimatorKind = Literal["variance_reduced", "sampled"]
SAMPLER_VERSION = 2
"""Part of every condition's key: raised whenever the same request would give other numbers."""
CELLS_PER_BATCH = 64
"""Cells in one forward pass, whatever the size of a shard: memory stays bounded. Sums are rounded batch by batch, so
another number here is another sampler version."""

Moments = npt.NDArray[np.float32]
"""(4, genes): mean and mean square of log1p counts per 10k, mean and mean square of counts."""

_NOISE = SharedRandomness()
"""Of the context that is being predicted; drawing it is a seventh of a shard of few genes."""

MOMENT_NAMES = ("log1p_mean", "log1p_square", "count_mean", "count_square")


@dataclass(frozen=True)
class ShardRequest:
    """Everything that the result of a shard depends on, beside the weights.

    ``injected`` are genes of the vocabulary that are pre-filled with one count (``prior_genes``), ascending.
    """

    condition: Condition
    root: RandomRoot
    shard: int
    cells: int
    settings: RevealSettings
    injected: tuple[int, ...] = ()


@dataclass(frozen=True)
class ShardResult:
    """Moments over the cells of one shard, and the cells themselves where they were drawn.

    ``moments`` is (4, genes) in the order of the vocabulary; ``counts`` (cells, genes) or None;
    ``depth`` (cells,).
    """

    moments: Moments
    depth: npt.NDArray[np.float64]
    counts: npt.NDArray[np.float32] | None = None


def drawn_depths(depths: npt.NDArray[np.float64], root: RandomRoot, shard: int, cells: int) -> npt.NDArray[np.float64]:
    """Return the depths of a shard's cells: one in each stratum of the control's depths, (cells,)."""
    return np.quantile(depths, stratified_quantiles(root, shard, cells))


@torch.inference_mode()
def estimate_shard(
    denoiser: Denoiser,
    vocabulary: Vocabulary,
    depths: npt.NDArray[np.float64],
    request: ShardRequest,
    kind: EstimatorKind = "variance_reduced",
) -> ShardResult:
    """Compute the moments of one shard.

    Parameters
    ----------
    denoiser, vocabulary
        The model.
    depths
        Depths of the control cells of the condition's context, (controls,).
    request
        Condition, random root, shard, number of cells (= depth strata), reveal settings.
    kind
        ``variance_reduced`` takes expectations, ``sampled`` draws every gene and keeps the counts.

    Raises
    ------
    ConditionError
        If the model has no words for the condition.
    ConfigurationError
        If ``kind`` is unknown.
    """
    depth = drawn_depths(depths, request.root, request.shard, request.cells)
    if kind not in ("variance_reduced", "sampled"):
        raise ConfigurationError(f"unknown estimator {kind!r}; there are variance_reduced and sampled")
    counts = np.empty((request.cells, denoiser.genes), dtype=np.float32) if kind == "sampled" else None
    total = np.zeros((4, denoiser.genes), dtype=np.float64)
    for first in range(0, request.cells, CELLS_PER_BATCH):
        cells = slice(first, first + CELLS_PER_BATCH)
        part = depth[cells]
        batch, rank, uniforms = shard_inputs(denoiser, vocabulary, part, request, first)
        given = injected_tokens(denoiser, request.injected, len(part))
        if counts is None:
            moments = expected_moments(denoiser, batch, rank, uniforms, part, request.settings, given)
        else:
            tokens = sample_tokens(denoiser, batch, rank, uniforms, request.settings, given)
            counts[cells] = to_outer_counts(denoiser, tokens)
            moments = sampled_moments(counts[cells], part)
        # Exact for a single batch: a float32 times at most 64 has room in a float64.
        total += moments.astype(np.float64) * len(part)
    return ShardResult((total / request.cells).astype(np.float32), depth, counts)


def shard_inputs(
    denoiser: Denoiser, vocabulary: Vocabulary, depth: npt.NDArray[np.float64], request: ShardRequest, first: int = 0
) -> tuple[ConditionBatch, Tensor, Tensor]:
    """Return conditions, order of reveal and uniforms of a shard's cells, in the inner gene order.

    ``depth`` has the depths of the cells wanted, which begin with cell ``first`` of the shard.
    """
    device = denoiser.gene_order.device
    batch = index_conditions(vocabulary, [request.condition] * len(depth), depth).to(device)
    noise = _NOISE.of(request.root, request.shard, len(depth), denoiser.genes, first)
    rank = torch.from_numpy(noise.rank).to(device)[:, denoiser.gene_order]
    uniforms = torch.from_numpy(noise.uniforms).to(device)[:, denoiser.gene_order]
    return batch, rank, uniforms


def expected_moments(
    denoiser: Denoiser,
    batch: ConditionBatch,
    rank: Tensor,
    uniforms: Tensor,
    depth: npt.NDArray[np.float64],
    settings: RevealSettings,
    given: Tensor | None = None,
) -> Moments:
    """Average each gene's expected value and square at the step that reveals it, over cells, (4, genes).

    A gene that is ``given`` (see :func:`lingshu_core.reveal.reveal`) is its own expectation.
    """
    total = torch.zeros(4, denoiser.genes, dtype=torch.float64, device=rank.device)
    values = token_values(torch.from_numpy(depth).to(rank.device))
    if given is not None:
        _add_given(total, given, values)
    counts = torch.from_numpy(REPRESENTATIVE_COUNTS).to(values.device).expand_as(values)
    # Of what expectations are taken: (cells, 4, tokens).
    columns = torch.stack([values, values.square(), counts, counts.square()], dim=1)
    for piece in reveal(denoiser, batch, rank, uniforms, settings, given):
        _add_expectations(total, piece, columns)
    moments = np.empty((4, denoiser.genes), dtype=np.float32)
    moments[:, denoiser.gene_order.cpu().numpy()] = (total / len(depth)).cpu().numpy()
    return moments


def injected_tokens(denoiser: Denoiser, genes: tuple[int, ...], cells: int) -> Tensor | None:
    """Return tokens with the injected genes at one count and all others masked, (cells, genes), inner gene order."""
    if not genes:
        return None
    order = denoiser.gene_order
    is_injected = torch.isin(order, torch.tensor(genes, device=order.device))
    return torch.where(is_injected, INJECTED_COUNT, MASK).repeat(cells, 1)


def _add_given(total: Tensor, given: Tensor, values: Tensor) -> None:
    """Add the moments of given tokens to the sums over cells, (4, genes)."""
    cell, gene = torch.nonzero(given != MASK, as_tuple=True)
    token = given[cell, gene]
    scaled = values[cell, token].double()
    counts = torch.from_numpy(REPRESENTATIVE_COUNTS).to(values.device)[token].double()
    for row, found in enumerate((scaled, scaled.square(), counts, counts.square())):
        total[row].index_add_(0, gene, found)


def token_values(depth: Tensor) -> Tensor:
    """Return ``log1p counts per 10k`` of every token at every cell's depth, (cells, 281)."""
    counts = torch.from_numpy(REPRESENTATIVE_COUNTS).to(depth.device)
    return torch.log1p(1e4 * counts[None, :] / depth[:, None]).float()


def _add_expectations(total: Tensor, piece: Revealed | RevealedBlock, columns: Tensor) -> None:
    """Add what is expected of the genes revealed to the sums over cells, (4, genes); columns (cells, 4, tokens)."""
    columns = columns[..., : piece.group.tokens]
    if isinstance(piece, RevealedBlock):
        # (cells, 4, tokens) @ (cells, tokens, genes): with the long side last, five times as fast as the other way.
        expected = torch.bmm(columns, piece.probabilities.transpose(1, 2))
        total[:, piece.genes] += expected.mul_(piece.chosen[:, None]).sum(dim=0, dtype=torch.float64)
    else:
        weighted = columns[piece.cell, 0].mul_(piece.probabilities)  # one large temporary, used twice
        first, counts = weighted.sum(dim=-1), piece.probabilities @ columns[0, 2:].T
        second = weighted.mul_(columns[piece.cell, 0]).sum(dim=-1)
        total.index_add_(1, piece.gene, torch.stack([first, second, *counts.T]).double())


def sampled_moments(counts: npt.NDArray[np.float32], depth: npt.NDArray[np.float64]) -> Moments:
    """Average drawn cells: moments of ``log1p counts per 10k`` and of counts, (4, genes)."""
    scaled = np.log1p(1e4 * counts / depth[:, None])
    return np.stack(
        [
            scaled.mean(axis=0),
            np.square(scaled).mean(axis=0),
            counts.mean(axis=0),
            np.square(counts).mean(axis=0),
        ]
    ).astype(np.float32)
