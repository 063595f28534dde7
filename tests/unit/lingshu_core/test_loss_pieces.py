"""The loss in pieces is the loss at once, and so are its gradients."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch

from lingshu_core import denoiser as denoiser_module
from lingshu_core.denoiser import Denoiser, DenoiserConfig, SupportGroup, cut_group
from lingshu_core.preparation import TrainingSet
from lingshu_core.tokens import MASK


def _loss_and_gradients(model: Denoiser, data: TrainingSet) -> tuple[torch.Tensor, list[torch.Tensor | None]]:
    tokens, batch = data.batch(torch.arange(9).numpy())
    masked = torch.where(torch.rand(tokens.shape, generator=torch.Generator().manual_seed(1)) < 0.5, MASK, tokens)
    model.zero_grad(set_to_none=True)
    losses = torch.cat([loss for _, loss in model.losses(tokens, masked, batch)], dim=1)
    (losses * torch.linspace(0.5, 2.0, losses.shape[1])).sum().backward()
    return losses.detach(), [parameter.grad for parameter in model.parameters()]


@pytest.mark.parametrize("most", [1, 300, 2_000])
def test_pieces_change_nothing(
    make_denoiser: Callable[..., Denoiser],
    learning_set: TrainingSet,
    backbone_config: DenoiserConfig,
    monkeypatch: pytest.MonkeyPatch,
    most: int,
) -> None:
    model = make_denoiser(backbone_config, noise=0.1)
    expected, gradients = _loss_and_gradients(model, learning_set)
    monkeypatch.setattr(denoiser_module, "MOST_LOGITS", most)
    found, others = _loss_and_gradients(model, learning_set)
    assert torch.allclose(found, expected, rtol=1e-2)  # in bf16, for other shapes
    for one, other in zip(gradients, others, strict=True):
        assert (one is None) == (other is None)
        assert one is None or torch.allclose(one, other, rtol=2e-2, atol=1e-3 * float(one.abs().max()) + 1e-7)


def test_a_group_is_cut_where_its_logits_are_too_many(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(denoiser_module, "MOST_LOGITS", 100)
    group = SupportGroup(2, 10, 25, 8)
    assert cut_group(group, 1) == (SupportGroup(2, 10, 22, 8), SupportGroup(2, 22, 25, 8))
    assert [piece.stop - piece.start for piece in cut_group(group, 1_000)] == [1] * 15
    monkeypatch.setattr(denoiser_module, "MOST_LOGITS", 10_000)
    assert cut_group(group, 1) == (group,)
