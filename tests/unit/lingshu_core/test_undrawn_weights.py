import torch
from torch import nn

from lingshu_core.undrawn_weights import UndrawnWeights


def test_nothing_is_drawn_within_and_everything_is_drawn_behind() -> None:
    torch.manual_seed(0)
    first = torch.get_rng_state()
    with UndrawnWeights():
        layers = nn.Linear(3, 4), nn.Embedding(5, 2), nn.init.normal_(torch.zeros(3)), torch.zeros(3).uniform_()
    assert torch.equal(torch.get_rng_state(), first)
    assert [tuple(layer.weight.shape) for layer in layers[:2]] == [(4, 3), (5, 2)]
    assert torch.equal(layers[2], torch.zeros(3))
    nn.Linear(3, 4)
    assert not torch.equal(torch.get_rng_state(), first)
