"""Cells drawn from the model, as counts."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from lingshu_core.conditioning import ConditionBatch
from lingshu_core.denoiser import Denoiser
from lingshu_core.reveal import RevealSettings, reveal
from lingshu_core.tokens import decode


def sample_tokens(
    denoiser: Denoiser,
    batch: ConditionBatch,
    rank: Tensor,
    uniforms: Tensor,
    settings: RevealSettings,
    given: Tensor | None = None,
) -> Tensor:
    """Draw cells; returns tokens (cells, genes) in the inner gene order.

    Parameters are those of :func:`lingshu_core.reveal.reveal`; what is ``given`` comes back as it was.
    """
    tokens = torch.zeros(rank.shape, dtype=torch.long, device=rank.device) if given is None else given.clone()
    for piece in reveal(denoiser, batch, rank, uniforms, settings, given):
        piece.draw_into(tokens, uniforms)
    return tokens


def to_outer_counts(denoiser: Denoiser, tokens: Tensor) -> npt.NDArray[np.float32]:
    """Turn inner tokens into counts in the order of the vocabulary's genes, (cells, genes)."""
    counts = np.empty(tokens.shape, dtype=np.float32)
    counts[:, denoiser.gene_order.cpu().numpy()] = decode(tokens.cpu().numpy())
    return counts
