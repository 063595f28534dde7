from __future__ import annotations

from dataclasses import asdict, replace

import numpy as np
import pytest
import torch

from lingshu_core.cells import Cells
from lingshu_core.checkpoint import Checkpoint
from lingshu_core.conditioning import Condition, index_conditions
from lingshu_core.denoiser import Denoiser, DenoiserConfig
from lingshu_core.drug_features import fingerprints
from lingshu_core.errors import ConditionError, FeatureError
from lingshu_core.feature_bank import build_bank
from lingshu_core.perturbation_features import FeatureBlock, PerturbationFeatures, combine
from lingshu_core.preparation import build_vocabulary, gene_statistics
from lingshu_core.structures import with_structures

ASPIRIN, CAFFEINE, RUXOLITINIB = (
    "CC(=O)OC1=CC=CC=C1C(=O)O",
    "CN1C=NC2=C1C(=O)N(C(=O)N2C)C",
    "N#CCC(C1CCCC1)n1cc(cn1)-c1ncnc2[nH]ccc12",
)
BITS = 64
CONFIG = DenoiserConfig(condition_rank=4, pooled_width=3, depth_knots=4)


def _features(drugs: dict[str, str]) -> PerturbationFeatures:
    values = np.asarray(fingerprints(list(drugs.values()), BITS), dtype=float)
    return combine([FeatureBlock(tuple(drugs), values, "smiles", "drug", "drugs.tsv", dimensions=BITS)])


def _checkpoint(cells: Cells, features: PerturbationFeatures | None) -> Checkpoint:
    words = build_vocabulary(cells, features)
    sizes = tuple(len(values) for values in words.factors.values())
    statistics = gene_statistics(cells, words, CONFIG)
    denoiser = Denoiser(CONFIG, sizes, len(words.parts), statistics, bank=build_bank(features, words))
    card = {"features": [asdict(origin) for origin in features.origins] if features else []}
    return Checkpoint(words, (), card, "", denoiser=denoiser.eval())


@pytest.fixture
def checkpoint(cells: Cells) -> Checkpoint:
    return _checkpoint(cells, _features({"ruxolitinib": RUXOLITINIB, "aspirin": ASPIRIN}))


def _latent(checkpoint: Checkpoint, drug: str) -> torch.Tensor:
    batch = index_conditions(checkpoint.vocabulary, [Condition({}, ((drug, 1.0),))], np.array([500.0]))
    neighbours = checkpoint.denoiser.neighbours
    assert neighbours is not None
    return checkpoint.denoiser.conditions.perturbed(batch, neighbours(batch))


def test_a_drug_given_by_structure_is_what_it_would_be_in_the_table(checkpoint: Checkpoint, cells: Cells) -> None:
    listed = _checkpoint(cells, _features({"ruxolitinib": RUXOLITINIB, "aspirin": ASPIRIN, "new": CAFFEINE}))
    listed.denoiser.conditions.load_state_dict(checkpoint.denoiser.conditions.state_dict())
    given = with_structures(checkpoint, {"new": CAFFEINE})
    assert torch.allclose(_latent(given, "new"), _latent(listed, "new"), atol=1e-6)
    assert _latent(given, "new").abs().max() > 0


def test_drugs_of_the_table_keep_their_rows_and_the_checkpoint_its_words(checkpoint: Checkpoint) -> None:
    assert with_structures(checkpoint, {"aspirin": CAFFEINE}) is checkpoint
    assert with_structures(checkpoint, {}) is checkpoint
    with_structures(checkpoint, {"new": CAFFEINE})
    assert checkpoint.vocabulary.feature_row("new") == 0


def test_a_model_without_structures_refuses_them(cells: Cells, checkpoint: Checkpoint) -> None:
    with pytest.raises(ConditionError, match="can't read structures, and knows no drug 'new'"):
        with_structures(_checkpoint(cells, None), {"new": CAFFEINE})
    without = replace(checkpoint, vocabulary=replace(checkpoint.vocabulary, structures=False))
    with pytest.raises(ConditionError, match="can't read structures"):
        with_structures(without, {"new": CAFFEINE})


def test_a_structure_that_is_none_is_refused(checkpoint: Checkpoint) -> None:
    with pytest.raises(FeatureError):
        with_structures(checkpoint, {"new": "C1CC"})
