"""Drugs that a screen gives by their structure, beside those of the model's own table."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

import numpy as np
import torch

from lingshu_core.checkpoint import Checkpoint
from lingshu_core.errors import ConditionError
from lingshu_core.feature_bank import kind_numbers
from lingshu_core.perturbation_features import FeatureOrigin, PerturbationFeatures

DRUG = "drug"


def with_structures(checkpoint: Checkpoint, structures: Mapping[str, str]) -> Checkpoint:
    """Return a checkpoint whose vocabulary describes some more drugs, by their SMILES.

    Parameters
    ----------
    checkpoint
        The model. Its bank is shared with what is returned: drugs of an earlier call are forgotten.
    structures
        Name of a drug → SMILES. Drugs that the model has a table row of keep it.

    Raises
    ------
    ConditionError
        If the model was trained without structures.
    FeatureError
        If a SMILES is not valid.
    """
    words, neighbours = checkpoint.vocabulary, checkpoint.denoiser.neighbours
    new = {name: smiles for name, smiles in structures.items() if not words.feature_row(name)}
    if not new:
        return checkpoint
    if neighbours is None or not words.structures:
        raise ConditionError(
            f"the model can't read structures, and knows no drug {next(iter(new))!r}; train it with"
            " `features: {drug: [{kind: smiles, …}]}`"
        )
    table = _features(checkpoint)
    vectors = np.stack([table.drug_vector(smiles) for smiles in new.values()])  # (drugs, dims)
    neighbours.describe(torch.from_numpy(vectors), kind_numbers(words)[DRUG])
    return replace(checkpoint, vocabulary=replace(words, described={**words.described, **dict.fromkeys(new, DRUG)}))


def _features(checkpoint: Checkpoint) -> PerturbationFeatures:
    """Return what the model's card says of its features, without the vectors."""
    types = checkpoint.vocabulary.described
    origins = tuple(FeatureOrigin(**origin) for origin in checkpoint.card["features"])
    width = sum(origin.dimensions for origin in origins)
    return PerturbationFeatures(types, np.zeros((0, width), dtype=np.float32), origins)
