"""How much of what the processor can do a screen uses: operations of the small transformer, bytes of `direct`.

Kang's 9,015 genes and their vocabularies, weights as they are before any training (time doesn't depend on them), a
shard of 64 cells in 6 geometric steps, one thread. Medians of five.

- `cpu_share`: floating-point operations that the shard of `small` carries out in matrix products (torch's counter),
  by its seconds and by the best rate of a product here, of 2048³ or of the model's own shapes, in the model's own
  number type (bf16; in fp32 `cpu_share_fp32` is what the blocks would be held against).
- `nominal_share`: the same with the operations of six whole forward passes. It is higher where passes do less than
  that: the way down is a table, the way up is taken only for genes that a step reveals.
- `direct_share`: bytes that the operations of a shard of `direct` read and write, by its seconds and by the rate of a
  large copy. Pieces are made to fit the caches, so a share above 1 is possible.
"""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable, Iterable
from typing import Any

import numpy as np
import torch
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils.flop_counter import FlopCounterMode

from benchmarks.report import EXAMPLES, Figures, main, table
from campaigns.source import load_training
from lingshu_core.conditioning import Condition
from lingshu_core.denoiser import Denoiser, configuration
from lingshu_core.estimator import ShardRequest, estimate_shard
from lingshu_core.preparation import build_vocabulary, gene_statistics
from lingshu_core.randomness import RandomRoot
from lingshu_core.reveal import RevealSettings
from lingshu_core.vocabulary import Vocabulary
from screening.objective.readouts import read_data

CELLS, REPETITIONS, SQUARE = 64, 5, 2048
SETTINGS = RevealSettings(steps=6, schedule="geometric")
COPIED = 2**26
"""Numbers of a copy that no cache holds, 256 MB."""


class Bytes(TorchDispatchMode):  # type: ignore[no-untyped-call]  # torch says nothing of it
    """Counts what operations read and write; views move nothing."""

    def __init__(self) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.total = 0

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        """Run an operation and count it."""
        found = func(*args, **(kwargs or {}))
        if not func.is_view:
            self.total += sum(map(_size, (*_tensors(args), *_tensors([found]))))
        return found


def measure() -> Figures:
    """Measure both configurations; all figures."""
    cells = read_data(load_training(EXAMPLES / "kang/train.yaml").spec.data)
    vocabulary = build_vocabulary(cells)
    depths = np.asarray(cells.depth[cells.is_control], dtype=float)
    rates = {"bf16": _best_product(torch.bfloat16), "fp32": _best_product(torch.float32)}
    copied = _copy_rate()
    figures: dict[str, float] = {f"gemm_gflops_{name}": rate / 1e9 for name, rate in rates.items()}
    figures["copy_gb_per_second"] = copied / 1e9
    shards: dict[str, Callable[[], object]] = {}
    for name in ("small", "direct"):
        config = configuration(name)
        model = Denoiser(config, _factor_sizes(vocabulary), 1, gene_statistics(cells, vocabulary, config)).fold()
        shards[name] = _shard(model, vocabulary, depths)
        figures[f"{name}_seconds"] = _median_seconds(shards[name])
        if name == "small":
            figures["small_nominal_gflop"] = SETTINGS.steps * CELLS * _nominal(model) / 1e9
    with FlopCounterMode(display=False) as operations:
        shards["small"]()
    figures["small_gflop"] = operations.get_total_flops() / 1e9
    with Bytes() as moved:
        shards["direct"]()
    figures["direct_gb"] = moved.total / 1e9
    done = figures["small_gflop"] / figures["small_seconds"]
    shares = {
        "cpu_share": done / figures["gemm_gflops_bf16"],
        "cpu_share_fp32": done / figures["gemm_gflops_fp32"],
        "nominal_share": figures["small_nominal_gflop"] / figures["small_seconds"] / figures["gemm_gflops_bf16"],
        "direct_share": figures["direct_gb"] / figures["direct_seconds"] / figures["copy_gb_per_second"],
    }
    table(["figure", "value"], [[name.replace("_", " "), value] for name, value in {**shares, **figures}.items()])
    return {**shares, **figures}


def _factor_sizes(vocabulary: Vocabulary) -> tuple[int, ...]:
    return tuple(len(values) for values in vocabulary.factors.values())


def _shard(model: Denoiser, vocabulary: Vocabulary, depths: Any) -> Callable[[], object]:
    condition = Condition({"cell_type": "CD14+ Monocytes"})
    request = ShardRequest(condition, RandomRoot(0, "mfu", ""), 0, CELLS, SETTINGS)
    return lambda: estimate_shard(model, vocabulary, depths, request)


def _nominal(model: Denoiser) -> float:
    """Count the operations of one whole forward pass of one cell up to the head."""
    backbone = model.backbone
    if backbone is None:
        raise SystemExit("only a configuration with a backbone has a nominal number of operations")
    shape, length = backbone.config, backbone.patches + 2
    in_blocks = sum(p.numel() for p in backbone.blocks.parameters() if p.dim() == 2)
    blocks = 2.0 * in_blocks * length + 4.0 * length**2 * shape.width * shape.blocks
    return blocks + 2.0 * 2 * shape.patch_size * shape.width**2 * backbone.patches


def _best_product(kind: torch.dtype) -> float:
    """Return the best rate of a matrix product, operations a second: a large square, and the shapes of `small`."""
    shape = configuration("small").backbone
    if shape is None:
        raise SystemExit("the small configuration has a backbone")
    rows = CELLS * (9_015 // shape.patch_size + 4)
    width, inner = shape.width, shape.feed_forward
    own = [(rows, width, 3 * width), (rows, width, inner), (rows, inner, width), (rows, width, width)]
    return max(_product_rate(sizes, kind) for sizes in [(SQUARE, SQUARE, SQUARE), *own])


def _product_rate(sizes: tuple[int, int, int], kind: torch.dtype) -> float:
    rows, inner, columns = sizes
    first, second = torch.randn(rows, inner).to(kind), torch.randn(columns, inner).to(kind)
    seconds = _median_seconds(lambda: torch.nn.functional.linear(first, second))
    return 2.0 * rows * inner * columns / seconds


def _copy_rate() -> float:
    source, target = torch.ones(COPIED), torch.empty(COPIED)
    return 2.0 * 4 * COPIED / _median_seconds(lambda: target.copy_(source))


def _median_seconds(action: Callable[[], object]) -> float:
    action()
    seconds = []
    for _ in range(REPETITIONS):
        started = time.perf_counter()
        action()
        seconds.append(time.perf_counter() - started)
    return statistics.median(seconds)


def _tensors(values: Iterable[Any]) -> Iterable[torch.Tensor]:
    for value in values:
        if isinstance(value, torch.Tensor):
            yield value
        elif isinstance(value, (list, tuple)):
            yield from _tensors(value)


def _size(values: torch.Tensor) -> int:
    return values.numel() * values.element_size()


if __name__ == "__main__":
    main(measure, __doc__ or "")
