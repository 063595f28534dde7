"""Drugs that a screen gives by their structure, beside those of the model's own table."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace

import numpy as np
import numpy.typing as npt
import torch

from lingshu_core.checkpoint import Checkpoint
from lingshu_core.errors import ConditionError
from lingshu_core.feature_bank import kind_numbers
from lingshu_core.perturbation_features import FeatureOrigin, PerturbationFeatures
from lingshu_core.vocabulary import Vocabulary

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
    origins = tuple(FeatureOrigin(**origin) for origin in checkpoint.card.get("features", ()))
    vocabulary, vectors = described_drugs(words, origins if neighbours is not None else (), structures)
    if neighbours is None or not len(vectors):
        return checkpoint
    neighbours.describe(torch.from_numpy(vectors), kind_numbers(words)[DRUG])
    return replace(checkpoint, vocabulary=vocabulary)


def described_drugs(
    vocabulary: Vocabulary, origins: Sequence[FeatureOrigin], structures: Mapping[str, str]
) -> tuple[Vocabulary, npt.NDArray[np.float32]]:
    """Describe the drugs that a vocabulary has no table row of; errors as in :func:`with_structures`.

    Parameters
    ----------
    vocabulary
        Of a model.
    origins
        The blocks of its features; none where it has no features.
    structures
        Name of a drug → SMILES.

    Returns
    -------
    The vocabulary with the new drugs at the end of what is described, and their vectors, (new drugs, dims).
    """
    width = sum(origin.dimensions for origin in origins)
    empty = np.zeros((0, width), dtype=np.float32)
    new = {name: smiles for name, smiles in structures.items() if not vocabulary.feature_row(name)}
    if not new:
        return vocabulary, empty
    if not origins or not vocabulary.structures:
        raise ConditionError(
            f"the model can't read structures, and knows no drug {next(iter(new))!r}; train it with"
            " `features: {drug: [{kind: smiles, …}]}`"
        )
    table = PerturbationFeatures(vocabulary.described, empty, tuple(origins))
    vectors = np.stack([table.drug_vector(smiles) for smiles in new.values()])
    return replace(vocabulary, described={**vocabulary.described, **dict.fromkeys(new, DRUG)}), vectors
