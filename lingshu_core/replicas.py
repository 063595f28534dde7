"""Replicas of a model that train together, each in a process of its own, each on its share of every batch.

The trainer asks four things of them: which share is mine, average our gradients, what is our loss, how late is it
for the first of us. Alone, the answers cost nothing. In a process group of torch they go through
``DistributedDataParallel`` and one small all-reduce a step. Who started the processes is nothing that this room knows.
"""

from __future__ import annotations

from contextlib import AbstractContextManager, nullcontext
from typing import Protocol

import torch
import torch.distributed as dist
from torch import nn
from torch.nn.parallel import DistributedDataParallel


class Replicas(Protocol):
    """What a trainer has to know of the processes that train with it.

    ``rank`` is this process among ``size``; the first one, rank 0, writes and decides.
    """

    rank: int
    size: int

    def wrap(self, module: nn.Module) -> nn.Module:
        """Return a module whose gradients are the means over all replicas."""

    def gathering(self, module: nn.Module, last: bool) -> AbstractContextManager[None]:
        """Return the context of one backward pass; gradients are exchanged in the last one of a step."""

    def total(self, value: float, device: torch.device) -> float:
        """Return the sum of a number over all replicas."""

    def agree(self, loss: float, seconds: float, device: torch.device) -> tuple[float, float]:
        """Return the sum of the losses, and the seconds of rank 0: what all of them decide by."""


class Alone:
    """One process."""

    rank, size = 0, 1

    def wrap(self, module: nn.Module) -> nn.Module:
        """Return the module."""
        return module

    def gathering(self, module: nn.Module, last: bool) -> AbstractContextManager[None]:
        """Return a context in which nothing is special."""
        return nullcontext()

    def total(self, value: float, device: torch.device) -> float:
        """Return the number."""
        return value

    def agree(self, loss: float, seconds: float, device: torch.device) -> tuple[float, float]:
        """Return what was given."""
        return loss, seconds


class ProcessGroup:
    """The processes of torch's default process group."""

    def __init__(self) -> None:
        self.rank, self.size = dist.get_rank(), dist.get_world_size()

    def wrap(self, module: nn.Module) -> nn.Module:
        """Return the module in ``DistributedDataParallel``.

        Which parameters have a part in the loss depends on the configuration (an embedding of the depth without
        a depth token has none), so the unused ones are searched for.
        """
        return DistributedDataParallel(module, broadcast_buffers=False, find_unused_parameters=True)

    def gathering(self, module: nn.Module, last: bool) -> AbstractContextManager[None]:
        """Return the context of one backward pass; all but the last of a step keep their gradients to themselves."""
        if last or not isinstance(module, DistributedDataParallel):
            return nullcontext()
        return module.no_sync()

    def total(self, value: float, device: torch.device) -> float:
        """Return the sum of a number over all replicas."""
        return self.agree(value, 0.0, device)[0]

    def agree(self, loss: float, seconds: float, device: torch.device) -> tuple[float, float]:
        """Return the sum of the losses and the seconds of rank 0, in one exchange."""
        shared = torch.tensor([loss, seconds if self.rank == 0 else 0.0], dtype=torch.float64, device=device)
        dist.all_reduce(shared)
        agreed = shared.tolist()
        return agreed[0], agreed[1]


def current_replicas() -> Replicas:
    """Return the replicas that this process is one of: those of torch's process group, if it is in one."""
    return ProcessGroup() if dist.is_available() and dist.is_initialized() else Alone()
