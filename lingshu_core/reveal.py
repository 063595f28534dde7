"""The reverse process: reveal masked genes step by step, in random order.

The positions revealed never depend on the values drawn, so the distribution of a gene at the step that
reveals it is an unbiased view of its marginal: the sampler draws from it, the estimator takes its
expectation. Both walk the same path, through :func:`reveal`.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import torch
from torch import Tensor

from lingshu_core.conditioning import ConditionBatch
from lingshu_core.denoiser import Denoiser, Features, SupportGroup, cut_group
from lingshu_core.diffusion import Schedule, reveal_counts
from lingshu_core.errors import ConfigurationError
from lingshu_core.tokens import MASK

BLOCK_SHARE = 0.5
"""A step that reveals at least this share of all genes computes every gene of every cell: gathering the chosen places
costs more than the others."""
BLOCK_PROBABILITIES = 2**19
"""Probabilities of such a step that are there at once, 2 MB of them: they stay in the processor's cache."""


@dataclass(frozen=True)
class RevealSettings:
    """How cells are revealed.

    Parameters
    ----------
    steps, schedule
        Number of steps and how many genes each of them reveals.
    guidance
        w of a = a_u + (w + 1)(a_c − a_u), where u is the *control* of the same context and depth
        (arXiv 2603.25240); 0 is the plain conditional model.
    """

    steps: int = 6
    schedule: Schedule = "geometric"
    guidance: float = 0.0


@dataclass(frozen=True)
class Revealed:
    """Genes of one support group that one step reveals.

    ``cell`` and ``gene`` (places,) are rows and inner gene positions; ``probabilities`` (places, tokens).
    """

    group: SupportGroup
    cell: Tensor
    gene: Tensor
    probabilities: Tensor

    def draw_into(self, tokens: Tensor, uniforms: Tensor) -> None:
        """Write drawn tokens into those of all genes, (cells, genes)."""
        tokens[self.cell, self.gene] = draw(self.probabilities, uniforms[self.cell, self.gene])

    def places(self) -> Revealed:
        """Return itself."""
        return self


@dataclass(frozen=True)
class RevealedBlock:
    """Neighbouring genes of one support group, of which one step reveals most.

    ``chosen`` (cells, genes of the block) says which are revealed; ``probabilities`` (cells, genes of the block,
    tokens) are there for the others too, and mean nothing.
    """

    group: SupportGroup
    chosen: Tensor
    probabilities: Tensor

    @property
    def genes(self) -> slice:
        """Where the block is in the inner order."""
        return slice(self.group.start, self.group.stop)

    def draw_into(self, tokens: Tensor, uniforms: Tensor) -> None:
        """Write drawn tokens into those of all genes, (cells, genes)."""
        drawn = draw(self.probabilities, uniforms[:, self.genes])
        tokens[:, self.genes] = torch.where(self.chosen, drawn, tokens[:, self.genes])

    def places(self) -> Revealed:
        """Return only what is revealed, place by place."""
        cell, gene = torch.nonzero(self.chosen, as_tuple=True)
        return Revealed(self.group, cell, gene + self.group.start, self.probabilities[cell, gene])


@torch.inference_mode()
def reveal(
    denoiser: Denoiser,
    batch: ConditionBatch,
    rank: Tensor,
    uniforms: Tensor,
    settings: RevealSettings,
    given: Tensor | None = None,
) -> Iterator[Revealed | RevealedBlock]:
    """Walk the reverse process and yield every gene's distribution at the step that reveals it.

    Parameters
    ----------
    denoiser
        The model, in evaluation mode.
    batch
        Conditions of the cells.
    rank
        Position of every gene in each cell's random order, (cells, genes), inner gene order.
    uniforms
        The number from which each gene's token is drawn, (cells, genes), inner gene order.
    settings
        Steps, schedule and guidance.
    given
        Tokens to start from, (cells, genes), inner gene order: genes that are not ``MASK`` stay as they are and
        are never yielded. Every cell has to be given the same number of genes. None: nothing is known.

    Yields
    ------
    Genes of one support group that one step reveals, as places or, where they are most of the genes, as blocks. The
    tokens of the last step are not needed by the walk itself: who wants them calls ``draw_into`` on what is yielded,
    with the same uniforms.

    Raises
    ------
    ConfigurationError
        If cells are given different numbers of genes, or fewer genes are left than there are steps.
    """
    tokens, rank, free = start(denoiser.genes, rank, given)
    counts = reveal_counts(free, settings.steps, settings.schedule)
    revealed = 0
    # Of plain walks no pass comes again where the depth is told: depths are drawn for every shard.
    is_shared = given is None and (settings.guidance > 0 or not denoiser.config.depth_token)
    for step, count in enumerate(counts, start=1):
        see = denoiser.first_features if step == 1 and is_shared else denoiser.features
        features = see(tokens, batch)
        if settings.guidance:
            unconditional = see(tokens, batch.as_control())
            features = features.guided(unconditional, settings.guidance)
        chosen = (rank >= revealed) & (rank < revealed + count)
        revealed += count
        pieces = _blocks if count >= BLOCK_SHARE * denoiser.genes else _places
        for piece in pieces(denoiser, features, chosen):
            if step < len(counts):
                piece.draw_into(tokens, uniforms)
            yield piece


def _places(denoiser: Denoiser, features: Features, chosen: Tensor) -> Iterator[Revealed]:
    for group in denoiser.groups:
        cell, gene = torch.nonzero(chosen[:, group.start : group.stop], as_tuple=True)
        if len(cell):
            # The logits get no name: they would stay in memory for as long as the piece is looked at.
            probabilities = torch.softmax(denoiser.chosen_logits(features, group, cell, gene), dim=-1)
            yield Revealed(group, cell, gene + group.start, probabilities)


def _blocks(denoiser: Denoiser, features: Features, chosen: Tensor) -> Iterator[RevealedBlock]:
    for group in denoiser.groups:
        for piece in cut_group(group, len(chosen), BLOCK_PROBABILITIES):
            probabilities = torch.softmax(denoiser.group_logits(features, piece), dim=-1)
            yield RevealedBlock(piece, chosen[:, piece.start : piece.stop], probabilities)


def start(genes: int, rank: Tensor, given: Tensor | None) -> tuple[Tensor, Tensor, int]:
    """Return the tokens to start from, the order of reveal among the masked genes, and their number in each cell."""
    if given is None:
        return torch.full(rank.shape, MASK, dtype=torch.long, device=rank.device), rank, genes
    known = given != MASK
    free = (~known).sum(dim=1)
    if not bool((free == free[0]).all()):
        raise ConfigurationError(
            f"every cell has to be given the same number of genes; here it is {genes - int(free.max())} to"
            f" {genes - int(free.min())}"
        )
    # Known genes go behind all others; the masked ones keep their order.
    order = torch.where(known, genes, rank).argsort(dim=1, stable=True)
    return given.clone(), order.argsort(dim=1), int(free[0])


def draw(probabilities: Tensor, uniforms: Tensor) -> Tensor:
    """Draw tokens by inverse CDF, (…,), from probabilities (…, tokens) and uniforms (…,)."""
    below = probabilities.cumsum(dim=-1) < uniforms[..., None]
    return below.sum(dim=-1).clamp_max(probabilities.shape[-1] - 1)
