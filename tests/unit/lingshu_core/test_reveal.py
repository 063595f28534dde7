from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from lingshu_core.backbone import BackboneConfig
from lingshu_core.conditioning import Condition, ConditionBatch, index_conditions
from lingshu_core.denoiser import Denoiser, DenoiserConfig
from lingshu_core.diffusion import SCHEDULES, Schedule, reveal_counts
from lingshu_core.errors import ConfigurationError
from lingshu_core.estimator import expected_moments
from lingshu_core.randomness import RandomRoot, cell_randomness
from lingshu_core.reveal import Revealed, RevealedBlock, RevealSettings, draw, start
from lingshu_core.reveal import reveal as reveal_pieces
from lingshu_core.sampler import sample_tokens
from lingshu_core.tokens import MASK
from lingshu_core.vocabulary import Vocabulary

CELLS = 5
SETTINGS = RevealSettings(steps=4, schedule="uniform")


@pytest.fixture
def batch(vocabulary: Vocabulary) -> ConditionBatch:
    condition = Condition({"cell_type": "T cells", "donor": "D1"}, (("JAK2", None),))
    return index_conditions(vocabulary, [condition] * CELLS, np.linspace(400, 900, CELLS))


@pytest.fixture
def denoiser(make_denoiser: Callable[..., Denoiser]) -> Denoiser:
    return make_denoiser(noise=0.3)


def reveal(*arguments: Any) -> Iterator[Revealed]:
    """Walk, place by place."""
    return (piece.places() for piece in reveal_pieces(*arguments))


def _noise(denoiser: Denoiser, shard: int = 0) -> tuple[Tensor, Tensor]:
    drawn = cell_randomness(RandomRoot(0, "", ""), shard, CELLS, denoiser.genes)
    return torch.from_numpy(drawn.rank), torch.from_numpy(drawn.uniforms)


def _probabilities(denoiser: Denoiser, pieces: list[Revealed]) -> Tensor:
    """Probabilities of all places, (cells, genes, 281), zero beyond a gene's vocabulary."""
    found = torch.zeros(CELLS, denoiser.genes, 281)
    for piece in pieces:
        found[piece.cell, piece.gene, : piece.group.tokens] = piece.probabilities
    return found


@pytest.mark.parametrize("schedule", SCHEDULES)
@pytest.mark.parametrize("steps", [1, 2, 7, 23])
def test_every_gene_of_every_cell_is_revealed_exactly_once(
    denoiser: Denoiser, batch: ConditionBatch, schedule: Schedule, steps: int
) -> None:
    times = torch.zeros(CELLS, denoiser.genes, dtype=torch.long)
    for piece in reveal(denoiser, batch, *_noise(denoiser), RevealSettings(steps, schedule)):
        times[piece.cell, piece.gene] += 1
        assert ((piece.gene >= piece.group.start) & (piece.gene < piece.group.stop)).all()
        assert torch.allclose(piece.probabilities.sum(dim=-1), torch.ones(len(piece.cell)), atol=1e-5)
    assert (times == 1).all()


def test_genes_are_revealed_in_the_order_of_their_rank(denoiser: Denoiser, batch: ConditionBatch) -> None:
    rank, uniforms = _noise(denoiser)
    order = torch.cat([rank[piece.cell, piece.gene] for piece in reveal(denoiser, batch, rank, uniforms, SETTINGS)])
    counts = reveal_counts(denoiser.genes, SETTINGS.steps, SETTINGS.schedule)
    start = 0
    for count in counts:
        step = order[CELLS * start : CELLS * (start + count)]
        assert sorted(step.tolist()) == sorted(list(range(start, start + count)) * CELLS)
        start += count


def test_each_step_sees_what_was_drawn_before_and_nothing_else(denoiser: Denoiser, batch: ConditionBatch) -> None:
    rank, uniforms = _noise(denoiser)
    pieces = list(reveal(denoiser, batch, rank, uniforms, SETTINGS))
    first = reveal_counts(denoiser.genes, SETTINGS.steps, SETTINGS.schedule)[0]
    tokens = torch.full(rank.shape, MASK)
    for piece in pieces:
        piece.draw_into(tokens, uniforms)
    second = reveal_counts(denoiser.genes, SETTINGS.steps, SETTINGS.schedule)[1]
    with torch.no_grad():
        features = denoiser.features(torch.where(rank < first, tokens, MASK), batch)
        for piece in pieces:
            here = rank[piece.cell, piece.gene]
            chosen = (here >= first) & (here < first + second)
            if chosen.any():
                logits = denoiser.chosen_logits(
                    features, piece.group, piece.cell[chosen], piece.gene[chosen] - piece.group.start
                )
                assert torch.allclose(piece.probabilities[chosen], logits.softmax(dim=-1), atol=1e-6)


def test_in_one_step_nothing_depends_on_order_or_draws(denoiser: Denoiser, batch: ConditionBatch) -> None:
    one = RevealSettings(steps=1)
    (rank, uniforms), (other_rank, other_uniforms) = _noise(denoiser, 0), _noise(denoiser, 1)
    first = _probabilities(denoiser, list(reveal(denoiser, batch, rank, uniforms, one)))
    second = _probabilities(denoiser, list(reveal(denoiser, batch, other_rank, other_uniforms, one)))
    assert torch.equal(first, second)


def test_in_several_steps_later_genes_depend_on_the_draws_and_first_ones_do_not(
    denoiser: Denoiser, batch: ConditionBatch
) -> None:
    rank, uniforms = _noise(denoiser)
    first = _probabilities(denoiser, list(reveal(denoiser, batch, rank, uniforms, SETTINGS)))
    second = _probabilities(denoiser, list(reveal(denoiser, batch, rank, 1 - uniforms, SETTINGS)))
    early = rank < reveal_counts(denoiser.genes, SETTINGS.steps, SETTINGS.schedule)[0]
    assert torch.equal(first[early], second[early])
    assert not torch.equal(first[~early], second[~early])


@pytest.mark.parametrize("strength", [0.7, 2.0])
def test_guidance_is_towards_the_condition_and_away_from_the_control(
    denoiser: Denoiser, batch: ConditionBatch, strength: float
) -> None:
    rank, uniforms = _noise(denoiser)
    masked = torch.full(rank.shape, MASK)
    pieces = list(reveal(denoiser, batch, rank, uniforms, RevealSettings(steps=1, guidance=strength)))
    with torch.no_grad():
        conditional, control = denoiser.features(masked, batch), denoiser.features(masked, batch.as_control())
        for piece in pieces:
            a_c, a_u = (
                denoiser.chosen_logits(each, piece.group, piece.cell, piece.gene - piece.group.start)
                for each in (conditional, control)
            )
            expected = torch.softmax(a_u + (strength + 1) * (a_c - a_u), dim=-1)
            assert torch.allclose(piece.probabilities, expected, atol=1e-5)
            assert not torch.allclose(piece.probabilities, a_c.softmax(dim=-1), atol=1e-4)


def test_the_draw_inverts_the_cumulative_distribution() -> None:
    probabilities = torch.tensor([0.5, 0.25, 0.125, 0.125, 0.0, 0.0, 0.0, 0.0])
    levels = torch.tensor([0.0, 0.3, 0.5, 0.51, 0.75, 0.8, 0.9, 0.999, 1.0])
    assert draw(probabilities.repeat(len(levels), 1), levels).tolist() == [0, 0, 0, 1, 1, 2, 3, 3, 3]


def test_a_sum_of_probabilities_just_below_one_still_gives_a_token() -> None:
    probabilities = torch.full((CELLS, 8), 0.999 / 8)
    assert (draw(probabilities, torch.full((CELLS,), 0.9999)) == 7).all()


@pytest.mark.parametrize("backbone", [None, BackboneConfig(blocks=1, width=8, heads=2, feed_forward=16, patch_size=4)])
@pytest.mark.parametrize("most", [2**19, 100])
def test_blocks_and_places_are_two_ways_to_the_same(
    make_denoiser: Callable[..., Denoiser],
    batch: ConditionBatch,
    monkeypatch: pytest.MonkeyPatch,
    backbone: BackboneConfig | None,
    most: int,
) -> None:
    denoiser = make_denoiser(DenoiserConfig(condition_rank=6, pooled_width=5, backbone=backbone), noise=0.3)
    noise, settings = _noise(denoiser), RevealSettings(3, "uniform", 1.0)
    monkeypatch.setattr("lingshu_core.reveal.BLOCK_PROBABILITIES", most)
    found = []
    for share in (2.0, 0.0):  # never, always
        monkeypatch.setattr("lingshu_core.reveal.BLOCK_SHARE", share)
        pieces = list(reveal_pieces(denoiser, batch, *noise, settings))
        assert {type(piece) for piece in pieces} == {RevealedBlock if share == 0 else Revealed}
        tokens = sample_tokens(denoiser, batch, *noise, settings)
        moments = expected_moments(denoiser, batch, *noise, np.linspace(400, 900, CELLS), settings)
        found.append((_probabilities(denoiser, [piece.places() for piece in pieces]), tokens, moments))
    places, blocks = found
    assert torch.allclose(places[0], blocks[0], atol=1e-5)
    assert torch.equal(places[1], blocks[1])
    np.testing.assert_allclose(places[2], blocks[2], rtol=1e-4, atol=1e-5)


def test_the_backbone_walks_the_same_way(
    make_denoiser: Callable[..., Denoiser], backbone_config: DenoiserConfig, batch: ConditionBatch
) -> None:
    denoiser = make_denoiser(backbone_config, noise=0.2)
    rank, uniforms = _noise(denoiser)
    guided = replace(SETTINGS, guidance=1.0)
    first, second = (_probabilities(denoiser, list(reveal(denoiser, batch, rank, uniforms, guided))) for _ in range(2))
    assert torch.equal(first, second)
    assert torch.allclose(first.sum(dim=-1), torch.ones(CELLS, denoiser.genes), atol=1e-5)


def test_more_steps_than_genes_are_refused(denoiser: Denoiser, batch: ConditionBatch) -> None:
    with pytest.raises(ConfigurationError, match=r"number of genes \(23\), not 24"):
        next(iter(reveal(denoiser, batch, *_noise(denoiser), RevealSettings(steps=24))))


def _given(denoiser: Denoiser, known: int, seed: int = 0) -> Tensor:
    """Tokens of which `known` genes of each cell are there, the others masked."""
    generator = torch.Generator().manual_seed(seed)
    places = torch.rand(CELLS, denoiser.genes, generator=generator).argsort(dim=1) < known
    return torch.where(places, torch.randint(0, 5, places.shape, generator=generator), MASK)


@pytest.mark.parametrize("schedule", SCHEDULES)
@pytest.mark.parametrize("known", [1, 9])
def test_given_genes_are_never_revealed_and_all_others_once(
    denoiser: Denoiser, batch: ConditionBatch, schedule: Schedule, known: int
) -> None:
    given = _given(denoiser, known)
    times = torch.zeros(CELLS, denoiser.genes, dtype=torch.long)
    for piece in reveal(denoiser, batch, *_noise(denoiser), RevealSettings(3, schedule), given):
        times[piece.cell, piece.gene] += 1
    assert torch.equal(times, (given == MASK).long())


def test_masked_genes_keep_their_random_order_when_others_are_given(denoiser: Denoiser) -> None:
    rank, _ = _noise(denoiser)
    given = _given(denoiser, 7)
    _, reordered, free = start(denoiser.genes, rank, given)
    assert free == denoiser.genes - 7
    for cell in range(CELLS):
        masked = given[cell] == MASK
        assert torch.equal(rank[cell][masked].argsort(), reordered[cell][masked].argsort())
        assert sorted(reordered[cell][masked].tolist()) == list(range(free))


def test_what_is_given_is_not_changed_and_decides_what_is_drawn(denoiser: Denoiser, batch: ConditionBatch) -> None:
    rank, uniforms = _noise(denoiser)
    given = _given(denoiser, 9)
    before = given.clone()
    drawn = sample_tokens(denoiser, batch, rank, uniforms, SETTINGS, given)
    assert torch.equal(given, before)
    assert torch.equal(drawn[given != MASK], given[given != MASK])
    assert not (drawn == MASK).any()
    assert not torch.equal(drawn, sample_tokens(denoiser, batch, rank, uniforms, SETTINGS))


def test_cells_that_are_given_different_numbers_of_genes_are_refused(denoiser: Denoiser, batch: ConditionBatch) -> None:
    given = torch.full((CELLS, denoiser.genes), MASK)
    given[0, 3] = 1
    with pytest.raises(ConfigurationError, match="same number of genes; here it is 0 to 1"):
        list(reveal(denoiser, batch, *_noise(denoiser), SETTINGS, given))
