"""Absorbing-state diffusion: how cells are masked, and in which steps they are revealed.

Forward process and loss are those of Lingshu-Cell (arXiv 2603.25240) and LLaDA: every gene is masked
independently with probability t, t ~ U(0, 1), and the cross-entropy on masked genes is weighted by 1/t.
"""

from __future__ import annotations

import math
from typing import Literal, get_args

import torch
from torch import Tensor

from lingshu_core.errors import ConfigurationError
from lingshu_core.tokens import MASK

Schedule = Literal["uniform", "cosine", "geometric"]
SCHEDULES: tuple[str, ...] = get_args(Schedule)
SMALLEST_TIME = 1e-3
"""Below this share of masked genes the 1/t weight of a cell would exceed a thousand."""


def draw_times(cells: int, generator: torch.Generator, genes: int = 1, few_visible: float = 0.0) -> Tensor:
    """Draw one masking time per cell, (cells,).

    Published: t ~ U(0, 1). The times of a batch share one offset and are spread evenly (as in MDLM), which
    keeps each uniform and lowers the variance of the loss.

    A geometric schedule spends all its steps but the last where next to nothing is visible, and uniform times
    hardly ever go there. With ``few_visible`` that share of the cells gets a visible share that is uniform on
    the log scale instead, from one gene to all. The best prediction at every t stays the same; what changes is
    where the model is taught.
    """
    levels = _spread(cells, generator)
    times = levels
    if few_visible:
        logarithmic = 1.0 - float(genes) ** -_spread(cells, generator)[torch.randperm(cells, generator=generator)]
        chosen = torch.rand(cells, generator=generator) < few_visible
        times = torch.where(chosen, logarithmic, levels)
    return times.clamp_min(SMALLEST_TIME)


def _spread(cells: int, generator: torch.Generator) -> Tensor:
    offset = torch.rand((), generator=generator)
    return (offset + torch.arange(cells) / cells) % 1.0


def mask_tokens(tokens: Tensor, times: Tensor, generator: torch.Generator, share: slice = slice(None)) -> Tensor:
    """Mask every gene of a cell independently with the cell's probability t.

    Parameters
    ----------
    tokens
        Value tokens, (cells, genes).
    times
        Masking probabilities, (cells,); of the whole batch, where ``tokens`` are a share of it.
    share
        Which cells of the batch ``tokens`` are. The noise of all of them is drawn, so that it doesn't depend on
        how the batch is shared out.

    Returns
    -------
    Tokens with ``MASK`` in the masked places, (cells, genes).
    """
    masked = torch.rand((len(times), tokens.shape[1]), generator=generator)[share] < times[share, None]
    return torch.where(masked, MASK, tokens)


def reveal_counts(genes: int, steps: int, schedule: Schedule) -> list[int]:
    """Return how many genes each step reveals; the numbers are positive and sum to ``genes``.

    ``uniform`` reveals equal shares; ``cosine`` leaves cos(π s / 2T) of the genes masked after step s (the
    published sampler); ``geometric`` starts with a few genes and multiplies, so that the first draws, which
    decide the cell's state, are made one after the other, and the bulk follows at once.

    Raises
    ------
    ConfigurationError
        If there are fewer than 1 or more than ``genes`` steps, or the schedule is unknown.
    """
    if not 1 <= steps <= genes:
        raise ConfigurationError(f"steps must be between 1 and the number of genes ({genes}), not {steps}")
    if schedule not in SCHEDULES:
        raise ConfigurationError(f"unknown schedule {schedule!r}; schedules are {', '.join(SCHEDULES)}")
    shares = [_revealed_share(step, steps, genes, schedule) for step in range(1, steps + 1)]
    revealed, counts = 0, []
    for step, share in enumerate(shares, start=1):
        # Every step reveals at least one gene and leaves one for each later step.
        target = min(max(round(share * genes), revealed + 1), genes - (steps - step))
        counts.append(target - revealed)
        revealed = target
    return counts


def _revealed_share(step: int, steps: int, genes: int, schedule: Schedule) -> float:
    if step == steps:
        return 1.0
    if schedule == "uniform":
        return step / steps
    if schedule == "cosine":
        return 1.0 - math.cos(math.pi * step / (2 * steps))
    first = min(_first_reveal(steps), genes)
    return (first / genes) ** ((steps - step) / (steps - 1))


def _first_reveal(steps: int) -> int:
    """Genes that a geometric schedule reveals first: the fewer, the more steps follow."""
    return 32 if steps <= 3 else 8 if steps <= 6 else 2
