"""Feature vectors of perturbations, read back from a checkpoint without building its network."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from lingshu_core.checkpoint import WEIGHTS, CheckpointHeader, open_arrays
from lingshu_core.perturbation_features import FeatureOrigin, PerturbationFeatures

_OF_MODEL, _OF_BASELINE = "neighbours.vectors", "described.vectors"


def stored_features(folder: str, header: CheckpointHeader) -> PerturbationFeatures | None:
    """Read the vectors of all described perturbations, in the order of ``vocabulary.described``.

    Returns
    -------
    PerturbationFeatures or None
        None where the checkpoint has none: it was trained without, or is a baseline that makes no use of them.

    Raises
    ------
    CheckpointError
        If the weights are damaged.
    """
    if not header.vocabulary.described:
        return None
    with open_arrays(folder, WEIGHTS) as arrays:
        if _OF_MODEL in arrays:
            vectors = arrays[_OF_MODEL][1:]  # row 0 of a network's bank is "no features"
        elif _OF_BASELINE in arrays:
            vectors = arrays[_OF_BASELINE]
        else:
            return None
        matrix: npt.NDArray[np.float32] = np.array(vectors, dtype=np.float32)
    origins = tuple(FeatureOrigin(**origin) for origin in header.card.get("features", ()))
    return PerturbationFeatures(dict(header.vocabulary.described), matrix[: len(header.vocabulary.described)], origins)
