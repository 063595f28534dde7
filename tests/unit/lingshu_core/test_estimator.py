from __future__ import annotations

import weakref
from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest
import torch

from lingshu_core.conditioning import Condition
from lingshu_core.denoiser import Denoiser
from lingshu_core.errors import ConditionError, ConfigurationError
from lingshu_core.estimator import (
    MOMENT_NAMES,
    EstimatorKind,
    Moments,
    ShardRequest,
    drawn_depths,
    estimate_shard,
    expected_moments,
    injected_tokens,
    sampled_moments,
    shard_inputs,
    token_values,
)
from lingshu_core.randomness import RandomRoot, cell_randomness
from lingshu_core.reveal import RevealSettings
from lingshu_core.tokens import MASK, REPRESENTATIVE_COUNTS
from lingshu_core.vocabulary import Vocabulary

CONTEXT = {"cell_type": "T cells", "donor": "D1"}
JAK2 = Condition(CONTEXT, (("JAK2", None),))
ROOT = RandomRoot(1, "T cells|D1", "ctrl")
DEPTHS = np.random.default_rng(0).lognormal(6.5, 0.4, size=200)
SHARDS, CELLS = 60, 24
KINDS: tuple[EstimatorKind, ...] = ("variance_reduced", "sampled")

Estimate = Callable[..., Moments]


@pytest.fixture(scope="module")
def denoiser(make_denoiser: Callable[..., Denoiser]) -> Denoiser:
    """A model whose first draws matter much for what follows.

    With noise .15 some genes get tails so long that 60 shards of draws never see them (900 do, and agree).
    """
    return make_denoiser(noise=0.1)


@pytest.fixture(scope="module")
def estimate(denoiser: Denoiser, vocabulary: Vocabulary) -> Estimate:
    def run(
        condition: Condition = JAK2,
        shard: int = 0,
        kind: EstimatorKind = "variance_reduced",
        *,
        cells: int = CELLS,
        guidance: float = 0.0,
        steps: int = 3,
        root: RandomRoot = ROOT,
    ) -> Moments:
        settings = RevealSettings(steps, "uniform", guidance)
        request = ShardRequest(condition, root, shard, cells, settings)
        return estimate_shard(denoiser, vocabulary, DEPTHS, request, kind).moments

    return run


@pytest.fixture(scope="module")
def replicates(estimate: Estimate) -> dict[str, Moments]:
    """Many shards by both estimators, each with random numbers of its own: (shards, 4, genes)."""
    return {
        kind: np.stack([estimate(shard=shard + 1_000 * offset, kind=kind) for shard in range(SHARDS)])
        for offset, kind in enumerate(KINDS)
    }


def test_expectations_agree_with_draws_within_their_errors(replicates: dict[str, Moments]) -> None:
    reduced, sampled = (replicates[kind].astype(float) for kind in KINDS)
    error = np.sqrt((reduced.var(axis=0, ddof=1) + sampled.var(axis=0, ddof=1)) / SHARDS)
    scores = (reduced.mean(axis=0) - sampled.mean(axis=0)) / error
    assert np.abs(scores).max() < 4.0
    assert 0.6 < scores.std() < 1.5  # the errors are neither too large nor too small


def test_expectations_are_less_noisy_than_draws(replicates: dict[str, Moments]) -> None:
    ratio = replicates["sampled"].var(axis=0) / replicates["variance_reduced"].var(axis=0)
    assert np.median(ratio[MOMENT_NAMES.index("log1p_mean")]) > 3


def test_variances_are_those_of_drawn_cells(replicates: dict[str, Moments]) -> None:
    for mean, square, tolerance in ((0, 1, 0.08), (2, 3, 0.2)):
        of_shard = replicates["variance_reduced"][:, square] - replicates["variance_reduced"][:, mean] ** 2
        assert (of_shard >= -1e-5 * replicates["variance_reduced"][:, square]).all()
        reduced, sampled = (
            replicates[kind][:, square].mean(axis=0) - replicates[kind][:, mean].mean(axis=0) ** 2 for kind in KINDS
        )
        assert np.median(np.abs(reduced / sampled - 1)) < tolerance
        assert np.corrcoef(np.log(reduced), np.log(sampled))[0, 1] > 0.99


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("guidance", [0.0, 1.5])
def test_a_control_against_itself_is_exactly_zero(estimate: Estimate, kind: EstimatorKind, guidance: float) -> None:
    control = estimate(JAK2.as_control(), kind=kind)
    assert np.array_equal(estimate(Condition(CONTEXT), kind=kind, guidance=guidance), control)
    assert not np.array_equal(estimate(JAK2, kind=kind, guidance=guidance), control)


def test_condition_and_control_share_order_uniforms_and_depths(denoiser: Denoiser, vocabulary: Vocabulary) -> None:
    depth = drawn_depths(DEPTHS, ROOT, 2, CELLS)
    settings = RevealSettings()
    requests = [ShardRequest(each, ROOT, 2, CELLS, settings) for each in (JAK2, JAK2.as_control())]
    (batch, rank, uniforms), (control, control_rank, control_uniforms) = (
        shard_inputs(denoiser, vocabulary, depth, request) for request in requests
    )
    assert torch.equal(rank, control_rank)
    assert torch.equal(uniforms, control_uniforms)
    assert torch.equal(batch.log_depth, control.log_depth)
    assert not torch.equal(batch.parts, control.parts)


def test_shared_numbers_make_differences_less_noisy(estimate: Estimate) -> None:
    shards = range(12)
    condition = np.stack([estimate(JAK2, shard)[0] for shard in shards])
    control = np.stack([estimate(JAK2.as_control(), shard)[0] for shard in shards])
    paired = (condition - control).var(axis=0)
    crossed = (condition - np.roll(control, 1, axis=0)).var(axis=0)
    assert np.median(crossed / paired) > 3


def test_a_genes_random_numbers_do_not_depend_on_the_order_inside_the_model(
    denoiser: Denoiser, vocabulary: Vocabulary
) -> None:
    request = ShardRequest(JAK2, ROOT, 5, 3, RevealSettings())
    _, rank, uniforms = shard_inputs(denoiser, vocabulary, np.full(3, 500.0), request)
    outer = cell_randomness(ROOT, 5, 3, denoiser.genes)
    order = denoiser.gene_order.numpy()
    assert (order != np.arange(denoiser.genes)).any()
    np.testing.assert_array_equal(rank.numpy(), outer.rank[:, order])
    np.testing.assert_array_equal(uniforms.numpy(), outer.uniforms[:, order])


def test_one_step_is_the_models_distribution_itself(denoiser: Denoiser, vocabulary: Vocabulary) -> None:
    request = ShardRequest(JAK2, ROOT, 0, 6, RevealSettings(steps=1))
    result = estimate_shard(denoiser, vocabulary, DEPTHS, request)
    batch, rank, _ = shard_inputs(denoiser, vocabulary, result.depth, request)
    expected = np.zeros((4, denoiser.genes))
    with torch.no_grad():
        features = denoiser.features(torch.full_like(rank, 281), batch)
        for group in denoiser.groups:
            shares = denoiser.group_logits(features, group).double().softmax(dim=-1).numpy()  # (cells, genes, tokens)
            counts = REPRESENTATIVE_COUNTS[: group.tokens].astype(float)
            scaled = np.log1p(1e4 * counts[None] / result.depth[:, None])  # (cells, tokens)
            genes = denoiser.gene_order[group.start : group.stop].numpy()
            expected[0, genes] = np.einsum("cgt,ct->cg", shares, scaled).mean(axis=0)
            expected[1, genes] = np.einsum("cgt,ct->cg", shares, scaled**2).mean(axis=0)
            expected[2, genes] = (shares @ counts).mean(axis=0)
            expected[3, genes] = (shares @ counts**2).mean(axis=0)
    np.testing.assert_allclose(result.moments, expected, rtol=1e-4)


def test_a_shard_is_the_same_whenever_it_is_computed(estimate: Estimate) -> None:
    before = estimate(shard=3)
    estimate(shard=4, kind="sampled")
    assert np.array_equal(estimate(shard=3), before)
    assert not np.array_equal(estimate(shard=4), before)
    assert not np.array_equal(estimate(shard=3, root=replace(ROOT, root_seed=2)), before)


def test_the_depths_of_a_shard_cover_those_of_the_controls() -> None:
    drawn = drawn_depths(DEPTHS, ROOT, 0, 20)
    edges = np.quantile(DEPTHS, np.linspace(0, 1, 21))
    assert ((drawn >= edges[:-1]) & (drawn <= edges[1:])).all()
    assert not np.array_equal(drawn, drawn_depths(DEPTHS, ROOT, 1, 20))


def test_drawn_cells_come_with_their_counts(denoiser: Denoiser, vocabulary: Vocabulary) -> None:
    request = ShardRequest(JAK2, ROOT, 0, 7, RevealSettings(2))
    result = estimate_shard(denoiser, vocabulary, DEPTHS, request, "sampled")
    assert result.counts is not None
    assert result.counts.shape == (7, denoiser.genes)
    np.testing.assert_array_equal(result.moments, sampled_moments(result.counts, result.depth))
    assert estimate_shard(denoiser, vocabulary, DEPTHS, request).counts is None


def test_moments_of_drawn_cells_are_plain_averages() -> None:
    counts = np.array([[0, 3], [2, 5]], dtype=np.float32)
    depth = np.array([100.0, 400.0])
    scaled = np.log1p(np.array([[0, 300], [50, 125]]))
    expected = [scaled.mean(axis=0), (scaled**2).mean(axis=0), [1, 4], [2, 17]]
    np.testing.assert_allclose(sampled_moments(counts, depth), expected, rtol=1e-6)


def test_values_of_tokens_are_divided_by_the_cells_depth() -> None:
    values = token_values(torch.tensor([100.0, 2_000.0], dtype=torch.float64))
    assert values.shape == (2, 281)
    np.testing.assert_allclose(values[:, [0, 1, 100]], np.log1p([[0, 100, 10_450], [0, 5, 522.5]]), rtol=1e-6)


def test_unknown_estimators_and_conditions_are_refused(denoiser: Denoiser, vocabulary: Vocabulary) -> None:
    request = ShardRequest(JAK2, ROOT, 0, 2, RevealSettings())
    with pytest.raises(ConfigurationError, match="unknown estimator 'exact'; there are variance_reduced and sampled"):
        estimate_shard(denoiser, vocabulary, DEPTHS, request, "exact")  # type: ignore[arg-type]
    with pytest.raises(ConditionError, match="never trained on perturbation 'TYK2'"):
        estimate_shard(denoiser, vocabulary, DEPTHS, replace(request, condition=Condition(CONTEXT, (("TYK2", None),))))


def test_a_large_shard_is_computed_in_batches(
    trained: Denoiser, vocabulary: Vocabulary, monkeypatch: pytest.MonkeyPatch
) -> None:
    depths = np.linspace(300.0, 900.0, 40)
    condition = Condition({}, ((vocabulary.parts[0], None),))
    request = ShardRequest(condition, ROOT, 2, 20, RevealSettings(3))
    for kind in ("variance_reduced", "sampled"):
        whole = estimate_shard(trained, vocabulary, depths, request, kind)
        monkeypatch.setattr("lingshu_core.estimator.CELLS_PER_BATCH", 7)
        cut = estimate_shard(trained, vocabulary, depths, request, kind)
        monkeypatch.undo()
        np.testing.assert_allclose(cut.moments, whole.moments, rtol=1e-5, atol=1e-6)
        if whole.counts is not None and cut.counts is not None:
            assert (cut.counts == whole.counts).all()


@pytest.mark.parametrize("kind", KINDS)
def test_a_shard_of_one_batch_is_that_batch_to_the_bit(
    denoiser: Denoiser, vocabulary: Vocabulary, kind: EstimatorKind
) -> None:
    request = ShardRequest(JAK2, ROOT, 4, 61, RevealSettings(3))
    result = estimate_shard(denoiser, vocabulary, DEPTHS, request, kind)
    inputs = shard_inputs(denoiser, vocabulary, result.depth, request)
    if result.counts is None:
        expected = expected_moments(denoiser, *inputs, result.depth, request.settings)
    else:
        expected = sampled_moments(result.counts, result.depth)
    assert np.array_equal(result.moments, expected)


def test_the_memory_of_a_shard_does_not_grow_with_its_batches(
    denoiser: Denoiser, vocabulary: Vocabulary, monkeypatch: pytest.MonkeyPatch
) -> None:
    alive: list[weakref.ref[Moments]] = []

    def watched(*_: object) -> Moments:
        moments = np.ones((4, denoiser.genes), dtype=np.float32)
        assert sum(earlier() is not None for earlier in alive) <= 1
        alive.append(weakref.ref(moments))
        return moments

    monkeypatch.setattr("lingshu_core.estimator.expected_moments", watched)
    monkeypatch.setattr("lingshu_core.estimator.CELLS_PER_BATCH", 4)
    request = ShardRequest(JAK2, ROOT, 0, 42, RevealSettings(1))
    assert (estimate_shard(denoiser, vocabulary, DEPTHS, request).moments == 1).all()
    assert len(alive) == 11


INJECTED = (4, 11, 12)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("steps", [1, 3])
def test_injected_genes_have_the_moments_of_one_count(
    denoiser: Denoiser, vocabulary: Vocabulary, kind: EstimatorKind, steps: int
) -> None:
    request = ShardRequest(JAK2, ROOT, 0, CELLS, RevealSettings(steps, "uniform"), INJECTED)
    found = estimate_shard(denoiser, vocabulary, DEPTHS, request, kind)
    scaled = np.log1p(1e4 / found.depth)
    expected = np.array([scaled.mean(), np.square(scaled).mean(), 1.0, 1.0])
    np.testing.assert_allclose(found.moments[:, list(INJECTED)], np.repeat(expected[:, None], 3, axis=1), rtol=1e-5)
    free = np.setdiff1d(np.arange(denoiser.genes), INJECTED)
    none = estimate_shard(denoiser, vocabulary, DEPTHS, replace(request, injected=()), kind).moments
    assert not np.isclose(found.moments[2, free], 1.0).all()
    # What is injected is seen by the genes that are drawn after it, already in the first step.
    assert not np.allclose(found.moments[:, free], none[:, free])


def test_injected_tokens_are_in_the_inner_order(denoiser: Denoiser) -> None:
    tokens = injected_tokens(denoiser, INJECTED, 5)
    assert tokens is not None
    assert tokens.shape == (5, denoiser.genes)
    known = tokens[0] != MASK
    assert sorted(denoiser.gene_order[known].tolist()) == list(INJECTED)
    assert (tokens[:, known] == 1).all()
    assert torch.equal(tokens, tokens[:1].expand(5, -1))
    assert injected_tokens(denoiser, (), 5) is None


def test_expectations_and_draws_agree_with_injected_genes(denoiser: Denoiser, vocabulary: Vocabulary) -> None:
    settings = RevealSettings(3, "uniform")
    means = {
        kind: np.stack(
            [
                estimate_shard(
                    denoiser, vocabulary, DEPTHS, ShardRequest(JAK2, ROOT, shard, CELLS, settings, INJECTED), kind
                ).moments[0]
                for shard in range(SHARDS)
            ]
        )
        for kind in KINDS
    }
    difference = means["variance_reduced"] - means["sampled"]
    error = difference.std(axis=0, ddof=1) / np.sqrt(SHARDS)
    free = np.setdiff1d(np.arange(denoiser.genes), INJECTED)
    assert (np.abs(difference.mean(axis=0)) < 4.5 * error + 1e-6)[free].all()
