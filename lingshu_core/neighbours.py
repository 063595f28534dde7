"""Perturbations that were never seen borrow from those alike.

A perturbation is a learned identity. One without an identity, but with features, is a weighted mean of the
identities of the seen perturbations of its type: kernel regression (Nadaraya 1964, Watson 1964) with

    w_j ∝ exp(Σ_s β_s cos_s(f, f_j)),

the cosine of the feature vectors in every source s (gene sets, fingerprints, …) and a learned sharpness β_s, so
that a source that says nothing is not listened to. A further, learned weight goes to the mean of all seen ones:
who has no neighbours is predicted to be average.

In training the identities of some cells' perturbations are dropped and the perturbation itself is left out of its
neighbours. What is learned is therefore how to predict a perturbation *from the others*, which is the question at
screening. Why not a linear map from features to the latent: docs/decisions.md.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from lingshu_core.conditioning import ConditionBatch

_SCALE = 10.0
"""Logits are this many times the parameters: Adam moves all parameters alike, and these have far to go."""
_START_SHARPNESS = 0.8
_START_MEAN = 0.5
"""Weights at the start: e⁸ for an identical perturbation, e⁵ for the mean of all, 1 for an unrelated one."""


@dataclass(frozen=True)
class FeatureBank:
    """Feature vectors of the described perturbations.

    ``vectors`` (described, dims); ``sources`` (dims,) which source each column belongs to; ``types`` (described,)
    number of the perturbation's type; ``part_rows`` (seen parts,) row of each seen part in ``vectors``, −1 where it
    is not described.
    """

    vectors: Tensor
    sources: Tensor
    types: Tensor
    part_rows: Tensor


class Neighbours(nn.Module):
    """Weights of the seen perturbations for one that is known by its features alone."""

    vectors: Tensor
    sources: Tensor
    types: Tensor
    part_rows: Tensor

    def __init__(self, bank: FeatureBank) -> None:
        super().__init__()
        self.n_sources = int(bank.sources.max()) + 1
        n_types = int(bank.types.max()) + 1
        # Row 0 of the bank, and part 0, are "none".
        empty = torch.zeros(1, dtype=torch.long)
        self.register_buffer("vectors", torch.cat([torch.zeros(1, bank.vectors.shape[1]), bank.vectors]))
        self.described = len(self.vectors)
        self.register_buffer("sources", bank.sources.clone())
        self.register_buffer("types", torch.cat([empty - 1, bank.types]))
        self.register_buffer("part_rows", torch.cat([empty, bank.part_rows + 1]))
        # One-dimensional, as parameters without weight decay are.
        self.sharpness = nn.Parameter(torch.full((n_types * self.n_sources,), _START_SHARPNESS))
        self.mean_weight = nn.Parameter(torch.full((n_types,), _START_MEAN))

    def forward(self, batch: ConditionBatch) -> Tensor:
        """Return the weight of every seen part for each part of the batch, (cells, parts, seen parts + 1).

        Weights sum to one; all are zero for parts without features.
        """
        alike = self._similarity(batch.rows)  # (cells, parts, seen + 1, sources)
        kind = self.types[batch.rows].clamp_min(0)
        # Never below zero: to be alike may say nothing, but to be unlike doesn't make a neighbour.
        positive = nn.functional.softplus(self.sharpness, beta=_SCALE)
        sharpness = positive.view(-1, self.n_sources)[kind]  # (types · sources) → (cells, parts, sources)
        logits = _SCALE * (alike @ sharpness[..., None]).squeeze(-1)
        others = self._others(batch.rows)
        logits = logits.masked_fill(~others, -torch.inf)
        weights = torch.softmax(torch.cat([logits, _SCALE * self.mean_weight[kind][..., None]], dim=-1), dim=-1)
        share = others / others.sum(dim=-1, keepdim=True).clamp_min(1)
        return (weights[..., :-1] + weights[..., -1:] * share) * (batch.rows > 0)[..., None]

    def has_others(self, rows: Tensor) -> Tensor:
        """Tell for rows of the bank, (cells, parts), whether there is another seen perturbation to borrow from."""
        return (rows > 0) & self._others(rows).any(dim=-1)

    def describe(self, vectors: Tensor, kind: int) -> int:
        """Take in vectors, (perturbations, dims), of one type from outside the bank, in place of earlier ones.

        Returns
        -------
        Row of the first.
        """
        self.vectors = torch.cat([self.vectors[: self.described], vectors.to(self.vectors)])
        self.types = torch.cat([self.types[: self.described], self.types.new_full((len(vectors),), kind)])
        return self.described

    def _similarity(self, rows: Tensor) -> Tensor:
        """Cosine of each part with every seen part in each source, (cells, parts, seen + 1, sources)."""
        # Only the rows that are needed: a bank has every gene of its sources, and a batch a few of them.
        asked, place = torch.unique(rows, return_inverse=True)
        found = []
        for source in range(self.n_sources):
            columns = self.sources == source
            known = nn.functional.normalize(self.vectors[self.part_rows][:, columns], dim=1)
            alike = nn.functional.normalize(self.vectors[asked][:, columns], dim=1) @ known.T
            found.append(alike[place])
        return torch.stack(found, dim=-1)

    def _others(self, rows: Tensor) -> Tensor:
        """Which seen parts are described, of the same type, and not the part itself, (cells, parts, seen + 1)."""
        same_type = self.types[rows][..., None] == self.types[self.part_rows]
        return same_type & (self.part_rows > 0) & (self.part_rows != rows[..., None])


def stored_bank(state: Mapping[str, Tensor]) -> FeatureBank | None:
    """Read the bank back from the buffers of :class:`Neighbours`; None where there are none."""
    if "vectors" not in state:
        return None
    # Row 0, "no features", and part 0, "none", are added anew.
    return FeatureBank(state["vectors"][1:], state["sources"], state["types"][1:], state["part_rows"][1:] - 1)
