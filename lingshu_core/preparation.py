"""From checked cells to what a model is built from: vocabulary, gene statistics, control depths, training set."""

from __future__ import annotations

from collections.abc import Generator, Iterable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import pandas as pd
import scipy.sparse as sp
import torch
from torch import Tensor

from lingshu_core.cells import Cells
from lingshu_core.conditioning import Condition, ConditionBatch, index_conditions
from lingshu_core.denoiser import DenoiserConfig, GeneStatistics
from lingshu_core.epoch_order import balanced_order
from lingshu_core.errors import UnusableCells
from lingshu_core.feature_bank import described_names
from lingshu_core.methods import part_methods
from lingshu_core.perturbation_features import PerturbationFeatures
from lingshu_core.pseudo_perturbations import NO_PSEUDO, PseudoPerturbations
from lingshu_core.token_histogram import TokenHistogram
from lingshu_core.tokens import N_TOKENS, REPRESENTATIVE_COUNTS, encode, last_tokens, support_sizes
from lingshu_core.vocabulary import SeenContext, SeenPerturbation, Vocabulary, part_types, split_label

_SMOOTHING = 0.05
"""Pseudo-cells per token: an unseen count is unlikely at the start, not impossible."""
_FADE = 4.0
"""A count of twice the largest seen starts e^4 times less likely than one within what was seen."""
_SMALLEST = 1e-9


@dataclass(frozen=True)
class TrainingSet:
    """Tokens (sparse, zeros are token 0) and conditions of cells, ready to be batched."""

    tokens: sp.csr_matrix
    conditions: ConditionBatch
    condition_cells: npt.NDArray[np.int64]
    """How many training cells share the condition (context and perturbation) of each cell, (cells,)."""

    def __len__(self) -> int:
        """Return the number of cells."""
        return int(self.tokens.shape[0])

    def select(self, rows: npt.NDArray[np.int64]) -> TrainingSet:
        """Return some of the cells."""
        return TrainingSet(self.tokens[rows], self.conditions[torch.from_numpy(rows)], self.condition_cells[rows])

    def batch(self, rows: npt.NDArray[np.int64]) -> tuple[Tensor, ConditionBatch]:
        """Return dense tokens (cells, genes) and conditions of some cells."""
        dense = torch.from_numpy(self.tokens[rows].toarray()).long()
        return dense, self.conditions[torch.from_numpy(rows)]

    def order(self, balance: float, seed: list[int]) -> npt.NDArray[np.int64]:
        """Draw the positions of one epoch, with weights size^−balance."""
        return balanced_order(self.condition_cells, balance, seed)

    def token_batches(self, batches: Sequence[npt.NDArray[np.int64]]) -> Generator[Tensor, None, None]:
        """Yield the dense tokens of batches of positions, each (cells, genes)."""
        for rows in batches:
            yield torch.from_numpy(self.tokens[rows].toarray()).long()


def build_vocabulary(
    cells: Cells, features: PerturbationFeatures | None = None, pseudo: PseudoPerturbations = NO_PSEUDO
) -> Vocabulary:
    """List what occurs in the cells: genes, context factors, contexts, perturbations; and what features describe.

    The cells of ``pseudo``-perturbations are control cells as all others; only their labels are listed.
    """
    # Sorted: a checkpoint is written with sorted keys, and the embeddings of a factor are found by its place.
    roles = sorted(cells.context_roles)
    contexts = [
        SeenContext(
            factors=dict(zip(roles, values if isinstance(values, tuple) else (values,), strict=True)),
            cells=len(rows),
            control_cells=int((rows["perturbation"] == cells.control).sum()),
            perturbed_cells=_label_counts(rows, cells.control),
            pseudo_cells=pseudo.counts(rows.index.to_numpy()),
        )
        for values, rows in (cells.obs.groupby(roles, sort=True) if roles else [((), cells.obs)])
    ]
    perturbations, methods = _perturbations(cells), part_methods(cells.obs)
    types = part_types({label: seen.type for label, seen in perturbations.items()})
    return Vocabulary(
        genes=cells.genes,
        factors={role: tuple(sorted(set(cells.obs[role]))) for role in roles},
        contexts=tuple(contexts),
        perturbations=perturbations,
        parts=tuple(sorted(types)),
        control=cells.control,
        described={} if features is None else described_names(features, types, methods),
        structures=features is not None and any(origin.kind == "smiles" for origin in features.origins),
        methods=methods,
        pseudo=pseudo.names,
    )


def _label_counts(rows: pd.DataFrame, control: str) -> dict[str, int]:
    counts = rows["perturbation"].value_counts().sort_index()
    return {str(label): int(count) for label, count in counts.items() if label != control}


def _perturbations(cells: Cells) -> dict[str, SeenPerturbation]:
    ratios = depth_log_ratios(cells)
    perturbed = cells.obs[cells.obs["perturbation"] != cells.control]
    return {
        str(label): SeenPerturbation(
            type=str(rows["perturbation_type"].iloc[0]),  # `read_cells` sees to it that there is one
            cells=len(rows),
            doses=tuple(sorted(set(rows["dose"].dropna()))),
            depth_log_ratio=ratios.get(str(label), 0.0),
        )
        for label, rows in perturbed.groupby("perturbation", sort=True)
    }


def depth_log_ratios(cells: Cells) -> dict[str, float]:
    """Measure the shift in library size of each perturbation.

    The mean log depth of a perturbation minus that of the controls of the same context, averaged over
    contexts by their perturbed cells. Effects themselves are depth-matched, so this shift is reported in
    a column of its own.
    """
    roles = list(cells.context_roles)
    frame = cells.obs[[*roles, "perturbation"]].assign(log_depth=np.log(cells.depth))
    frame["baseline"] = _control_mean(frame, roles, cells.control)
    known = frame[frame["baseline"].notna() & (frame["perturbation"] != cells.control)]
    shift = (known["log_depth"] - known["baseline"]).groupby(known["perturbation"]).mean()
    return {str(name): float(value) for name, value in shift.items()}


def _control_mean(frame: pd.DataFrame, roles: list[str], control: str) -> pd.Series:
    controls = frame.where(frame["perturbation"] == control)["log_depth"]
    if not roles:
        return pd.Series(controls.mean(), index=frame.index)
    return controls.groupby([frame[role] for role in roles]).transform("mean")


def gene_statistics(cells: Cells, vocabulary: Vocabulary, config: DenoiserConfig) -> GeneStatistics:
    """Measure token frequencies, supports and depth knots on the training cells."""
    histogram = cells.token_histogram()
    last = last_tokens(histogram.largest()) if config.gene_bias else np.full(len(cells.genes), N_TOKENS - 1)
    knots = np.quantile(np.log(cells.depth), np.linspace(0.0, 1.0, config.depth_knots))
    return GeneStatistics(
        support=torch.from_numpy(support_sizes(last)),
        log_marginals=torch.from_numpy(_log_marginals(histogram)),
        depth_knots=torch.from_numpy(_strictly_increasing(knots).astype(np.float32)),
        typical_dose=_typical_doses(vocabulary),
        last_token=torch.from_numpy(last),
    )


def token_matrix(counts: sp.csr_matrix) -> sp.csr_matrix:
    """Encode the stored counts; a count that is not stored is token 0."""
    tokens = counts.copy()
    tokens.data = encode(counts.data)
    return tokens


def _log_marginals(histogram: TokenHistogram) -> npt.NDArray[np.float32]:
    complete = histogram.complete()
    smoothed = complete + pseudo_cells(complete)
    return np.log(smoothed / smoothed.sum(axis=1, keepdims=True)).astype(np.float32)


def pseudo_cells(histogram: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    """Return the pseudo-cells of every token, (genes, tokens): equal up to the largest count seen, then fading.

    Large tokens stand for large counts: a twentieth of a cell on each of 281 tokens, most of them beyond what the gene
    ever showed, adds some ten molecules of every abundant gene to every cell, and the tilt multiplies them.
    """
    counts = REPRESENTATIVE_COUNTS.astype(float)
    seen = np.where(histogram > 0, counts, 0.0).max(axis=1, keepdims=True)
    beyond = np.maximum(counts - seen, 0.0) / (seen + 1.0)
    return np.maximum(_SMOOTHING * np.exp(-_FADE * beyond), _SMALLEST)


def _strictly_increasing(knots: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    return np.maximum.accumulate(knots) + 1e-4 * np.arange(len(knots))


def _typical_doses(vocabulary: Vocabulary) -> Tensor:
    """Return the geometric mean of the doses of each perturbation: where its Hill curve starts at one half."""
    doses: dict[str, set[float]] = {part: set() for part in vocabulary.identities}
    for label, seen in vocabulary.perturbations.items():
        for part in split_label(label):
            doses[part].update(seen.doses)
    typical = [_typical(found) for found in doses.values()]
    return torch.tensor([1.0, *typical], dtype=torch.float32)


def _typical(doses: Iterable[float]) -> float:
    """Return the geometric mean; 1 where there are no doses."""
    logs = np.log(sorted(doses))
    return float(np.exp(np.mean(logs))) if len(logs) else 1.0


def training_set(cells: Cells, vocabulary: Vocabulary, gene_order: Tensor) -> TrainingSet:
    """Put cells into the model's inner gene order and look their conditions up.

    Raises
    ------
    UnusableCells
        If the genes are not those of the vocabulary.
    """
    if cells.genes != vocabulary.genes:
        raise UnusableCells(f"{cells.source}: the genes are not those that the model was built for")
    conditions = [cell_condition(row, cells) for row in cells.obs.to_dict("records")]
    return TrainingSet(
        tokens=token_matrix(cells.counts)[:, gene_order.numpy()].tocsr(),
        conditions=index_conditions(vocabulary, conditions, cells.depth),
        condition_cells=condition_sizes(cells),
    )


def condition_sizes(cells: Cells) -> npt.NDArray[np.int64]:
    """Return how many cells share the context and the perturbation of each cell, (cells,)."""
    frame = cells.obs[[*cells.context_roles, "perturbation"]]
    return frame.groupby(list(frame.columns))["perturbation"].transform("size").to_numpy(dtype=np.int64)


def cell_condition(row: Mapping[str, object], cells: Cells) -> Condition:
    """Return the condition of one row of ``obs``."""
    context = {role: str(row[role]) for role in cells.context_roles}
    label = str(row["perturbation"])
    if label == cells.control:
        return Condition(context)
    dose = row["dose"]
    value = float(dose) if isinstance(dose, float) and np.isfinite(dose) else None
    return Condition(context, tuple((part, value) for part in split_label(label)))
