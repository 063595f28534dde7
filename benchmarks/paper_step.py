"""A training step of the published shape at 18,080 genes: time, memory and arithmetic.

Forward pass, backward pass and AdamW of ``configuration: paper`` (13 blocks, width 640; bf16 autocast), at patch sizes
32 and 8, with and without activation checkpointing, one row a process, so that peak memory is that of the row. Where
there is a CUDA device, it is measured there, with more cells a batch. A second table has the head and the loss alone,
forward and backward, with the logits in pieces and all at once. Arithmetic is counted from the shape: twice the weights
a position for the maps, 4 · length² · width a block for attention, three times the forward pass for a step, and the
blocks once more with checkpointing.
"""

from __future__ import annotations

import json
import resource
import subprocess
import sys
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import torch
from torch import nn

from benchmarks.report import Figures, main, table
from lingshu_core import denoiser as denoiser_module
from lingshu_core.conditioning import CONTROL_INDEX, ConditionBatch
from lingshu_core.denoiser import Denoiser, Features, GeneStatistics, configuration
from lingshu_core.diffusion import draw_times, mask_tokens
from lingshu_core.tokens import N_TOKENS
from lingshu_core.training import MaskedLoss

GENES, PERTURBATIONS, CONTEXTS = 18_080, 150, 4
STEPS = 1
# patch size, cells a batch, activation checkpointing
CPU_CASES = [(32, 1, False), (32, 1, True), (8, 1, False), (8, 1, True), (32, 4, False), (32, 4, True)]
CUDA_CASES = [(size, cells, anew) for size in (32, 8) for cells in (8, 32) for anew in (False, True)]
HEAD_CELLS = 16


def measure() -> Figures:
    """Measure every case in a process of its own; all figures."""
    rows: list[list[Any]] = []
    figures: dict[str, Any] = {}
    for size, cells, anew in CUDA_CASES if torch.cuda.is_available() else CPU_CASES:
        found = _apart("--step", size, cells, anew)
        rows.append([size, cells, "yes" if anew else "no", *found.values()])
        figures |= {f"S{size}_{cells}_{anew}_{key}": value for key, value in found.items()}
        print(rows[-1], file=sys.stderr, flush=True)
    print(f"device: {torch.cuda.get_device_name() if torch.cuda.is_available() else 'CPU, one thread'}")
    table(["S", "cells", "checkpointing", "step, s", "cells/s", "peak memory, GB", "TFLOP a step"], rows)
    heads: list[list[Any]] = [
        ["in pieces" if pieces else "at once", *_apart("--head", pieces).values()] for pieces in (True, False)
    ]
    table(["logits", "seconds", "peak memory above the start, GB"], heads)
    return figures | {f"head_{row[0].replace(' ', '_')}_gb": row[2] for row in heads}


def _apart(kind: str, *case: Any) -> dict[str, float]:
    command = [sys.executable, "-m", "benchmarks.paper_step", kind, json.dumps(case)]
    said = subprocess.run(command, capture_output=True, text=True, check=True)
    return json.loads(said.stdout.splitlines()[-1])


def head_case(pieces: bool) -> dict[str, float]:
    """Take head and loss forward and backward once, from features that are there."""
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    if not pieces:
        denoiser_module.MOST_LOGITS = 2**62
    model = build(32).to(device)
    tokens, masked, _, batch = draw(HEAD_CELLS, 0)
    width = model.config.backbone.width if model.config.backbone else 0
    hidden = torch.zeros(HEAD_CELLS, GENES, width, dtype=torch.bfloat16, device=device, requires_grad=True)
    hidden.grad = torch.zeros_like(hidden)  # there already, so that it isn't counted
    features = Features(None, None)
    vars(features)["hidden"] = hidden  # where the property keeps it
    model.features = lambda *_: features  # type: ignore[method-assign]
    tokens, masked, batch = tokens.to(device), masked.to(device), batch.to(device)
    before, started = _now(device), time.monotonic()
    total = torch.zeros((), device=device)
    for _, loss in model.losses(tokens, masked, batch):
        total = total + loss.sum()
    total.backward()  # type: ignore[no-untyped-call]  # torch says nothing of it
    _wait(device)
    return {"seconds": time.monotonic() - started, "gb": (_peak(device) - before) / 1e9}


def one_case(size: int, cells: int, anew: bool) -> dict[str, float]:
    """Take a step unmeasured, and then those that are measured."""
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    model = build(size).to(device).train()
    if model.backbone is None:
        raise SystemExit("the paper configuration has a backbone")
    model.backbone.checkpointing = anew
    loss_of = MaskedLoss(model)
    optimiser = torch.optim.AdamW(model.parameters(), lr=2e-4, fused=True)
    durations = []
    for step in range(STEPS + 1):
        _wait(device)
        started = time.monotonic()
        tokens, masked, times, batch = draw(cells, step)
        optimiser.zero_grad(set_to_none=True)
        loss_of(tokens, masked, times, batch, device).backward()
        nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimiser.step()
        _wait(device)
        durations.append(time.monotonic() - started)
    seconds = min(durations[1:])
    return {
        "seconds": seconds,
        "cells_per_second": cells / seconds,
        "peak_gb": _peak(device) / 1e9,
        "tflop": cells * flop(model, size, anew) / 1e12,
    }


def build(size: int) -> Denoiser:
    """Return the published shape; its statistics are of no consequence for time and memory."""
    statistics = GeneStatistics(
        support=torch.full((GENES,), N_TOKENS),
        log_marginals=torch.zeros(GENES, N_TOKENS),
        depth_knots=torch.linspace(6.0, 12.0, 16),
        typical_dose=torch.ones(PERTURBATIONS + 1),
    )
    return Denoiser(configuration("paper", {"patch_size": size}), (CONTEXTS,), PERTURBATIONS, statistics)


def draw(cells: int, seed: int) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor, ConditionBatch]:
    """Return made-up tokens, masked tokens, times and conditions."""
    generator = torch.Generator().manual_seed(seed)
    tokens = torch.poisson(torch.full((cells, GENES), 0.3), generator=generator).long()
    times = draw_times(cells, generator)
    parts = torch.full((cells, 1), CONTROL_INDEX)
    batch = ConditionBatch(
        factors=torch.ones(cells, 1, dtype=torch.long),
        parts=parts,
        rows=torch.zeros_like(parts),
        doses=torch.full((cells, 1), torch.nan),
        log_depth=torch.full((cells,), 9.0),
    )
    return tokens, mask_tokens(tokens, times, generator), times, batch


def flop(model: Denoiser, size: int, anew: bool) -> float:
    """Count the floating-point operations of a step, per cell."""
    shape = model.config.backbone
    if shape is None or model.backbone is None:
        raise SystemExit("the paper configuration has a backbone")
    patches = -(-GENES // size)
    length = patches + 2
    in_blocks = sum(p.numel() for p in model.backbone.blocks.parameters() if p.dim() == 2)
    blocks = 2.0 * in_blocks * length + 4.0 * length**2 * shape.width * shape.blocks
    maps = 2.0 * 2 * size * shape.width**2 * patches  # down and up
    head = 2.0 * GENES * shape.width * N_TOKENS
    return 3 * (blocks + maps + head) + (blocks if anew else 0.0)


def _wait(device: torch.device) -> None:
    if device.type == "cuda":
        torch.cuda.synchronize()


def _now(device: torch.device) -> float:
    if device.type == "cuda":
        return float(torch.cuda.memory_allocated())
    return int(Path("/proc/self/statm").read_text().split()[1]) * float(resource.getpagesize())


def _peak(device: torch.device) -> float:
    if device.type == "cuda":
        return float(torch.cuda.max_memory_allocated())
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024.0


CASES: Mapping[str, Callable[..., dict[str, float]]] = {"--step": one_case, "--head": head_case}

if __name__ == "__main__":
    if sys.argv[1:] and sys.argv[1] in CASES:
        torch.set_num_threads(1)
        print(json.dumps(CASES[sys.argv[1]](*json.loads(sys.argv[2]))))
    else:
        main(measure, __doc__ or "")
