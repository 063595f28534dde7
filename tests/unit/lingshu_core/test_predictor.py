from __future__ import annotations

import numpy as np
import pytest
import torch

from lingshu_core.cells import Cells
from lingshu_core.checkpoint import Checkpoint, Provenance, save_checkpoint
from lingshu_core.conditioning import Condition
from lingshu_core.denoiser import Denoiser
from lingshu_core.depths import control_depths, pooled_depths
from lingshu_core.errors import CheckpointError, ConditionError
from lingshu_core.estimator import EstimatorKind, ShardRequest, estimate_shard
from lingshu_core.predictor import DiffusionPredictor, open_predictor
from lingshu_core.randomness import RandomRoot
from lingshu_core.reveal import RevealSettings
from lingshu_core.training import TrainingConfig
from lingshu_core.vocabulary import Vocabulary


def request(condition: Condition) -> ShardRequest:
    return ShardRequest(condition, RandomRoot(0, "here", "x"), 2, 6, RevealSettings(3, "geometric", 0.5))


@pytest.fixture
def predictor(cells: Cells, vocabulary: Vocabulary, trained: Denoiser) -> DiffusionPredictor:
    return DiffusionPredictor(Checkpoint(vocabulary, control_depths(cells, vocabulary), {}, "", trained))


@pytest.mark.parametrize("kind", ["variance_reduced", "sampled"])
def test_it_is_the_estimator_at_the_depths_of_the_context(predictor: DiffusionPredictor, kind: EstimatorKind) -> None:
    model = predictor.checkpoint
    for context in ({"cell_type": "B cells", "donor": "D1"}, {"donor": "D2"}, {}):
        asked = request(Condition(context, (("STAT1", None),)))
        depths = pooled_depths(model.vocabulary, model.control_depths, context)
        expected = estimate_shard(model.denoiser, model.vocabulary, depths, asked, kind)
        found = predictor.estimate(asked, kind)
        np.testing.assert_array_equal(found.moments, expected.moments)
        np.testing.assert_array_equal(found.depth, expected.depth)


def test_a_context_without_controls_is_refused(predictor: DiffusionPredictor) -> None:
    with pytest.raises(ConditionError, match="knows no control cell of cell_type B cells, donor D9"):
        predictor.estimate(request(Condition({"cell_type": "B cells", "donor": "D9"})))


def test_a_cell_model_is_opened(
    cells: Cells, vocabulary: Vocabulary, trained: Denoiser, memory_url: str, predictor: DiffusionPredictor
) -> None:
    depths = control_depths(cells, vocabulary)
    provenance = Provenance("cells.h5ad", cells.digest(), len(cells), "none", "none", TrainingConfig())
    digest = save_checkpoint(memory_url, trained, vocabulary, depths, provenance)
    opened = open_predictor(memory_url, torch.device("cpu"))
    assert isinstance(opened, DiffusionPredictor)
    assert (opened.header.digest, opened.device) == (digest, "cpu")
    assert opened.weight_bytes == sum(value.nbytes for value in trained.state_dict().values())
    asked = request(Condition({"donor": "D1"}, (("JAK2", None),)))
    np.testing.assert_array_equal(opened.estimate(asked).moments, predictor.estimate(asked).moments)


def test_an_empty_folder_is_no_predictor(memory_url: str) -> None:
    with pytest.raises(CheckpointError, match="no checkpoint here"):
        open_predictor(memory_url)
