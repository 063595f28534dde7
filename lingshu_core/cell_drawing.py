"""Cells of any predictor, drawn at depths of one's choice where it can."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence

import numpy as np
import numpy.typing as npt
import scipy.sparse as sp

from lingshu_core.conditioning import Condition
from lingshu_core.errors import ConfigurationError
from lingshu_core.estimator import ShardRequest
from lingshu_core.generation import generate_cells, generation_root
from lingshu_core.predictor import DiffusionPredictor, Predictor
from lingshu_core.randomness import RandomRoot
from lingshu_core.reveal import RevealSettings

Draw = Callable[[Sequence[Condition], npt.NDArray[np.float64], int], sp.csr_matrix]
"""From the condition and the depth of each cell and a seed to counts, (cells, genes)."""


def drawing(predictor: Predictor, settings: RevealSettings) -> Draw:
    """Return how a predictor draws cells.

    The cell model draws each at its own depth. A baseline has depths of its own, and those that are asked for don't
    count.
    """
    if not isinstance(predictor, DiffusionPredictor):
        return lambda conditions, depth, seed: _sampled(predictor, settings, conditions, seed)
    model = predictor.checkpoint

    def draw(conditions: Sequence[Condition], depth: npt.NDArray[np.float64], seed: int) -> sp.csr_matrix:
        batches = generate_cells(model.denoiser, model.vocabulary, conditions, depth, generation_root(seed), settings)
        return sp.vstack([batch.counts for batch in batches]).tocsr()

    return draw


def _sampled(
    predictor: Predictor, settings: RevealSettings, conditions: Sequence[Condition], seed: int
) -> sp.csr_matrix:
    """Draw cells as shards of their conditions; rows in the order of the conditions."""
    rows: dict[str, list[int]] = {}
    for row, condition in enumerate(conditions):
        rows.setdefault(_key(condition), []).append(row)
    drawn = [_shard(predictor, settings, conditions[own[0]], len(own), seed) for own in rows.values()]
    order = np.argsort(np.concatenate(list(rows.values())))
    return sp.vstack(drawn).tocsr()[order]


def _key(condition: Condition) -> str:
    return json.dumps([dict(condition.context), condition.parts], sort_keys=True)


def _shard(
    predictor: Predictor, settings: RevealSettings, condition: Condition, cells: int, seed: int
) -> sp.csr_matrix:
    root = RandomRoot(seed, _key(condition.as_control()), "drawing")
    counts = predictor.estimate(ShardRequest(condition, root, 0, cells, settings), "sampled").counts
    if counts is None:
        raise ConfigurationError("the predictor draws no cells, only means")
    return sp.csr_matrix(np.floor(counts).astype(np.int32))
