"""Training on a GPU: the direct paths and the transformer learn, resume, and are read back on a CPU."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

from lingshu_core.checkpoint import load_checkpoint
from screening.training.training_request import train_model

pytestmark = pytest.mark.gpu
TRAINING = {"epochs": 3, "warmup_steps": 5, "learning_rate": 0.002}


@pytest.mark.parametrize("model", [{"configuration": "direct"}, {"configuration": "tiny"}], ids=["direct", "tiny"])
def test_a_model_trains_on_the_device_and_is_read_on_a_cpu(
    gpu: torch.device, write_train: Callable[..., Path], tmp_path: Path, model: dict[str, Any]
) -> None:
    train_model(write_train(model=model, training=TRAINING | {"device": gpu.type}))
    checkpoint = load_checkpoint(str(tmp_path / "model"), torch.device("cpu"))
    losses = _losses(tmp_path / "model")
    assert losses[-1] < losses[0]
    assert all(torch.isfinite(parameter).all() for parameter in checkpoint.denoiser.parameters())


def test_checkpointed_activations_and_parts_of_a_batch_give_the_same_loss(
    gpu: torch.device, write_train: Callable[..., Path], tmp_path: Path
) -> None:
    found = []
    for name, extra in {"plain": {}, "spare": {"accumulate": 2, "activation_checkpointing": True}}.items():
        output = tmp_path / name
        train_model(
            write_train(
                model={"configuration": "tiny", "overrides": {"dropout": 0.0}},
                training=TRAINING | {"device": gpu.type, **extra},
                output=str(output),
            )
        )
        found.append(_losses(output)[-1])
    assert found[0] == pytest.approx(found[1], rel=0.02)  # bf16 rounds another sum in another order


def _losses(folder: Path) -> list[float]:
    """Return the training loss of each epoch, nats per gene."""
    return [epoch["loss"] for epoch in load_checkpoint(str(folder)).card["history"]]
