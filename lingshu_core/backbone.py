"""The bidirectional transformer over patches of genes.

LLaMA-style, as published (arXiv 2603.25240): RMSNorm, SwiGLU, rotary positions, no biases, no causal mask.
Genes are put into one fixed random order, S gene embeddings are concatenated and mapped down to one patch
token by a shared linear map; after the blocks a shared linear map leads back up. The condition prefix
bypasses the compression.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint

from lingshu_core.errors import ConfigurationError
from lingshu_core.tokens import MASK, N_TOKENS

LIFTED_SHARE = 1 / 4
"""Up to this share of all places the way up is taken for each place alone, beyond it for all of them."""


@dataclass(frozen=True)
class BackboneConfig:
    """Shape of the transformer.

    Parameters
    ----------
    blocks, width, heads, feed_forward
        Number of blocks, embedding width, attention heads and inner width of SwiGLU.
    patch_size
        S, genes per patch token.
    """

    blocks: int
    width: int
    heads: int
    feed_forward: int
    patch_size: int

    def __post_init__(self) -> None:
        """Check that the heads divide the width into even parts."""
        if self.width % self.heads or (self.width // self.heads) % 2:
            raise ConfigurationError(
                f"width {self.width} must split into {self.heads} heads of an even size; try heads = {self.width // 32}"
            )


class Backbone(nn.Module):
    """Patch, attend, unpatch: tokens (cells, genes) to a stream of patches, and from there to features of genes."""

    order: Tensor
    inverse: Tensor
    folded: Tensor | None

    def __init__(self, config: BackboneConfig, genes: int, generator: torch.Generator) -> None:
        super().__init__()
        self.config = config
        self.checkpointing = False
        """Whether blocks forget their activations in training and compute them anew on the way back."""
        self.genes = genes
        self.patches = -(-genes // config.patch_size)
        order = torch.randperm(genes, generator=generator)
        self.register_buffer("order", order)
        self.register_buffer("inverse", torch.argsort(order))
        self.register_buffer("folded", None, persistent=False)
        self.embed = nn.Embedding(N_TOKENS + 1, config.width)
        self.down = nn.Linear(config.patch_size * config.width, config.width, bias=False)
        self.blocks = nn.ModuleList(Block(config) for _ in range(config.blocks))
        self.norm = nn.RMSNorm(config.width)
        self.up = nn.Linear(config.width, config.patch_size * config.width, bias=False)
        for parameter in self.parameters():
            if parameter.dim() == 2:
                nn.init.normal_(parameter, std=0.02)

    def forward(self, tokens: Tensor, prefix: Tensor) -> Tensor:
        """Return the stream behind the last block, (cells, patches, width)."""
        hidden = torch.cat([prefix, self._patch(tokens)], dim=1)  # (cells, prefix + patches, width)
        rotation = rotary_angles(hidden.shape[1], self.config.width // self.config.heads, hidden.device)
        for block in self.blocks:
            if self.checkpointing and self.training and torch.is_grad_enabled():
                hidden = checkpoint(block, hidden, rotation, use_reentrant=False)
            else:
                hidden = block(hidden, rotation)
        stream: Tensor = self.norm(hidden[:, prefix.shape[1] :])
        return stream

    def lift(self, stream: Tensor) -> Tensor:
        """Return a feature vector for every gene, (cells, genes, width)."""
        lifted = self.up(stream)  # (cells, patches, S · width)
        lifted = lifted.view(len(stream), -1, self.config.width)  # (cells, patches · S, width)
        return lifted[:, self.inverse]

    def lift_at(self, stream: Tensor, cell: Tensor, gene: Tensor) -> Tensor:
        """Return the feature vectors of some places, (places, width): as :meth:`lift`, and nothing else is lifted."""
        size, width = self.config.patch_size, self.config.width
        patch, slot = torch.div(self.inverse[gene], size, rounding_mode="floor"), self.inverse[gene] % size
        weights = self.up.weight.view(size, width, width)  # (S · width, width) → one square for each place in a patch
        by_slot = torch.argsort(slot)
        here = torch.split(by_slot, torch.bincount(slot, minlength=size).tolist())
        found = [F.linear(stream[cell[each], patch[each]], weights[i]) for i, each in enumerate(here)]
        lifted = torch.empty(len(cell), width, dtype=found[0].dtype, device=stream.device)
        lifted[by_slot] = torch.cat(found)
        return lifted

    @torch.no_grad()
    def fold(self) -> None:
        """Multiply token embeddings and the way down once, for a model that is trained; training forgets it again.

        A patch is Σ_s D_s e(token_s), so with D_s e(v) in a table, (S · 282, width), it is a sum of rows. Nearly all
        tokens of a walk are masked: their sum is a constant, and only visible genes add to it.
        """
        size, width = self.config.patch_size, self.config.width
        down = self.down.weight.view(width, size, width)  # (width, S · width) → S, width
        self.folded = torch.einsum("wsk,vk->svw", down, self.embed.weight).flatten(0, 1)  # (S, 282, width) → rows

    def train(self, mode: bool = True) -> Backbone:
        """Switch to training or back; weights that change make what was folded wrong."""
        if mode:
            self.folded = None
        return super().train(mode)

    def _patch(self, tokens: Tensor) -> Tensor:
        missing = self.patches * self.config.patch_size - self.genes
        ordered = F.pad(tokens[:, self.order], (0, missing), value=MASK)
        if self.folded is not None:
            return self._patch_folded(ordered, self.folded)
        embedded = self.embed(ordered)  # (cells, patches · S, width)
        return self.down(embedded.view(len(tokens), self.patches, -1))  # (cells, patches, S · width) → width

    def _patch_folded(self, ordered: Tensor, table: Tensor) -> Tensor:
        """Sum the rows of visible tokens, (cells, patches, width), on top of a patch that is masked."""
        size = self.config.patch_size
        rows = torch.arange(size, device=table.device) * (N_TOKENS + 1)
        masked = table[rows + MASK]  # (S, width)
        cell, place = torch.nonzero(ordered != MASK, as_tuple=True)
        patches = torch.arange(len(ordered) * self.patches, device=table.device)
        first = torch.searchsorted(cell * self.patches + torch.div(place, size, rounding_mode="floor"), patches)
        there = F.embedding_bag(rows[place % size] + ordered[cell, place], table, first, mode="sum")
        instead = F.embedding_bag(place % size, masked, first, mode="sum")
        summed = masked.sum(dim=0) + there - instead  # (cells · patches, width)
        return summed.view(len(ordered), self.patches, -1).to(_precision(summed))  # → (cells, patches, width)


def _precision(values: Tensor) -> torch.dtype:
    """Return what a matrix product of these values would have: that of autocast, where it is on."""
    kind = values.device.type
    return torch.get_autocast_dtype(kind) if torch.is_autocast_enabled(kind) else values.dtype


class Block(nn.Module):
    """Attention and SwiGLU, each behind an RMSNorm and added to the stream."""

    def __init__(self, config: BackboneConfig) -> None:
        super().__init__()
        self.heads = config.heads
        self.attention_norm = nn.RMSNorm(config.width)
        self.qkv = nn.Linear(config.width, 3 * config.width, bias=False)
        self.out = nn.Linear(config.width, config.width, bias=False)
        self.feed_norm = nn.RMSNorm(config.width)
        self.gate = nn.Linear(config.width, config.feed_forward, bias=False)
        self.value = nn.Linear(config.width, config.feed_forward, bias=False)
        self.project = nn.Linear(config.feed_forward, config.width, bias=False)

    def forward(self, hidden: Tensor, rotation: tuple[Tensor, Tensor]) -> Tensor:
        """Return the stream after this block, (cells, length, width)."""
        hidden = hidden + self._attend(self.attention_norm(hidden), rotation)
        fed = self.feed_norm(hidden)
        return hidden + self.project(F.silu(self.gate(fed)) * self.value(fed))

    def _attend(self, hidden: Tensor, rotation: tuple[Tensor, Tensor]) -> Tensor:
        cells, length, width = hidden.shape
        # (cells, length, 3 · width) → (3, cells, heads, length, width / heads)
        parts = self.qkv(hidden).view(cells, length, 3, self.heads, -1).permute(2, 0, 3, 1, 4)
        query, key = rotate(parts[0], rotation), rotate(parts[1], rotation)
        mixed = F.scaled_dot_product_attention(query, key, parts[2])
        return self.out(mixed.transpose(1, 2).reshape(cells, length, width))  # heads side by side again


def rotary_angles(length: int, head_width: int, device: torch.device) -> tuple[Tensor, Tensor]:
    """Return cosine and sine of the rotary angles (RoPE, arXiv 2104.09864), each (length, head_width / 2)."""
    frequency = 10_000.0 ** (-torch.arange(0, head_width, 2, device=device) / head_width)
    angles = torch.arange(length, device=device)[:, None] * frequency
    return angles.cos(), angles.sin()


def rotate(vectors: Tensor, rotation: tuple[Tensor, Tensor]) -> Tensor:
    """Rotate pairs of coordinates by their position's angle; ``vectors`` (…, length, head_width)."""
    cosine, sine = (part.to(vectors.dtype) for part in rotation)
    first, second = vectors.chunk(2, dim=-1)
    return torch.cat([first * cosine - second * sine, first * sine + second * cosine], dim=-1)
