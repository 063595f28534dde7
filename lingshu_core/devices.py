"""Which accelerators torch finds here."""

from __future__ import annotations

import torch


def gpu_names() -> list[str]:
    """Return the names of the CUDA devices of this machine; empty without one."""
    if not torch.cuda.is_available():
        return []
    return [torch.cuda.get_device_name(index) for index in range(torch.cuda.device_count())]
