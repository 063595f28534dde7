from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
import torch

from lingshu_core.cells import Cells
from lingshu_core.conditioning import Condition, index_conditions
from lingshu_core.denoiser import N_STATISTICS, Denoiser, DenoiserConfig
from lingshu_core.errors import ConfigurationError
from lingshu_core.representation import default_kind, represent_cells
from lingshu_core.tokens import encode
from lingshu_core.vocabulary import Vocabulary

MakeDenoiser = Callable[..., Denoiser]


def measured(cells: Cells, missing: int = 0) -> np.ndarray:
    present = np.ones(len(cells.genes), dtype=bool)
    present[:missing] = False
    return present


def test_the_latent_tilts_the_prediction_of_a_cell_of_which_nothing_is_stated(
    make_denoiser: MakeDenoiser, cells: Cells, vocabulary: Vocabulary
) -> None:
    # With self-conditioning what is stated, here the depth, is heard by the second answer too.
    config = DenoiserConfig(condition_rank=6, pooled_width=5, depth_knots=4, self_conditioning=False)
    denoiser = make_denoiser(config, noise=0.3)
    found = represent_cells(denoiser, vocabulary, cells.counts[:5], measured(cells), "tilt")
    tokens = torch.from_numpy(encode(cells.counts[:5].toarray())[:, denoiser.gene_order.numpy()]).long()
    batch = index_conditions(vocabulary, [Condition({})] * 5, np.full(5, 100.0))
    with torch.inference_mode():
        theta = denoiser.features(tokens, batch).theta
        # What is left beside the latent is the depth's own tilt, the same in all five cells.
        rest = theta - (torch.from_numpy(found) @ denoiser.tilt).view(5, denoiser.genes, N_STATISTICS)
    np.testing.assert_allclose(rest, rest[:1].expand_as(rest), atol=1e-4)


def test_batches_change_nothing(trained: Denoiser, cells: Cells, vocabulary: Vocabulary) -> None:
    whole = represent_cells(trained, vocabulary, cells.counts[:70], measured(cells))
    told: list[int] = []
    represent_cells(trained, vocabulary, cells.counts[:70], measured(cells), on_batch=told.append)
    alone = represent_cells(trained, vocabulary, cells.counts[65:70], measured(cells))
    np.testing.assert_allclose(whole[65:], alone, atol=1e-5)
    assert told == [64, 70]


def test_a_gene_that_was_not_measured_says_nothing(trained: Denoiser, cells: Cells, vocabulary: Vocabulary) -> None:
    other = cells.counts[:5].toarray()
    other[:, :4] += 7
    seen = represent_cells(trained, vocabulary, cells.counts[:5], measured(cells, missing=4))
    changed = represent_cells(trained, vocabulary, type(cells.counts)(other), measured(cells, missing=4))
    np.testing.assert_array_equal(seen, changed)
    assert not np.allclose(seen, represent_cells(trained, vocabulary, cells.counts[:5], measured(cells)))


def test_hidden_states_are_the_mean_over_genes(
    make_denoiser: MakeDenoiser, backbone_config: DenoiserConfig, cells: Cells, vocabulary: Vocabulary
) -> None:
    denoiser = make_denoiser(backbone_config, noise=0.1)
    found = represent_cells(denoiser, vocabulary, cells.counts[:3], measured(cells), "hidden")
    tokens = torch.from_numpy(encode(cells.counts[:3].toarray())[:, denoiser.gene_order.numpy()]).long()
    depth = np.asarray(cells.counts[:3].sum(axis=1), dtype=float).ravel()
    batch = index_conditions(vocabulary, [Condition({})] * 3, depth)
    with torch.inference_mode():
        expected = denoiser.features(tokens, batch).hidden.float().mean(dim=1).numpy()
    np.testing.assert_allclose(found, expected, atol=1e-5)
    assert default_kind(denoiser) == "tilt"


def test_a_model_without_eyes_is_refused(make_denoiser: MakeDenoiser, cells: Cells, vocabulary: Vocabulary) -> None:
    blind = make_denoiser(DenoiserConfig(condition_rank=6, pooled_width=0, depth_knots=4))
    with pytest.raises(ConfigurationError, match="neither a pooled path nor a transformer"):
        represent_cells(blind, vocabulary, cells.counts[:2], measured(cells))
    with pytest.raises(ConfigurationError, match="needs a model with a transformer"):
        represent_cells(make_denoiser(), vocabulary, cells.counts[:2], measured(cells), "hidden")
    with pytest.raises(ConfigurationError, match="unknown representation"):
        represent_cells(make_denoiser(), vocabulary, cells.counts[:2], measured(cells), "umap")  # type: ignore[arg-type]
