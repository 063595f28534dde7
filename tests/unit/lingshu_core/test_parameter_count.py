from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import pytest

from lingshu_core.denoiser import CONFIGURATIONS, Denoiser, DenoiserConfig, configuration
from lingshu_core.parameter_count import PARTS, PUBLISHED_GENES, build_shape, count_parameters, part_of


@pytest.mark.parametrize(("patch_size", "maps", "tokens"), [(32, 26.2, 565), (8, 6.6, 2260), (1, 0.8, 18080)])
def test_the_published_shape_has_the_published_counts(patch_size: int, maps: float, tokens: int) -> None:
    shape = build_shape(configuration("paper", {"patch_size": patch_size}), PUBLISHED_GENES)
    parts = count_parameters(shape).parts
    assert round(parts["blocks"] / 1e6, 1) == 85.2
    assert round(parts["patch maps"] / 1e6, 1) == maps
    assert "direct paths" not in parts
    assert shape.backbone is not None
    assert shape.backbone.patches == tokens


def test_the_published_blocks_are_those_of_the_paper() -> None:
    """13 x (4 x 640² of attention, 3 x 640 x 2,560 of SwiGLU, two norms), and a last norm."""
    parts = count_parameters(build_shape(CONFIGURATIONS["paper"])).parts
    assert parts["blocks"] == 13 * (4 * 640**2 + 3 * 640 * 2560 + 2 * 640) + 640
    assert parts["patch maps"] == 2 * 32 * 640**2
    assert parts["token embedding"] == 282 * 640
    assert parts["head"] == 281 * 640


def test_the_published_configuration_has_none_of_our_paths() -> None:
    assert CONFIGURATIONS["paper"].paths == "backbone"


@pytest.mark.parametrize("name", CONFIGURATIONS)
def test_a_shape_costs_nothing_and_every_parameter_has_a_part(name: str) -> None:
    shape = build_shape(CONFIGURATIONS[name])
    assert {parameter.device.type for parameter in shape.parameters()} == {"meta"}
    counted = count_parameters(shape)
    assert counted.trained + counted.unused == sum(parameter.numel() for parameter in shape.parameters())
    assert "other" not in counted.parts
    assert set(counted.parts) <= set(PARTS)


def test_the_shape_of_a_configuration_has_the_parts_of_the_model_that_it_makes(
    make_denoiser: Callable[..., Denoiser], backbone_config: DenoiserConfig
) -> None:
    made = make_denoiser(replace(backbone_config, gene_bias=False))
    sizes = tuple(table.num_embeddings - 1 for table in made.conditions.factors)
    shape = build_shape(made.config, made.genes, sizes, made.conditions.perturbation.num_embeddings - 1)
    assert count_parameters(shape) == count_parameters(made)


def test_paths_that_are_switched_off_are_not_counted_as_trained(make_denoiser: Callable[..., Denoiser]) -> None:
    config = DenoiserConfig(condition_rank=6, pooled_width=5, depth_knots=4)
    whole = count_parameters(make_denoiser(config))
    without = count_parameters(make_denoiser(replace(config, depth_token=False)))
    assert whole.unused == 0
    assert without.unused == whole.trained - without.trained == 4 * 6
    assert count_parameters(make_denoiser(replace(config, tilt=False, gene_bias=False))).parts == {}


def test_an_unknown_parameter_belongs_to_no_part() -> None:
    assert part_of("backbone.blocks.0.qkv.weight") == "blocks"
    assert part_of("backbone.up.weight") == "patch maps"
    assert part_of("hypernetwork.weight") == "other"
