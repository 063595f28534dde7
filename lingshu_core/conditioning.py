"""Conditions as the model sees them: context factors, perturbation parts with doses, and depth.

Every factor of a context, every part of a perturbation and the depth has an embedding; the embedding of
"unspecified" and of the control is zero and stays zero. A combination is the sum of its parts, so it does
not depend on their order. A drug's embedding is scaled by a Hill curve of its dose with a learned
half-maximal dose and slope, zero at dose zero.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor, nn

from lingshu_core.errors import ConditionError
from lingshu_core.vocabulary import Vocabulary

CONTROL_INDEX = 0
UNSPECIFIED_INDEX = 0


@dataclass(frozen=True)
class Condition:
    """One condition: a context and what is done to it.

    Parameters
    ----------
    context
        Factor to value; a factor left out is unspecified (averaged over in training).
    parts
        (perturbation, dose) pairs; dose None: without a dose. Empty: the control.
    """

    context: Mapping[str, str]
    parts: tuple[tuple[str, float | None], ...] = ()

    def as_control(self) -> Condition:
        """Return the control of the same context."""
        return Condition(self.context, ())


@dataclass(frozen=True)
class ConditionBatch:
    """Indices of the conditions of a batch of cells.

    ``factors`` (cells, factors), ``parts`` (cells, parts) with 0 for "none", ``doses`` (cells, parts) with
    NaN for "without a dose", ``log_depth`` (cells,).
    """

    factors: Tensor
    parts: Tensor
    doses: Tensor
    log_depth: Tensor

    def as_control(self) -> ConditionBatch:
        """Return the same cells as controls: same context and depth, no perturbation."""
        return ConditionBatch(self.factors, torch.zeros_like(self.parts), self.doses, self.log_depth)

    def __getitem__(self, rows: slice | Tensor) -> ConditionBatch:
        """Return some of the cells."""
        return ConditionBatch(self.factors[rows], self.parts[rows], self.doses[rows], self.log_depth[rows])

    def to(self, device: torch.device) -> ConditionBatch:
        """Return the batch on another device."""
        return ConditionBatch(
            self.factors.to(device), self.parts.to(device), self.doses.to(device), self.log_depth.to(device)
        )


def index_conditions(
    vocabulary: Vocabulary, conditions: Sequence[Condition], depth: npt.NDArray[np.float64]
) -> ConditionBatch:
    """Look the conditions of cells up in the vocabulary.

    Parameters
    ----------
    vocabulary
        What the model has words for.
    conditions
        One per cell.
    depth
        Total UMIs of each cell, (cells,).

    Raises
    ------
    ConditionError
        If a factor, value or perturbation is not in the vocabulary.
    """
    width = max((len(c.parts) for c in conditions), default=0) or 1
    factors = np.zeros((len(conditions), len(vocabulary.factors)), dtype=np.int64)
    parts = np.zeros((len(conditions), width), dtype=np.int64)
    doses = np.full((len(conditions), width), np.nan, dtype=np.float32)
    for row, condition in enumerate(conditions):
        factors[row] = _factor_indices(vocabulary, condition.context)
        for slot, (name, dose) in enumerate(condition.parts):
            parts[row, slot] = _known(vocabulary, "perturbation", name)
            doses[row, slot] = np.nan if dose is None else dose
    log_depth = np.log(np.asarray(depth, dtype=np.float64)).astype(np.float32)
    return ConditionBatch(*map(torch.from_numpy, (factors, parts, doses, log_depth)))


def _factor_indices(vocabulary: Vocabulary, context: Mapping[str, str]) -> list[int]:
    for factor in context:
        if factor not in vocabulary.factors:
            known = ", ".join(vocabulary.factors) or "none"
            raise ConditionError(f"the model has no context factor {factor!r}; it has: {known}")
    return [
        _known(vocabulary, factor, context[factor]) if factor in context else UNSPECIFIED_INDEX
        for factor in vocabulary.factors
    ]


def _known(vocabulary: Vocabulary, kind: str, value: str) -> int:
    index = vocabulary.index(kind, value)
    if index is None:
        raise ConditionError(f"the model was never trained on {kind} {value!r}; `lingshu validate` lists what it knows")
    return index


class ConditionEncoder(nn.Module):
    """Embeddings of context factors, perturbation and depth, in ``dim`` dimensions.

    Depth is embedded by linear interpolation between the embeddings of knots on the log scale.
    """

    depth_knots: Tensor
    log_half_dose: nn.Parameter

    def __init__(
        self,
        dim: int,
        factor_sizes: Iterable[int],
        perturbations: int,
        depth_knots: Tensor,
        typical_dose: Tensor,
        *,
        scale: float,
        use_depth: bool,
    ) -> None:
        super().__init__()
        self.factors = nn.ModuleList(_embedding(size, dim, scale) for size in factor_sizes)
        self.perturbation = _embedding(perturbations, dim, scale)
        self.depth = nn.Embedding(len(depth_knots), dim)
        self.use_depth = use_depth
        self.register_buffer("depth_knots", depth_knots.clone())  # safetensors refuses shared storage
        nn.init.normal_(self.depth.weight, std=scale)
        # One half-maximal dose and slope per perturbation; index 0 (control) is never used.
        self.log_half_dose = nn.Parameter(torch.log(typical_dose))
        self.log_slope = nn.Parameter(torch.zeros(perturbations + 1))

    def context(self, batch: ConditionBatch) -> list[Tensor]:
        """Return one embedding per factor, each (cells, dim)."""
        return [table(batch.factors[:, i]) for i, table in enumerate(self.factors)]

    def perturbed(self, batch: ConditionBatch) -> Tensor:
        """Return the summed embedding of the perturbation parts, (cells, dim); zero for controls."""
        embedded = self.perturbation(batch.parts)  # (cells, parts, dim)
        return (embedded * self._response(batch)[..., None]).sum(dim=1)

    def _response(self, batch: ConditionBatch) -> Tensor:
        """Hill response d^h / (d^h + k^h) of each part, (cells, parts); 1 where no dose is given."""
        dosed = ~torch.isnan(batch.doses)
        log_dose = torch.log(torch.where(dosed, batch.doses, 1.0))
        hill = torch.sigmoid(torch.exp(self.log_slope[batch.parts]) * (log_dose - self.log_half_dose[batch.parts]))
        return torch.where(dosed, hill, 1.0)

    def depth_embedding(self, batch: ConditionBatch) -> Tensor:
        """Return the interpolated embedding of the depth, (cells, dim)."""
        knots = self.depth_knots
        position = torch.searchsorted(knots, batch.log_depth.contiguous()).clamp(1, len(knots) - 1)
        low, high = knots[position - 1], knots[position]
        weight = ((batch.log_depth - low) / (high - low)).clamp(0.0, 1.0)[:, None]
        return torch.lerp(self.depth(position - 1), self.depth(position), weight)

    def latent(self, batch: ConditionBatch) -> Tensor:
        """Return the sum of all embeddings, (cells, dim): the latent of the low-rank tilt."""
        total = sum(self.context(batch), self.perturbed(batch))
        return total + self.depth_embedding(batch) if self.use_depth else total

    def prefix(self, batch: ConditionBatch) -> Tensor:
        """Return the prefix tokens of the transformer, (cells, factors + 1 [+ 1], dim)."""
        tokens = [*self.context(batch), self.perturbed(batch)]
        if self.use_depth:
            tokens.append(self.depth_embedding(batch))
        return torch.stack(tokens, dim=1)


def _embedding(values: int, dim: int, scale: float) -> nn.Embedding:
    table = nn.Embedding(values + 1, dim, padding_idx=0)
    nn.init.normal_(table.weight, std=scale)
    with torch.no_grad():
        table.weight[0].zero_()
    return table
