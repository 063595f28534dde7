from __future__ import annotations

from collections.abc import Callable

import numpy as np
import torch

from lingshu_core.conditioning import Condition, index_conditions
from lingshu_core.denoiser import Denoiser
from lingshu_core.randomness import RandomRoot, cell_randomness
from lingshu_core.reveal import RevealSettings
from lingshu_core.sampler import sample_tokens, to_outer_counts
from lingshu_core.tokens import decode
from lingshu_core.vocabulary import Vocabulary

CONTEXT = {"cell_type": "B cells", "donor": "D1"}
CELLS = 3_000


def test_drawn_frequencies_are_the_predicted_probabilities(trained: Denoiser, vocabulary: Vocabulary) -> None:
    batch = index_conditions(vocabulary, [Condition(CONTEXT, (("STAT1", None),))] * CELLS, np.full(CELLS, 900.0))
    noise = cell_randomness(RandomRoot(0, "", ""), 0, CELLS, trained.genes)
    rank, uniforms = torch.from_numpy(noise.rank), torch.from_numpy(noise.uniforms)
    tokens = sample_tokens(trained, batch, rank, uniforms, RevealSettings(steps=1))
    with torch.no_grad():
        features = trained.features(torch.full((1, trained.genes), 281), batch[:1])
        for group in trained.groups:
            expected = trained.group_logits(features, group)[0].softmax(dim=-1)  # (genes, tokens)
            drawn = tokens[:, group.start : group.stop]
            found = torch.stack([(drawn == token).float().mean(dim=0) for token in range(group.tokens)], dim=1)
            error = (expected * (1 - expected) / CELLS).sqrt()
            assert ((found - expected).abs() <= 5 * error + 2 / CELLS).all()


def test_every_gene_is_drawn_from_its_own_vocabulary(trained: Denoiser, vocabulary: Vocabulary) -> None:
    batch = index_conditions(vocabulary, [Condition(CONTEXT)] * 4, np.full(4, 900.0))
    rank = torch.arange(trained.genes).repeat(4, 1)
    for uniform, expected in ((0.0, 0), (1.0, None)):
        tokens = sample_tokens(
            trained, batch, rank, torch.full(rank.shape, uniform), RevealSettings(steps=3, schedule="uniform")
        )
        for group in trained.groups:
            largest = tokens[:, group.start : group.stop]
            assert (largest < group.tokens).all()
            assert expected is None or (largest == expected).all()


def test_counts_come_back_in_the_order_of_the_genes(make_denoiser: Callable[..., Denoiser]) -> None:
    denoiser = make_denoiser()
    outer = torch.arange(denoiser.genes).repeat(2, 1) * 9
    counts = to_outer_counts(denoiser, outer[:, denoiser.gene_order])
    assert counts.dtype == np.float32
    np.testing.assert_array_equal(counts, decode(outer.numpy()))
