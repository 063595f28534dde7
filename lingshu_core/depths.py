"""Library sizes of control cells: what the depths of a screen are drawn from."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from lingshu_core.vocabulary import Vocabulary

if TYPE_CHECKING:
    from lingshu_core.cells import Cells  # replicas get along without it, and it takes them a second to import

MOST_QUANTILES = 512
"""A context with more control cells keeps this many quantiles of their depths."""


def control_depths(cells: Cells, vocabulary: Vocabulary) -> tuple[npt.NDArray[np.float64], ...]:
    """Return the sorted depths of the control cells of each seen context."""
    depths = []
    for context in vocabulary.contexts:
        found = np.sort(cells.depth[cells.is_control & cells.matching(context.factors)])
        if len(found) > MOST_QUANTILES:
            found = np.quantile(found, (np.arange(MOST_QUANTILES) + 0.5) / MOST_QUANTILES)
        depths.append(found)
    return tuple(depths)


def pooled_depths(
    vocabulary: Vocabulary, depths: tuple[npt.NDArray[np.float64], ...], context: Mapping[str, str]
) -> npt.NDArray[np.float64]:
    """Return the control depths of all seen contexts that agree with the factors given, sorted.

    A context that kept only quantiles of many cells is weighted back to its number of control cells. Contexts that
    were added later count only where no other agrees: what was known is predicted as before.
    """
    agreeing = [
        (seen, found)
        for seen, found in zip(vocabulary.contexts, depths, strict=True)
        if len(found) and all(seen.factors.get(factor) == value for factor, value in context.items())
    ]
    trained = [pair for pair in agreeing if not pair[0].adapted]
    chosen = [(seen.control_cells, found) for seen, found in trained or agreeing]
    if not chosen:
        return np.empty(0)
    if len(chosen) == 1:
        return chosen[0][1]
    values = np.concatenate([found for _, found in chosen])
    weights = np.concatenate([np.full(len(found), cells / len(found)) for cells, found in chosen])
    return _weighted_quantiles(values, weights, MOST_QUANTILES)


def _weighted_quantiles(
    values: npt.NDArray[np.float64], weights: npt.NDArray[np.float64], count: int
) -> npt.NDArray[np.float64]:
    order = np.argsort(values, kind="stable")
    reached = np.cumsum(weights[order]) - weights[order] / 2
    levels = (np.arange(count) + 0.5) / count * weights.sum()
    return np.interp(levels, reached, values[order])
