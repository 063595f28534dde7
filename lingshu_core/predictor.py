"""Whatever predicts conditions, seen from outside: the diffusion model and every baseline answer the same request.

A campaign, an evaluation and a benchmark ask a :class:`Predictor` and never look inside. What a replica needs beside
(which checkpoint it is, what may be pre-filled, how to take in a drug by its structure) is a :class:`StoredPredictor`.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Protocol

import torch

from lingshu_core.checkpoint import Checkpoint, CheckpointHeader, is_baseline, load_checkpoint, load_header
from lingshu_core.depths import pooled_depths
from lingshu_core.errors import ConditionError
from lingshu_core.estimator import EstimatorKind, ShardRequest, ShardResult, estimate_shard
from lingshu_core.structures import with_structures
from lingshu_core.vocabulary import Vocabulary

if TYPE_CHECKING:
    from lingshu_core.baseline_models import BaselinePredictor


class Predictor(Protocol):
    """Anything that can be screened and evaluated: the diffusion model and every baseline."""

    @property
    def vocabulary(self) -> Vocabulary:
        """What it has words for."""
        ...

    def estimate(self, request: ShardRequest, kind: EstimatorKind = "variance_reduced") -> ShardResult:
        """Compute the moments of one shard, and draw its cells where ``kind`` is ``sampled``.

        Raises
        ------
        ConditionError
            If it has no words for the condition, or knows no control cell of its context.
        ConfigurationError
            If ``kind`` is unknown, or something is asked that it can't do.
        """
        ...


class StoredPredictor(Predictor, Protocol):
    """A predictor that was opened from a checkpoint: what a replica holds."""

    @property
    def header(self) -> CheckpointHeader:
        """All of the checkpoint but its weights."""
        ...

    @property
    def device(self) -> str:
        """Type of the device that computes: results are equal to the bit only where this is the same."""
        ...

    @property
    def weight_bytes(self) -> int:
        """Memory that the weights take."""
        ...

    def with_structures(self, structures: Mapping[str, str]) -> StoredPredictor:
        """Return the predictor with some more drugs in its vocabulary, name → SMILES.

        Raises
        ------
        ConditionError
            If it was trained without structures.
        FeatureError
            If a SMILES is not valid.
        """
        ...


@dataclass(frozen=True)
class DiffusionPredictor:
    """The masked-diffusion cell model, with the depths of the control cells that it was trained beside."""

    checkpoint: Checkpoint

    @property
    def vocabulary(self) -> Vocabulary:
        """What the model has words for."""
        return self.checkpoint.vocabulary

    @property
    def header(self) -> CheckpointHeader:
        """The checkpoint."""
        return self.checkpoint

    @property
    def device(self) -> str:
        """Type of the device that the weights are on."""
        return self.checkpoint.denoiser.gene_order.device.type

    @property
    def weight_bytes(self) -> int:
        """Memory that parameters and buffers take."""
        return sum(value.nbytes for value in self.checkpoint.denoiser.state_dict().values())

    def with_structures(self, structures: Mapping[str, str]) -> DiffusionPredictor:
        """Return the model with some more drugs; errors as in :func:`lingshu_core.structures.with_structures`."""
        return replace(self, checkpoint=with_structures(self.checkpoint, structures))

    def estimate(self, request: ShardRequest, kind: EstimatorKind = "variance_reduced") -> ShardResult:
        """Compute one shard at the depths of the control cells of the context; errors as in :class:`Predictor`."""
        model, context = self.checkpoint, request.condition.context
        depths = pooled_depths(model.vocabulary, model.control_depths, context)
        if not len(depths):
            where = ", ".join(f"{factor} {value}" for factor, value in context.items())
            raise ConditionError(f"the model knows no control cell of {where}, so it has no depths to predict at")
        return estimate_shard(model.denoiser, model.vocabulary, depths, request, kind)


@dataclass(frozen=True)
class StoredBaseline:
    """A baseline that was opened from its checkpoint."""

    header: CheckpointHeader
    baseline: BaselinePredictor

    @property
    def vocabulary(self) -> Vocabulary:
        """What the baseline has words for."""
        return self.baseline.vocabulary

    @property
    def device(self) -> str:
        """Baselines compute on the CPU."""
        return "cpu"

    @property
    def weight_bytes(self) -> int:
        """Memory that the measured effects take."""
        return self.baseline.n_bytes

    def with_structures(self, structures: Mapping[str, str]) -> StoredBaseline:
        """Return the baseline with some more drugs; errors as in :class:`StoredPredictor`."""
        return replace(self, baseline=self.baseline.with_structures(structures))

    def estimate(self, request: ShardRequest, kind: EstimatorKind = "variance_reduced") -> ShardResult:
        """Compute one shard; errors as in :class:`Predictor`."""
        return self.baseline.estimate(request, kind)


def open_predictor(folder: str, device: torch.device | None = None) -> StoredPredictor:
    """Open a checkpoint of either sort.

    Parameters
    ----------
    folder
        Folder or URL of a cell model or a baseline.
    device
        Where a cell model computes; the CPU when None. Baselines always compute on the CPU.

    Raises
    ------
    CheckpointError
        If the checkpoint can't be used.
    """
    header = load_header(folder)
    if is_baseline(header.card):
        from lingshu_core.baseline_checkpoint import load_baseline  # a second of imports that a network doesn't need

        return StoredBaseline(header, load_baseline(folder, header))
    return DiffusionPredictor(load_checkpoint(folder, device))
