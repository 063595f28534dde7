"""Scores of generated cells against real ones, one row per label and metric: are they *cells*, not only right means?

Clouds are compared in principal components that were fitted on reference cells (the training cells), so that neither
side suits them better, with as many cells on either side. Held-out real cells against real cells give the floor of
every number; without it none of them means anything.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import scipy.sparse as sp
from sklearn.decomposition import PCA
from sklearn.neighbors import KNeighborsClassifier

from lingshu_core.cells import Cells
from lingshu_core.errors import PredictionRefused, UnusableCells
from lingshu_core.metrics import discrepancy_test, energy_distance
from lingshu_core.realism import (
    COMPONENTS,
    CORRELATED_GENES,
    VARIABLE_GENES,
    classifier_auc,
    correlation_error,
    gene_wasserstein,
    integration_lisi,
    most_variable,
    total_variation,
)
from lingshu_core.score_table import ScoreRows, Scores

Array = npt.NDArray[np.float64]
Mask = npt.NDArray[np.bool_]

MOST_CELLS = 500
"""Cells of a side that are compared pair by pair."""
MOST_REFERENCE_CELLS = 5_000
FEWEST_CELLS = 10
FEWEST_FOR_SHAPES = 30
"""Cells of a side below which correlations, neighbours and classifiers say nothing."""
NEIGHBOURS = 15


@dataclass(frozen=True)
class CellGroup:
    """Some cells: counts, CSR (cells, genes), and the library size of each, (cells,)."""

    counts: sp.csr_matrix
    depth: Array

    @classmethod
    def of(cls, cells: Cells, some: Mask) -> CellGroup:
        """Take some of the cells."""
        return cls(cells.counts[some], cells.depth[some])

    def __len__(self) -> int:
        """Return the number of cells."""
        return int(self.counts.shape[0])

    @property
    def totals(self) -> Array:
        """UMIs of each cell over the genes at hand, (cells,); the library size may count more genes."""
        return np.asarray(self.counts.sum(axis=1), dtype=np.float64).ravel()

    def take(self, number: int, rng: np.random.Generator) -> CellGroup:
        """Return at most so many cells, drawn without replacement."""
        if len(self) <= number:
            return self
        chosen = np.sort(rng.choice(len(self), number, replace=False))
        return CellGroup(self.counts[chosen], self.depth[chosen])

    def log1p_per_10k(self) -> sp.csr_matrix:
        """Return ``log1p counts per 10k`` of each cell, CSR (cells, genes)."""
        return sp.csr_matrix(sp.diags(1e4 / self.depth) @ self.counts).log1p()


class ReferenceCells:
    """Cells that choose the components and the variable genes, such as the training cells.

    Parameters
    ----------
    reference
        The cells.
    states
        Their cell types or states, (cells,); with them, shares of states are compared.
    seed
        Seed of every draw.

    Raises
    ------
    UnusableCells
        If there are fewer than 30 cells.
    """

    def __init__(self, reference: CellGroup, *, states: Sequence[str] | None = None, seed: int = 0) -> None:
        if len(reference) < FEWEST_FOR_SHAPES:
            raise UnusableCells(
                f"{len(reference)} reference cells; components need at least {FEWEST_FOR_SHAPES} of them"
            )
        rng = np.random.default_rng(seed)
        chosen = np.sort(rng.permutation(len(reference))[:MOST_REFERENCE_CELLS])
        scaled = CellGroup(reference.counts[chosen], reference.depth[chosen]).log1p_per_10k()
        self._seed, self._genes = seed, reference.counts.shape[1]
        self._variable = most_variable(scaled, VARIABLE_GENES)
        dense = scaled[:, self._variable].toarray()
        self._components = PCA(min(COMPONENTS, *(size - 1 for size in dense.shape)), random_state=0).fit(dense)
        self._states = self._classifier(dense, np.asarray(states, dtype=str)[chosen]) if states is not None else None

    def _classifier(self, dense: Array, states: npt.NDArray[np.str_]) -> KNeighborsClassifier | None:
        if len(set(states)) < 2:
            return None
        return KNeighborsClassifier(min(NEIGHBOURS, len(states))).fit(self._components.transform(dense), states)

    def scores(self, generated: Mapping[str, CellGroup], real: Mapping[str, CellGroup], *, fold: str = "") -> Scores:
        """Compare generated cells with real ones.

        Parameters
        ----------
        generated
            Label → generated cells; of all of them, as many as there are real ones are used.
        real
            Label → real cells of every label asked.
        fold
            Name of the fold, as it stands in the table.

        Raises
        ------
        PredictionRefused
            If the generated cells have another number of genes.
        """
        rows = ScoreRows(fold)
        if self._states is None:
            rows.leave_out("proportion_error", None, "the reference has no states to tell apart")
        for label, cells in real.items():
            if label not in generated:
                for metric in POPULATION_METRICS:
                    rows.leave_out(metric, label, "not predicted")
                continue
            if generated[label].counts.shape[1] != self._genes:
                raise PredictionRefused(
                    f"generated cells of {label!r} have {generated[label].counts.shape[1]} genes; it has to be the"
                    f" {self._genes} of the real cells, in their order"
                )
            self._compare(label, generated[label], cells, rows)
        return rows.scores()

    def _compare(self, label: str, generated: CellGroup, real: CellGroup, rows: ScoreRows) -> None:
        rng = np.random.default_rng(self._seed)
        number = min(len(generated), len(real), MOST_CELLS)
        if number < FEWEST_CELLS:
            for metric in POPULATION_METRICS:
                rows.leave_out(metric, label, f"{number} cells of a side; at least {FEWEST_CELLS} are needed")
            return
        pair = CloudPair.of(*(self._cloud(side.take(number, rng)) for side in (generated, real)), seed=self._seed)
        for metric, measure in MEASURES.items():
            rows.add(metric, label, measure(pair))
        for metric, measure in SHAPE_MEASURES.items():
            if number < FEWEST_FOR_SHAPES:
                rows.leave_out(metric, label, f"{number} cells of a side; at least {FEWEST_FOR_SHAPES} are needed")
            else:
                rows.add(metric, label, measure(pair), "no gene varies on both sides")
        self._compare_states(label, pair, rows)

    def _compare_states(self, label: str, pair: CloudPair, rows: ScoreRows) -> None:
        if self._states is not None:
            shares = [self._states.predict(side.components) for side in (pair.generated, pair.real)]
            rows.add("proportion_error", label, total_variation(*shares))

    def _cloud(self, cells: CellGroup) -> Cloud:
        scaled = cells.log1p_per_10k()
        dense = scaled[:, self._variable].toarray()
        return Cloud(cells, scaled, self._components.transform(dense), dense[:, :CORRELATED_GENES])


@dataclass(frozen=True)
class Cloud:
    """Cells as they are compared: ``scaled`` log1p counts per 10k, their components, the most variable genes."""

    cells: CellGroup
    scaled: sp.csr_matrix
    components: Array
    variable: Array

    @property
    def described(self) -> Array:
        """Return components and logarithm of the total, (cells, components + 1)."""
        return np.c_[self.components, np.log(self.cells.totals + 1)]


@dataclass(frozen=True)
class CloudPair:
    """Generated and real cells, as many of either, with the discrepancy that several metrics read."""

    generated: Cloud
    real: Cloud
    discrepancy: tuple[float, float]
    seed: int

    @classmethod
    def of(cls, generated: Cloud, real: Cloud, *, seed: int) -> CloudPair:
        """Put two clouds side by side."""
        return cls(generated, real, discrepancy_test(generated.components, real.components, seed=seed), seed)


def _relative(of: Callable[[Array], float], pair: CloudPair) -> float:
    real = of(pair.real.cells.totals)
    return float(of(pair.generated.cells.totals) / real - 1) if real > 0 else float("nan")


def _zeros(cells: CellGroup) -> float:
    return float(1 - cells.counts.nnz / np.prod(cells.counts.shape))


MEASURES: Mapping[str, Callable[[CloudPair], float]] = {
    "energy_distance": lambda pair: energy_distance(pair.generated.components, pair.real.components),
    "mmd": lambda pair: pair.discrepancy[0],
    "mmd_p": lambda pair: pair.discrepancy[1],
    "wasserstein": lambda pair: gene_wasserstein(pair.generated.scaled, pair.real.scaled),
    "depth_mean_error": lambda pair: _relative(np.mean, pair),
    "depth_sd_error": lambda pair: _relative(np.std, pair),
    "zeros_error": lambda pair: _zeros(pair.generated.cells) - _zeros(pair.real.cells),
}
SHAPE_MEASURES: Mapping[str, Callable[[CloudPair], float]] = {
    "ilisi": lambda pair: integration_lisi(pair.generated.components, pair.real.components),
    "classifier_auc": lambda pair: classifier_auc(pair.generated.described, pair.real.described, pair.seed),
    "correlation_error": lambda pair: correlation_error(pair.generated.variable, pair.real.variable),
}
POPULATION_METRICS = (*MEASURES, *SHAPE_MEASURES, "proportion_error")


def halves(group: CellGroup, seed: int = 0) -> tuple[CellGroup, CellGroup]:
    """Split cells at random into two halves: real against real is the floor of every metric."""
    order = np.random.default_rng(seed).permutation(len(group))
    size = len(order) // 2
    first, second = order[:size], order[size : 2 * size]
    return CellGroup(group.counts[first], group.depth[first]), CellGroup(group.counts[second], group.depth[second])
