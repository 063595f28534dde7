"""The same shards on a GPU: close to those of a CPU, not equal to the bit (`docs/life-of-a-shard.md` says so)."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import polars as pl
import pytest
import torch

from lingshu_core.conditioning import Condition
from lingshu_core.estimator import EstimatorKind, ShardRequest
from lingshu_core.predictor import open_predictor
from lingshu_core.randomness import RandomRoot
from lingshu_core.reveal import RevealSettings

pytestmark = pytest.mark.gpu
CONDITION = Condition({"cell_type": "type_1", "donor": "donor_1"}, (("REG04", None),))


@pytest.mark.parametrize("guidance", [0.0, 1.5])
def test_expectations_are_those_of_a_cpu(tiny: Path, gpu: torch.device, guidance: float) -> None:
    effects = [_effect(tiny, device, "variance_reduced", 16, guidance) for device in (torch.device("cpu"), gpu)]
    # A draw near the edge between two tokens may fall on the other side: most genes agree far better than the worst.
    assert np.median(np.abs(effects[0] - effects[1])) < 1e-4
    assert np.corrcoef(*effects)[0, 1] > 0.999


def test_drawn_cells_have_the_effects_of_a_cpu(tiny: Path, gpu: torch.device) -> None:
    effects = [_effect(tiny, device, "sampled", 128, 0.0) for device in (torch.device("cpu"), gpu)]
    assert np.corrcoef(*effects)[0, 1] > 0.98


def test_a_device_repeats_itself_to_the_bit(tiny: Path, gpu: torch.device) -> None:
    first, second = (_effect(tiny, gpu, "variance_reduced", 16, 0.0) for _ in range(2))
    np.testing.assert_array_equal(first, second)


@pytest.mark.ray
def test_a_screen_on_gpu_replicas_ranks_as_on_a_cpu(
    gpu: torch.device, write_screen: Callable[..., Path], lingshu: Callable[..., tuple[int, str, str]], tmp_path: Path
) -> None:
    tables = []
    for name, compute in {
        "cpu": {"backend": "in_process"},
        "gpu": {"backend": "ray", "replicas": 2, "gpus_per_replica": 0.5},
    }.items():
        screen = write_screen(f"{name}.yaml", output=str(tmp_path / name), compute=compute)
        code, _, error = lingshu("run", screen)
        assert code == 0, error
        tables.append(pl.read_parquet(tmp_path / name / "hits.parquet").sort("perturbation", "dose", "context"))
    assert np.corrcoef(tables[0]["score"].to_numpy(), tables[1]["score"].to_numpy())[0, 1] > 0.999


def _effect(tiny: Path, device: torch.device, kind: EstimatorKind, cells: int, guidance: float) -> np.ndarray:
    """Return the effect of a condition in log1p counts per 10k, mean over two shards, (genes,)."""
    predictor = open_predictor(str(tiny / "model"), device)
    settings = RevealSettings(3, "geometric", guidance)
    root = RandomRoot(0, "type_1|donor_1", "ctrl")

    def mean(condition: Condition) -> np.ndarray:
        requests = [ShardRequest(condition, root, shard, cells, settings) for shard in range(2)]
        return np.mean([predictor.estimate(each, kind).moments[0] for each in requests], axis=0)

    return mean(CONDITION) - mean(CONDITION.as_control())
