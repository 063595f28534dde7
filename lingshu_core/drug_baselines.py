"""Predictions of a drug's effect from its nearest drugs in structure, beside which a model's are shown."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from lingshu_core.errors import ConfigurationError

Array = npt.NDArray[np.float64]


def neighbour_effects(similarity: Array, effects: Array, neighbours: int = 5) -> Array:
    """Average the effects of the most similar drugs, weighted by similarity.

    Parameters
    ----------
    similarity
        (asked drugs, known drugs), 0 or more, such as Tanimoto.
    effects
        Of the known drugs, (known drugs, …).
    neighbours
        How many; all where fewer are known. Ties go to the first.

    Returns
    -------
    numpy.ndarray
        (asked drugs, …). A drug that is similar to none gets the mean of all.

    Raises
    ------
    ConfigurationError
        If the shapes don't fit or no drug is known.
    """
    if similarity.shape[1] != len(effects) or not len(effects) or neighbours < 1:
        raise ConfigurationError(
            f"{similarity.shape[1]} similarities to {len(effects)} known drugs, {neighbours} neighbours: "
            "one similarity for each known drug and at least one neighbour are needed"
        )
    return np.tensordot(neighbour_weights(similarity, neighbours), effects, axes=1)


def neighbour_weights(similarity: Array, neighbours: int) -> Array:
    """Return the weights of the known ones in such an average, (asked, known); each row sums to 1."""
    weights = np.zeros_like(similarity)
    nearest = np.argsort(-similarity, axis=1, kind="stable")[:, :neighbours]
    np.put_along_axis(weights, nearest, np.take_along_axis(similarity, nearest, axis=1), axis=1)
    weights[weights.sum(axis=1) == 0] = 1.0
    weights /= weights.sum(axis=1, keepdims=True)
    return weights
