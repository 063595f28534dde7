"""Contexts that the model never saw, learned from their own control cells.

A new donor, line or cell type comes with control cells of its own. Their values of the context factors get
embeddings that are fitted to those cells by the diffusion loss, everything else of the model staying as it was: the
encoder of a set of cells is an optimisation, which cannot be further off than the model itself, and takes seconds for
a model without a transformer. What perturbations do there is then what the model says; no perturbed cell is used.
"""

from __future__ import annotations

import copy
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt
import scipy.sparse as sp
import torch
from torch import Tensor, nn

from lingshu_core.checkpoint import Checkpoint
from lingshu_core.conditioning import Condition, ConditionEncoder, index_conditions
from lingshu_core.denoiser import Denoiser
from lingshu_core.depths import MOST_QUANTILES
from lingshu_core.diffusion import draw_times, mask_tokens
from lingshu_core.errors import UnusableCells
from lingshu_core.tokens import MASK, encode
from lingshu_core.vocabulary import SeenContext, Vocabulary

FEWEST_CELLS = 10
"""Fewer control cells than this say too little of a context."""


@dataclass(frozen=True)
class ControlCells:
    """Control cells of contexts, in the model's gene panel.

    ``counts`` (cells, panel genes); ``present`` (panel genes,) which of them were measured; ``contexts`` one a cell,
    every factor of the model with a value; ``depth`` total UMIs, (cells,).
    """

    counts: sp.csr_matrix
    present: npt.NDArray[np.bool_]
    contexts: tuple[Mapping[str, str], ...]
    depth: npt.NDArray[np.float64]


@dataclass(frozen=True)
class AdaptationConfig:
    """How embeddings are fitted: steps of Adam, cells a step, rate, seed."""

    steps: int = 400
    batch_size: int = 64
    learning_rate: float = 0.02
    seed: int = 0


@dataclass(frozen=True)
class Adapted:
    """A model that knows more contexts: what was learned, and how the loss (nats per gene) fell."""

    vocabulary: Vocabulary
    control_depths: tuple[npt.NDArray[np.float64], ...]
    denoiser: Denoiser
    new_values: Mapping[str, tuple[str, ...]]
    loss_before: float
    loss_after: float


def adapt(
    checkpoint: Checkpoint,
    cells: ControlCells,
    config: AdaptationConfig | None = None,
    on_step: Callable[[int, int], None] | None = None,
) -> Adapted:
    """Teach a model contexts from their control cells.

    Parameters
    ----------
    checkpoint
        The model; it is not changed.
    cells
        Control cells; those of contexts that the model has seen with controls are refused.
    config
        How to fit.
    on_step
        Called with the steps done and their number.

    Raises
    ------
    UnusableCells
        If a context has too few cells, or is known already.
    """
    config = config or AdaptationConfig()
    new_contexts = _new_contexts(checkpoint.vocabulary, cells)
    new_values = _new_values(checkpoint.vocabulary, new_contexts)
    vocabulary = _with_contexts(checkpoint.vocabulary, new_contexts, new_values)
    denoiser = with_values(checkpoint.denoiser, {f: len(v) for f, v in new_values.items()}, tuple(vocabulary.factors))
    fit = _Fit(denoiser, vocabulary, cells, new_values, config)
    before = fit.loss()
    if any(new_values.values()):
        fit.run(on_step)
    depths = tuple(_sorted_depths(cells, context.factors) for context in new_contexts)
    return Adapted(vocabulary, (*checkpoint.control_depths, *depths), denoiser, new_values, before, fit.loss())


def _new_contexts(vocabulary: Vocabulary, cells: ControlCells) -> list[SeenContext]:
    counted: dict[tuple[str, ...], int] = {}
    for context in cells.contexts:
        key = tuple(context[factor] for factor in vocabulary.factors)
        counted[key] = counted.get(key, 0) + 1
    known = {tuple(seen.factors.values()): seen for seen in vocabulary.contexts}
    new = []
    for key, number in sorted(counted.items()):
        name = ", ".join(key) or "all cells"
        if key in known and known[key].control_cells:
            raise UnusableCells(
                f"the model was trained on {known[key].control_cells} control cells of {name}; leave them out here"
            )
        if number < FEWEST_CELLS:
            raise UnusableCells(
                f"{name} has {number} control cells, and at least {FEWEST_CELLS} are needed; leave it out"
            )
        factors = dict(zip(vocabulary.factors, key, strict=True))
        new.append(SeenContext(factors, cells=number, control_cells=number, adapted=True))
    return new


def _new_values(vocabulary: Vocabulary, contexts: list[SeenContext]) -> dict[str, tuple[str, ...]]:
    return {
        factor: tuple(sorted({context.factors[factor] for context in contexts} - set(values)))
        for factor, values in vocabulary.factors.items()
    }


def _with_contexts(
    vocabulary: Vocabulary, contexts: list[SeenContext], values: Mapping[str, tuple[str, ...]]
) -> Vocabulary:
    factors = {factor: (*known, *values[factor]) for factor, known in vocabulary.factors.items()}
    return replace(vocabulary, factors=factors, contexts=(*vocabulary.contexts, *contexts))


def _sorted_depths(cells: ControlCells, factors: Mapping[str, str]) -> npt.NDArray[np.float64]:
    found = np.sort(cells.depth[[dict(context) == dict(factors) for context in cells.contexts]])
    if len(found) > MOST_QUANTILES:
        return np.quantile(found, (np.arange(MOST_QUANTILES) + 0.5) / MOST_QUANTILES)
    return found


def with_values(denoiser: Denoiser, new: Mapping[str, int], factors: tuple[str, ...]) -> Denoiser:
    """Return a copy with room for more values of the factors, which start at the mean of those that were seen."""
    wider = copy.deepcopy(denoiser).requires_grad_(False)
    for encoder in _encoders(wider):
        for index, factor in enumerate(factors):
            if new[factor]:
                encoder.factors[index] = _wider(encoder.factor_tables[index], new[factor])
    return wider.eval()


def _wider(table: nn.Embedding, more: int) -> nn.Embedding:
    seen = table.weight.detach()
    mean = seen[1:].mean(dim=0, keepdim=True).expand(more, -1)
    wider = nn.Embedding(len(seen) + more, seen.shape[1], padding_idx=0, device=seen.device)
    wider.weight = nn.Parameter(torch.cat([seen, mean]))
    return wider


class _Fit:
    """Fits the rows of new values, and nothing else."""

    def __init__(
        self,
        denoiser: Denoiser,
        vocabulary: Vocabulary,
        cells: ControlCells,
        new_values: Mapping[str, tuple[str, ...]],
        config: AdaptationConfig,
    ) -> None:
        self.denoiser, self.config = denoiser, config
        self.device = denoiser.gene_order.device
        order = denoiser.gene_order.cpu().numpy()
        tokens = cells.counts.copy()
        tokens.data = encode(cells.counts.data)
        self.tokens = tokens[:, order].tocsr()
        self.present = torch.from_numpy(cells.present[order]).to(self.device)
        self.conditions = index_conditions(vocabulary, [Condition(c) for c in cells.contexts], cells.depth)
        self.masks = [
            (table.weight, _last_rows(table.weight, len(new_values[factor])))
            for encoder in _encoders(denoiser)
            for table, factor in zip(encoder.factor_tables, vocabulary.factors, strict=True)
            if new_values[factor]
        ]

    def run(self, on_step: Callable[[int, int], None] | None) -> None:
        """Take the steps; the rate falls to zero along a cosine."""
        optimiser = torch.optim.Adam([weight for weight, _ in self.masks], lr=self.config.learning_rate)
        falling = torch.optim.lr_scheduler.CosineAnnealingLR(optimiser, self.config.steps)
        rng = np.random.default_rng(self.config.seed)
        generator = torch.Generator().manual_seed(self.config.seed)
        for step in range(self.config.steps):
            rows = rng.choice(self.tokens.shape[0], min(self.config.batch_size, self.tokens.shape[0]), replace=False)
            optimiser.zero_grad(set_to_none=True)
            torch.autograd.backward(self._loss(rows, generator))
            for weight, new in self.masks:
                if weight.grad is not None:  # a prefix that no path reads has none
                    weight.grad.mul_(new)
            optimiser.step()
            falling.step()
            if on_step is not None:
                on_step(step + 1, self.config.steps)

    @torch.no_grad()
    def loss(self) -> float:
        """Return the loss on all cells, with the same masks at every call."""
        generator = torch.Generator().manual_seed(20_260_325)
        size, cells = self.config.batch_size, self.tokens.shape[0]
        parts = [np.arange(first, min(first + size, cells)) for first in range(0, cells, size)]
        return sum(self._loss(rows, generator).item() * len(rows) for rows in parts) / cells

    def _loss(self, rows: npt.NDArray[np.int64], generator: torch.Generator) -> Tensor:
        """Masked cross-entropy weighted by 1/t; genes that were not measured are always masked and never scored."""
        tokens = torch.from_numpy(self.tokens[rows].toarray()).long()
        times = draw_times(len(tokens), generator, tokens.shape[1])
        drawn = mask_tokens(tokens, times, generator).to(self.device)
        masked = torch.where(self.present, drawn, MASK)
        scored = (masked == MASK) & self.present
        weight = (1.0 / times).to(self.device)[:, None]
        total = torch.zeros((), device=self.device)
        batch = self.conditions[torch.from_numpy(rows)].to(self.device)
        for genes, loss in self.denoiser.losses(tokens.to(self.device), masked, batch):
            total = total + (loss * scored[:, genes] * weight).sum()
        return total / (len(tokens) * self.present.sum())


def _encoders(denoiser: Denoiser) -> list[ConditionEncoder]:
    return [encoder for encoder in (denoiser.conditions, denoiser.prefix) if encoder is not None]


def _last_rows(weight: Tensor, number: int) -> Tensor:
    """Return 1 for the last rows and 0 for the others, (rows, 1)."""
    chosen = torch.zeros(len(weight), 1, device=weight.device)
    chosen[len(weight) - number :] = 1.0
    return chosen
