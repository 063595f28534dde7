from __future__ import annotations

import pytest
import torch
from torch import Tensor

from lingshu_core.backbone import Backbone, BackboneConfig, rotary_angles, rotate
from lingshu_core.errors import ConfigurationError
from lingshu_core.tokens import MASK

GENES = 11


def _backbone(blocks: int = 1, patch_size: int = 4, width: int = 8, genes: int = GENES) -> Backbone:
    torch.manual_seed(0)
    config = BackboneConfig(blocks=blocks, width=width, heads=2, feed_forward=12, patch_size=patch_size)
    backbone = Backbone(config, genes, torch.Generator().manual_seed(1))
    for parameter in backbone.parameters():
        if parameter.dim() == 2:  # as drawn, attention would hardly do anything
            torch.nn.init.normal_(parameter, std=0.5)
    return backbone.eval()


def _tokens(cells: int = 3, genes: int = GENES) -> Tensor:
    return torch.randint(0, 281, (cells, genes), generator=torch.Generator().manual_seed(2))


def _features(backbone: Backbone, tokens: Tensor, prefix: Tensor) -> Tensor:
    """Feature vectors of all genes, (cells, genes, width)."""
    return backbone.lift(backbone(tokens, prefix))


def test_heads_that_do_not_divide_the_width_are_refused() -> None:
    for heads in (5, 64):
        with pytest.raises(ConfigurationError, match=rf"width 64 must split into {heads} heads .* try heads = 2"):
            BackboneConfig(blocks=1, width=64, heads=heads, feed_forward=8, patch_size=4)


@pytest.mark.parametrize(("genes", "patch_size"), [(11, 4), (12, 4), (3, 8), (7, 1)])
@pytest.mark.parametrize("prefix", [1, 3])
def test_every_gene_gets_a_feature_vector(genes: int, patch_size: int, prefix: int) -> None:
    backbone = _backbone(patch_size=patch_size, genes=genes)
    assert _features(backbone, _tokens(2, genes), torch.randn(2, prefix, 8)).shape == (2, genes, 8)


def test_unpatching_restores_the_order_of_the_genes() -> None:
    """With maps that copy a sign through the slots of a patch, every gene gets its own sign back."""
    backbone = _backbone(blocks=0)
    with torch.no_grad():
        backbone.embed.weight.zero_()
        backbone.embed.weight[:, 0] = torch.where(torch.arange(282) % 2 == 0, 1.0, -1.0)
        backbone.down.weight.zero_()
        backbone.up.weight.zero_()
        for slot in range(4):
            backbone.down.weight[slot, slot * 8] = 1.0
            backbone.up.weight[slot * 8, slot] = 1.0
    tokens = _tokens(5)
    signs = torch.where(tokens % 2 == 0, 1.0, -1.0)
    found = _features(backbone, tokens, torch.randn(5, 2, 8))[..., 0]
    assert torch.allclose(found, signs * found.abs().max())
    assert signs.sum(dim=1).abs().max() < GENES  # both signs occur, in many orders


def test_without_blocks_genes_of_one_patch_speak_to_one_another_only() -> None:
    backbone = _backbone(blocks=0)
    tokens, prefix = _tokens(1), torch.randn(1, 2, 8)
    before = _features(backbone, tokens, prefix)
    patch = torch.argsort(backbone.order) // 4
    for gene in range(GENES):
        changed = tokens.clone()
        changed[0, gene] = (changed[0, gene] + 1) % 281
        moved = (_features(backbone, changed, prefix) != before).any(dim=-1)[0]
        assert torch.equal(moved, patch == patch[gene])


def test_attention_is_bidirectional_and_sees_the_prefix() -> None:
    backbone = _backbone()
    tokens, prefix = _tokens(1), torch.randn(1, 2, 8)
    before = _features(backbone, tokens, prefix)
    patch = torch.argsort(backbone.order) // 4
    for gene in (int(backbone.order[0]), int(backbone.order[-1])):
        changed = tokens.clone()
        changed[0, gene] = (changed[0, gene] + 1) % 281
        moved = (_features(backbone, changed, prefix) - before).abs().amax(dim=-1)[0]
        assert (moved[patch != patch[gene]] > 1e-6).all()
    assert ((_features(backbone, tokens, prefix + 1.0) - before).abs().amax(dim=-1) > 1e-6).all()


def test_the_prefix_bypasses_the_compression() -> None:
    backbone = _backbone()
    compressed, attended, lifted = [], [], []
    backbone.down.register_forward_hook(lambda _module, inputs, _output: compressed.append(inputs[0].shape))
    backbone.blocks[0].register_forward_hook(lambda _module, inputs, _output: attended.append(inputs[0]))
    backbone.up.register_forward_hook(lambda _module, inputs, _output: lifted.append(inputs[0].shape))
    prefix = torch.randn(3, 5, 8)
    _features(backbone, _tokens(), prefix)
    assert compressed == [(3, 3, 32)]  # 11 genes in patches of 4
    assert attended[0].shape == (3, 5 + 3, 8)
    assert torch.equal(attended[0][:, :5], prefix)
    assert lifted == [(3, 3, 8)]


@pytest.mark.parametrize("share", [0.0, 0.3, 1.0])
def test_a_folded_backbone_says_the_same_until_it_is_trained_again(share: float) -> None:
    backbone, prefix = _backbone(), torch.randn(6, 2, 8)
    tokens = torch.where(torch.rand(6, GENES) < share, _tokens(6), MASK)
    tokens[0] = MASK
    before = backbone(tokens, prefix)
    backbone.fold()
    backbone.down.register_forward_hook(lambda *_: pytest.fail("the way down was multiplied out"))
    assert torch.allclose(backbone(tokens, prefix), before, atol=1e-4)
    assert "folded" not in backbone.state_dict()
    assert backbone.train().folded is None


def test_places_are_lifted_as_all_of_them_are() -> None:
    backbone = _backbone()
    stream = backbone(_tokens(), torch.randn(3, 2, 8))
    every = backbone.lift(stream)
    for asked in (torch.eye(3, GENES), torch.ones(3, GENES), torch.zeros(3, GENES)):
        cell, gene = torch.nonzero(asked, as_tuple=True)
        assert torch.allclose(backbone.lift_at(stream, cell, gene), every[cell, gene], atol=1e-5)


def test_the_order_of_the_genes_is_fixed_by_the_generator_and_kept_with_the_weights() -> None:
    first, second = _backbone(), _backbone()
    assert torch.equal(first.order, second.order)
    assert sorted(first.order.tolist()) == list(range(GENES))
    assert first.order.tolist() != list(range(GENES))
    assert torch.equal(first.order[first.inverse], torch.arange(GENES))
    assert {"order", "inverse"} <= first.state_dict().keys()


def test_no_layer_has_a_bias() -> None:
    assert not [name for name, _ in _backbone(blocks=2).named_parameters() if name.endswith("bias")]


def test_rotation_keeps_lengths_and_depends_on_the_distance_only() -> None:
    rotation = rotary_angles(20, 8, torch.device("cpu"))
    query, key = (torch.randn(8, generator=torch.Generator().manual_seed(seed)).expand(20, 8) for seed in (1, 2))
    turned_query, turned_key = rotate(query, rotation), rotate(key, rotation)
    assert torch.allclose(turned_query.norm(dim=-1), query.norm(dim=-1))
    assert torch.equal(turned_query[0], query[0])
    products = turned_query @ turned_key.T
    for distance in (-7, 0, 3):
        diagonal = torch.diagonal(products, distance)
        assert torch.allclose(diagonal, diagonal[0].expand_as(diagonal), atol=1e-4)
    assert (products[0, 1:] - products[0, :-1]).abs().max() > 1e-2
