"""Conditions as the model sees them: context factors, perturbation parts with doses, and depth.

Every factor of a context, every part of a perturbation and the depth has an embedding; the embedding of
"unspecified" and of the control is zero and stays zero. A combination is the sum of its parts, so it does
not depend on their order. A drug's embedding is scaled by a Hill curve of its dose with a learned
half-maximal dose and slope, zero at dose zero.

A part without an identity of its own is a mixture of those that have one (``neighbours``).
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, fields, replace

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

    ``factors`` (cells, factors), ``parts`` (cells, parts) with 0 for "none", ``rows`` (cells, parts) the row of
    each part in the model's feature bank with 0 for "no features", ``doses`` (cells, parts) with NaN for
    "without a dose", ``log_depth`` (cells,).
    """

    factors: Tensor
    parts: Tensor
    rows: Tensor
    doses: Tensor
    log_depth: Tensor

    def as_control(self) -> ConditionBatch:
        """Return the same cells as controls: same context and depth, no perturbation."""
        return replace(self, parts=torch.zeros_like(self.parts), rows=torch.zeros_like(self.rows))

    def __getitem__(self, rows: slice | Tensor) -> ConditionBatch:
        """Return some of the cells."""
        return ConditionBatch(*(getattr(self, each.name)[rows] for each in fields(self)))

    def to(self, device: torch.device) -> ConditionBatch:
        """Return the batch on another device."""
        return ConditionBatch(*(getattr(self, each.name).to(device) for each in fields(self)))


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
    rows = np.zeros((len(conditions), width), dtype=np.int64)
    doses = np.full((len(conditions), width), np.nan, dtype=np.float32)
    for cell, condition in enumerate(conditions):
        factors[cell] = _factor_indices(vocabulary, condition.context)
        for slot, (name, dose) in enumerate(condition.parts):
            parts[cell, slot], rows[cell, slot] = _part(vocabulary, name)
            doses[cell, slot] = np.nan if dose is None else dose
    log_depth = np.log(np.asarray(depth, dtype=np.float64)).astype(np.float32)
    return ConditionBatch(*map(torch.from_numpy, (factors, parts, rows, doses, log_depth)))


def _factor_indices(vocabulary: Vocabulary, context: Mapping[str, str]) -> list[int]:
    for factor in context:
        if factor not in vocabulary.factors:
            known = ", ".join(vocabulary.factors) or "none"
            raise ConditionError(f"the model has no context factor {factor!r}; it has: {known}")
    return [
        _known(vocabulary, factor, context[factor]) if factor in context else UNSPECIFIED_INDEX
        for factor in vocabulary.factors
    ]


def _part(vocabulary: Vocabulary, name: str) -> tuple[int, int]:
    """Return the index of a part and its row in the feature bank; seen or described, one of them at least."""
    index, row = vocabulary.index("perturbation", name), vocabulary.feature_row(name)
    if index is None:
        return (vocabulary.unnamed, row) if row else (_known(vocabulary, "perturbation", name), 0)
    return index, row


def _known(vocabulary: Vocabulary, kind: str, value: str) -> int:
    index = vocabulary.index(kind, value)
    if index is None:
        raise ConditionError(f"the model was never trained on {kind} {value!r}; `lingshu validate` lists what it knows")
    return index


class ConditionEncoder(nn.Module):
    """Embeddings of context factors, perturbation and depth, in ``dim`` dimensions.

    Depth is embedded by linear interpolation between the embeddings of knots on the log scale.

    Parameters
    ----------
    dim
        Width of every embedding.
    factor_sizes
        Values of each context factor.
    perturbations
        Single perturbations that were seen.
    depth_knots
        Increasing log depths, (knots,).
    typical_dose
        Where the Hill curve of each perturbation starts at one half, (perturbations + 1,).
    scale
        Standard deviation of the embeddings at the start.
    use_depth
        Whether the depth is part of the latent.
    interaction
        Whether the context may change what a perturbation does: z_p · (1 + M z_context), M zero at the start.
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
        interaction: bool = False,
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
        self.log_slope = nn.Parameter(torch.zeros(len(typical_dose)))
        self.unnamed = perturbations + 1
        self.mix = nn.Linear(dim, dim, bias=False) if interaction else None
        if self.mix is not None:
            nn.init.zeros_(self.mix.weight)

    @property
    def factor_tables(self) -> list[nn.Embedding]:
        """The embeddings of each context factor's values."""
        return [table for table in self.factors if isinstance(table, nn.Embedding)]

    def context(self, batch: ConditionBatch) -> list[Tensor]:
        """Return one embedding per factor, each (cells, dim)."""
        return [table(batch.factors[:, i]) for i, table in enumerate(self.factors)]

    def perturbed(self, batch: ConditionBatch, mixture: Tensor | None = None) -> Tensor:
        """Return the summed embedding of the perturbation parts, (cells, dim); zero for controls.

        ``mixture`` (cells, parts, perturbations + 1) has the weights of the seen perturbations for parts that
        have no identity of their own.
        """
        named = batch.parts != self.unnamed
        identity = torch.where(named, batch.parts, CONTROL_INDEX)
        embedded, half_dose, slope = self.perturbation(identity), self.log_half_dose[identity], self.log_slope[identity]
        if mixture is not None:
            # Detached: identities are learned from their own cells, whatever is borrowed from them.
            embedded = torch.where(named[..., None], embedded, mixture @ self.perturbation.weight.detach())
            half_dose = torch.where(named, half_dose, mixture @ self.log_half_dose.detach())
            slope = torch.where(named, slope, mixture @ self.log_slope.detach())
        response = _hill(batch.doses, half_dose, slope)
        total: Tensor = (embedded * response[..., None]).sum(dim=1)
        if self.mix is not None and len(self.factors):
            total = total * (1.0 + self.mix(torch.stack(self.context(batch)).sum(dim=0)))
        return total

    def depth_embedding(self, batch: ConditionBatch) -> Tensor:
        """Return the interpolated embedding of the depth, (cells, dim)."""
        knots = self.depth_knots
        position = torch.searchsorted(knots, batch.log_depth.contiguous()).clamp(1, len(knots) - 1)
        low, high = knots[position - 1], knots[position]
        weight = ((batch.log_depth - low) / (high - low)).clamp(0.0, 1.0)[:, None]
        return torch.lerp(self.depth(position - 1), self.depth(position), weight)

    def latent(self, batch: ConditionBatch, mixture: Tensor | None = None) -> Tensor:
        """Return the sum of all embeddings, (cells, dim): the latent of the low-rank tilt."""
        total = sum(self.context(batch), self.perturbed(batch, mixture))
        return total + self.depth_embedding(batch) if self.use_depth else total

    def prefix(self, batch: ConditionBatch, mixture: Tensor | None = None) -> Tensor:
        """Return the prefix tokens of the transformer, (cells, factors + 1 [+ 1], dim)."""
        tokens = [*self.context(batch), self.perturbed(batch, mixture)]
        if self.use_depth:
            tokens.append(self.depth_embedding(batch))
        return torch.stack(tokens, dim=1)


def _hill(doses: Tensor, log_half_dose: Tensor, log_slope: Tensor) -> Tensor:
    """Return d^h / (d^h + k^h), (cells, parts); 1 where no dose is given."""
    dosed = ~torch.isnan(doses)
    log_dose = torch.log(torch.where(dosed, doses, 1.0))
    return torch.where(dosed, torch.sigmoid(torch.exp(log_slope) * (log_dose - log_half_dose)), 1.0)


def _embedding(values: int, dim: int, scale: float) -> nn.Embedding:
    table = nn.Embedding(values + 1, dim, padding_idx=0)
    nn.init.normal_(table.weight, std=scale)
    with torch.no_grad():
        table.weight[0].zero_()
    return table
