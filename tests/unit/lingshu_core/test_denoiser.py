from __future__ import annotations

import json
import re
from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest
import torch
from torch import Tensor

from lingshu_core.backbone import BackboneConfig
from lingshu_core.cells import Cells
from lingshu_core.conditioning import ConditionBatch
from lingshu_core.denoiser import (
    CONFIGURATIONS,
    N_STATISTICS,
    Denoiser,
    DenoiserConfig,
    GeneStatistics,
    PooledPath,
    configuration,
    support_groups,
    tilt_statistics,
)
from lingshu_core.errors import ConfigurationError
from lingshu_core.preparation import TrainingSet, pseudo_cells
from lingshu_core.tokens import MASK, N_TOKENS, encode

MakeDenoiser = Callable[..., Denoiser]


def _all_logits(denoiser: Denoiser, tokens: Tensor, batch: ConditionBatch) -> list[Tensor]:
    features = denoiser.features(tokens, batch)
    return [denoiser.group_logits(features, group) for group in denoiser.groups]


def _half_masked(tokens: Tensor) -> Tensor:
    hidden = torch.rand(tokens.shape, generator=torch.Generator().manual_seed(4)) < 0.5
    return torch.where(hidden, MASK, tokens)


@pytest.fixture
def shape(request: pytest.FixtureRequest) -> DenoiserConfig:
    return request.getfixturevalue(request.param)


@pytest.fixture
def few(learning_set: TrainingSet) -> tuple[Tensor, ConditionBatch]:
    """Tokens and conditions of eight cells, perturbed ones among them."""
    return learning_set.batch(np.arange(8, 40, 4))


@pytest.mark.parametrize("shape", ["small_config", "backbone_config"], indirect=True)
def test_an_untrained_model_predicts_the_smoothed_frequencies(
    make_denoiser: MakeDenoiser, shape: DenoiserConfig, cells: Cells, few: tuple[Tensor, ConditionBatch]
) -> None:
    denoiser = make_denoiser(shape)
    tokens = encode(cells.counts.toarray())
    with torch.no_grad():
        logits = _all_logits(denoiser, _half_masked(few[0]), few[1])
    for group, found in zip(denoiser.groups, logits, strict=True):
        genes = denoiser.gene_order[group.start : group.stop].numpy()
        counted = np.stack([np.bincount(tokens[:, gene], minlength=N_TOKENS) for gene in genes]).astype(float)
        counted = (counted + pseudo_cells(counted))[:, : group.tokens]
        counted[np.arange(group.tokens) > denoiser.last_token[group.start : group.stop, None].numpy()] = 0.0
        expected = torch.from_numpy(counted / counted.sum(axis=1, keepdims=True)).float()
        assert torch.allclose(found.softmax(dim=-1), expected.expand_as(found), atol=1e-6)


@pytest.mark.parametrize(
    ("shape", "tolerance"), [("small_config", 1e-5), ("backbone_config", 0.05)], indirect=["shape"]
)
def test_chosen_logits_are_the_groups_logits_at_those_places(
    make_denoiser: MakeDenoiser, shape: DenoiserConfig, few: tuple[Tensor, ConditionBatch], tolerance: float
) -> None:
    denoiser = make_denoiser(shape, noise=0.2)
    features = denoiser.features(_half_masked(few[0]), few[1])
    for group in denoiser.groups:
        cell = torch.tensor([0, 5, 5, 7])
        gene = torch.tensor([0, group.stop - group.start - 1, 0, 0])
        everywhere = denoiser.group_logits(features, group)
        chosen = denoiser.chosen_logits(features, group, cell, gene)
        assert chosen.shape == (4, group.tokens)
        assert torch.allclose(chosen, everywhere[cell, gene], atol=tolerance)
        assert (chosen[1] - chosen[0]).abs().max() > 10 * tolerance


@pytest.mark.parametrize(("shape", "tolerance"), [("small_config", 1e-4), ("backbone_config", 0.2)], indirect=["shape"])
@pytest.mark.parametrize("strength", [0.5, 2.0])
def test_guidance_extrapolates_the_logits_from_the_control(
    make_denoiser: MakeDenoiser,
    shape: DenoiserConfig,
    few: tuple[Tensor, ConditionBatch],
    strength: float,
    tolerance: float,
) -> None:
    denoiser = make_denoiser(shape, noise=0.2)
    tokens, batch = _half_masked(few[0]), few[1]
    assert (batch.parts > 0).any()
    conditional, control = denoiser.features(tokens, batch), denoiser.features(tokens, batch.as_control())
    guided = conditional.guided(control, strength)
    for group in denoiser.groups:
        of_condition, of_control, found = (
            denoiser.group_logits(each, group) for each in (conditional, control, guided)
        )
        expected = of_control + (strength + 1) * (of_condition - of_control)
        assert torch.allclose(found, expected, atol=tolerance)
        assert (found - of_condition).abs().max() > 2 * tolerance


@pytest.mark.parametrize("strength", [2.0, 3.0])
def test_guidance_of_the_published_configuration_is_the_published_formula(
    make_denoiser: MakeDenoiser,
    backbone_config: DenoiserConfig,
    few: tuple[Tensor, ConditionBatch],
    strength: float,
) -> None:
    """a = a_u + (w + 1)(a_c − a_u), u the control label, where all logits come from the transformer."""
    paper = replace(backbone_config, pooled_width=0, tilt=False, gene_bias=False, depth_token=False)
    denoiser = make_denoiser(paper, noise=0.2)
    assert paper.paths == CONFIGURATIONS["paper"].paths
    tokens, batch = _half_masked(few[0]), few[1]
    unconditional = replace(batch, parts=torch.zeros_like(batch.parts), rows=torch.zeros_like(batch.rows))
    conditional, control = denoiser.features(tokens, batch), denoiser.features(tokens, unconditional)
    guided = conditional.guided(denoiser.features(tokens, batch.as_control()), strength)
    (group,) = denoiser.groups
    a_c, a_u, found = (denoiser.group_logits(each, group) for each in (conditional, control, guided))
    perturbed = (batch.parts > 0).any(dim=1)
    assert torch.equal(a_c[~perturbed], a_u[~perturbed])
    # The transformer computes in bfloat16, of 8 bits: the tolerance is what they are worth at the logits' size.
    tolerance = 2 * (strength + 1) * a_c.detach().abs().max().item() * 2**-8
    assert torch.allclose(found, a_u + (strength + 1) * (a_c - a_u), atol=tolerance)
    assert (found - a_c)[perturbed].abs().max() > 2 * tolerance


def test_guiding_a_control_leaves_it_to_the_bit(
    make_denoiser: MakeDenoiser, backbone_config: DenoiserConfig, few: tuple[Tensor, ConditionBatch]
) -> None:
    denoiser = make_denoiser(backbone_config, noise=0.2)
    control = denoiser.features(_half_masked(few[0]), few[1].as_control())
    guided = control.guided(control, 2.0)
    assert torch.equal(guided.theta, control.theta)
    assert guided.hidden is not None
    assert control.hidden is not None
    assert torch.equal(guided.hidden, control.hidden)


@pytest.mark.parametrize(
    ("paths", "influence"),
    [
        ({"pooled_width": 0, "backbone": None}, False),
        ({"tilt": False, "backbone": None}, False),
        ({"backbone": None}, True),
        ({"pooled_width": 0}, True),
        ({"tilt": False}, True),
    ],
)
def test_visible_genes_speak_through_the_pooled_path_and_the_backbone_only(
    make_denoiser: MakeDenoiser,
    backbone_config: DenoiserConfig,
    few: tuple[Tensor, ConditionBatch],
    paths: dict[str, object],
    influence: bool,
) -> None:
    config = DenoiserConfig(**{**vars(backbone_config), **paths})  # type: ignore[arg-type]
    denoiser = make_denoiser(config, noise=0.2)
    tokens = torch.full_like(few[0], MASK)
    shown = tokens.clone()
    shown[:, -1] = 30
    before, after = (_all_logits(denoiser, each, few[1]) for each in (tokens, shown))
    changed = any(not torch.equal(b, a) for b, a in zip(before, after, strict=True))
    assert changed is influence


@pytest.mark.parametrize("shape", ["small_config", "backbone_config"], indirect=True)
def test_condition_and_depth_tilt_every_gene(
    make_denoiser: MakeDenoiser, shape: DenoiserConfig, few: tuple[Tensor, ConditionBatch]
) -> None:
    denoiser = make_denoiser(shape, noise=0.2)
    tokens, batch = torch.full_like(few[0], MASK), few[1]
    deeper = replace(batch, log_depth=batch.log_depth + 0.3)
    for other in (batch.as_control(), deeper):
        perturbed = (batch.parts > 0).any(dim=1) if other is not deeper else torch.ones(len(tokens), dtype=torch.bool)
        for here, there in zip(_all_logits(denoiser, tokens, batch), _all_logits(denoiser, tokens, other), strict=True):
            assert (here[perturbed] != there[perturbed]).any(dim=-1).all()


def test_a_depth_that_is_switched_off_says_nothing(
    make_denoiser: MakeDenoiser, backbone_config: DenoiserConfig, few: tuple[Tensor, ConditionBatch]
) -> None:
    config = DenoiserConfig(**{**vars(backbone_config), "depth_token": False})
    denoiser = make_denoiser(config, noise=0.2)
    tokens, batch = few
    deeper = replace(batch, log_depth=batch.log_depth + 0.3)
    for here, there in zip(_all_logits(denoiser, tokens, batch), _all_logits(denoiser, tokens, deeper), strict=True):
        assert torch.equal(here, there)


def test_the_pooled_path_hears_visible_molecules_and_fades_the_condition() -> None:
    torch.manual_seed(1)
    config = DenoiserConfig(condition_rank=3, pooled_width=4, dropout=0.5, self_conditioning=False)
    path = PooledPath(5, config).eval()
    torch.nn.init.normal_(path.fade.weight)
    condition, statistics = torch.randn(2, 3), tilt_statistics()
    tokens = torch.tensor([[MASK, 3, MASK, 0, 120], [MASK] * 5])
    found = path(tokens, condition, statistics)
    weight = path.weight.view(5, N_STATISTICS, 4)
    for cell, places in enumerate([[1, 3, 4], []]):
        pooled = sum((statistics[:, tokens[cell, gene]] @ weight[gene] for gene in places), torch.zeros(4))
        count, share = float(len(places)), len(places) / 5
        heard = torch.cat([path.norm(pooled / max(count, 1) ** 0.5), torch.tensor([share])])
        spoken = path.outer(torch.nn.functional.silu(path.inner(heard)))
        fade = path.fade(torch.tensor([count / (count + 8), count / (count + 128), share]))
        assert torch.allclose(found[cell], condition[cell] * (1 + fade) + spoken, atol=1e-5)


def test_a_fresh_pooled_path_leaves_the_condition_at_full_strength() -> None:
    path = PooledPath(5, DenoiserConfig(condition_rank=3, pooled_width=4, self_conditioning=False)).eval()
    condition = torch.randn(1, 3)
    for tokens in (torch.full((1, 5), MASK), torch.tensor([[1, 2, MASK, 4, 0]])):
        nothing = path(tokens, torch.zeros(1, 3), tilt_statistics())
        assert torch.allclose(path(tokens, condition, tilt_statistics()) - nothing, condition, atol=1e-6)


def test_the_losses_are_cross_entropies_and_cover_every_gene_once(
    make_denoiser: MakeDenoiser, small_config: DenoiserConfig, few: tuple[Tensor, ConditionBatch]
) -> None:
    denoiser = make_denoiser(small_config, noise=0.2)
    tokens, batch = few
    masked = _half_masked(tokens)
    logits = _all_logits(denoiser, masked, batch)
    covered: list[int] = []
    for (genes, loss), group, found in zip(
        denoiser.losses(tokens, masked, batch), denoiser.groups, logits, strict=True
    ):
        covered += range(genes.start, genes.stop)
        target = tokens[:, genes].clamp(max=group.tokens - 1)
        expected = -found.log_softmax(dim=-1).gather(-1, target[..., None])[..., 0]
        assert torch.allclose(loss, expected, atol=1e-5)
    assert covered == list(range(denoiser.genes))


def test_a_count_beyond_a_genes_vocabulary_is_scored_as_its_largest_token(
    make_denoiser: MakeDenoiser, small_config: DenoiserConfig, few: tuple[Tensor, ConditionBatch]
) -> None:
    denoiser = make_denoiser(small_config)
    group = denoiser.groups[0]
    largest, beyond = few[0].clone(), few[0].clone()
    largest[:, 0], beyond[:, 0] = group.tokens - 1, 200
    masked = torch.full_like(beyond, MASK)
    (_, first), (_, second) = (next(iter(denoiser.losses(each, masked, few[1]))) for each in (largest, beyond))
    assert torch.equal(first, second)


def test_a_token_beyond_a_genes_last_has_no_probability_and_learns_nothing(
    make_denoiser: MakeDenoiser, small_config: DenoiserConfig, few: tuple[Tensor, ConditionBatch]
) -> None:
    denoiser = make_denoiser(small_config)
    torch.nn.init.normal_(denoiser.tilt, std=0.5)
    tokens, batch = few
    for group, logits in zip(denoiser.groups, _all_logits(denoiser, _half_masked(tokens), batch), strict=True):
        beyond = torch.arange(group.tokens) > denoiser.last_token[group.start : group.stop, None]
        assert beyond.any(dim=1).any()
        assert (logits.softmax(dim=-1)[:, beyond] == 0).all()
        assert (logits.softmax(dim=-1)[:, ~beyond] > 0).all()
    sum(loss.sum() for _, loss in denoiser.losses(tokens, _half_masked(tokens), batch)).backward()
    for group in denoiser.groups:
        beyond = torch.arange(group.tokens) > denoiser.last_token[group.start : group.stop, None]
        assert (denoiser.bias[group.index].grad[beyond] == 0).all()


def test_genes_are_sorted_by_support_and_the_order_leads_back() -> None:
    support = torch.tensor([32, 8, 16, 8, 32, 8])
    marginals = torch.arange(6.0)[:, None].expand(6, 281)
    statistics = GeneStatistics(support, marginals, torch.tensor([5.0, 6.0]), torch.ones(2))
    denoiser = Denoiser(DenoiserConfig(condition_rank=2, pooled_width=0), (), 1, statistics)
    assert denoiser.gene_order.tolist() == [1, 3, 5, 2, 0, 4]
    assert [(group.start, group.stop, group.tokens) for group in denoiser.groups] == [(0, 3, 8), (3, 4, 16), (4, 6, 32)]
    assert [bias[:, 0].tolist() for bias in denoiser.bias] == [[1.0, 3.0, 5.0], [2.0], [0.0, 4.0]]
    assert [bias.shape[1] for bias in denoiser.bias] == [8, 16, 32]


def test_groups_are_cut_where_the_support_changes() -> None:
    assert [(g.index, g.start, g.stop, g.tokens) for g in support_groups(torch.tensor([8, 8, 16]))] == [
        (0, 0, 2, 8),
        (1, 2, 3, 16),
    ]


def test_the_statistics_are_presence_log_count_and_its_square() -> None:
    statistics = tilt_statistics()
    assert statistics.shape == (N_STATISTICS, 281)
    assert statistics[:, 0].tolist() == [0.0] * N_STATISTICS
    assert statistics[0, 1:].min() == 1.0
    assert statistics[1, 99] == pytest.approx(np.log(100))
    assert statistics[1, 100] == pytest.approx(np.log1p(104.5))
    assert statistics[2, 99] == pytest.approx(np.log(100) ** 2 / 4)


def test_equal_seeds_give_equal_models_and_leave_the_global_generator_alone(make_denoiser: MakeDenoiser) -> None:
    torch.manual_seed(11)
    expected = torch.rand(3)
    torch.manual_seed(11)
    first = make_denoiser(seed=3).state_dict()
    assert torch.equal(torch.rand(3), expected)
    second, other = make_denoiser(seed=3).state_dict(), make_denoiser(seed=4).state_dict()
    assert all(torch.equal(first[name], second[name]) for name in first)
    assert any(not torch.equal(first[name], other[name]) for name in first)


def test_without_a_gene_bias_every_token_starts_equal_and_nothing_is_learnt_there(
    make_denoiser: MakeDenoiser, few: tuple[Tensor, ConditionBatch]
) -> None:
    denoiser = make_denoiser(DenoiserConfig(condition_rank=3, pooled_width=0, depth_knots=3, gene_bias=False))
    assert [group.tokens for group in denoiser.groups] == [281]
    assert _all_logits(denoiser, *few)[0].abs().max() == 0
    assert not denoiser.bias[0].requires_grad


def test_paths_name_what_is_on() -> None:
    assert DenoiserConfig().paths == "bias+tilt+pooled+depth+self"
    assert DenoiserConfig(self_conditioning=False).paths == "bias+tilt+pooled+depth"
    assert DenoiserConfig(tilt=False).paths == "bias+depth"  # the pooled path needs the tilt
    assert DenoiserConfig(gene_bias=False, pooled_width=0, depth_token=False).paths == "tilt"
    assert CONFIGURATIONS["base"].paths == "bias+tilt+pooled+depth+self+backbone"


@pytest.mark.parametrize("name", CONFIGURATIONS)
def test_configurations_survive_json(name: str) -> None:
    config = configuration(name)
    assert DenoiserConfig.from_json(json.loads(json.dumps(config.to_json()))) == config


def test_overrides_reach_denoiser_and_backbone() -> None:
    config = configuration("tiny", {"condition_rank": 5, "patch_size": 7, "blocks": 3})
    assert config.condition_rank == 5
    assert config.backbone == BackboneConfig(blocks=3, width=64, heads=2, feed_forward=256, patch_size=7)
    assert configuration("tiny").condition_rank != 5


@pytest.mark.parametrize(
    ("name", "overrides", "said"),
    [
        ("huge", {}, "unknown configuration 'huge'; there are direct, tiny, small, base"),
        ("direct", {"rank": 5}, "'direct' has no setting 'rank'; it has condition_rank, pooled_width"),
        ("direct", {"blocks": 2}, "'direct' has no setting 'blocks'"),
        ("tiny", {"backbone": None}, "'tiny' has no setting 'backbone'"),
        ("tiny", {"width": 65}, "width 65 must split into 2 heads"),
    ],
)
def test_unknown_names_and_overrides_are_refused(name: str, overrides: dict[str, object], said: str) -> None:
    with pytest.raises(ConfigurationError, match=re.escape(said)):
        configuration(name, overrides)


def test_a_configuration_with_an_unknown_field_is_refused() -> None:
    with pytest.raises(ConfigurationError, match=r"denoiser configuration: .*'moe'"):
        DenoiserConfig.from_json({**DenoiserConfig().to_json(), "moe": 8})


def test_a_configuration_from_before_self_conditioning_has_none() -> None:
    content = DenoiserConfig().to_json()
    assert DenoiserConfig.from_json(content).self_conditioning
    del content["self_conditioning"]
    assert not DenoiserConfig.from_json(content).self_conditioning


def test_self_conditioning_answers_twice_and_is_named(
    make_denoiser: MakeDenoiser, few: tuple[Tensor, ConditionBatch]
) -> None:
    config = DenoiserConfig(condition_rank=6, pooled_width=5, depth_knots=4, self_conditioning=True)
    assert config.paths.endswith("+self")
    denoiser = make_denoiser(config, noise=0.3)
    tokens, batch = _half_masked(few[0]), few[1]
    found = denoiser.features(tokens, batch).theta
    assert torch.equal(found, denoiser.features(tokens, batch).theta)  # nothing is random once trained
    pooled = denoiser.pooled
    assert pooled is not None
    with torch.no_grad():
        pooled.inner.weight[:, -6:] = 0  # deaf to its first answer
    assert not torch.allclose(found, denoiser.features(tokens, batch).theta)


def test_without_self_conditioning_nothing_is_drawn(
    make_denoiser: MakeDenoiser, few: tuple[Tensor, ConditionBatch]
) -> None:
    config = DenoiserConfig(condition_rank=6, pooled_width=5, depth_knots=4, dropout=0.0, self_conditioning=False)
    denoiser = make_denoiser(config).train()
    before = torch.get_rng_state()
    denoiser.features(_half_masked(few[0]), few[1])
    assert torch.equal(before, torch.get_rng_state())


def test_training_may_go_without_the_first_answer(
    make_denoiser: MakeDenoiser, few: tuple[Tensor, ConditionBatch]
) -> None:
    config = DenoiserConfig(condition_rank=6, pooled_width=5, depth_knots=4, dropout=0.0)
    denoiser = make_denoiser(config, noise=0.3).train()
    tokens = _half_masked(few[0])
    twice = denoiser.features(tokens, few[1]).theta
    assert denoiser.pooled is not None
    denoiser.pooled.twice = False
    assert not torch.allclose(denoiser.features(tokens, few[1]).theta, twice)
    again = denoiser.eval().features(tokens, few[1]).theta
    assert torch.allclose(again, twice, atol=1e-5)  # a trained model always answers twice


def test_molecules_that_are_few_are_pooled_as_if_all_genes_were_looked_at(
    make_denoiser: MakeDenoiser, few: tuple[Tensor, ConditionBatch]
) -> None:
    pooled = make_denoiser(noise=0.3).pooled
    assert pooled is not None
    tokens = _half_masked(few[0])
    tokens[1], tokens[-1] = MASK, 0  # nothing is visible, and no molecule is
    visible = tokens != MASK
    everywhere, where_seen = (
        pool(tokens, visible, tilt_statistics()) for pool in (pooled._pool, pooled._pool_sparsely)
    )
    assert torch.allclose(everywhere, where_seen, atol=1e-5)
    assert not where_seen[[1, -1]].any()


def test_theta_is_the_same_however_many_places_are_asked_for(
    make_denoiser: MakeDenoiser, few: tuple[Tensor, ConditionBatch]
) -> None:
    features = make_denoiser(noise=0.3).features(_half_masked(few[0]), few[1])
    genes = slice(3, 13)
    whole = features.theta_of(genes)
    cell, gene = torch.nonzero(torch.ones(len(few[0]), 10), as_tuple=True)
    for places in (slice(0, 1), slice(None)):  # one is gathered, all are cut out
        found = features.theta_at(cell[places], gene[places], genes)
        assert torch.allclose(found, whole[cell[places], gene[places]], atol=1e-5)
