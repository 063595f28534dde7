"""A fixed linear space in which drawn cells are compared with groups of real cells.

The space is made of real cells alone, once, before any cell is drawn: the principal components of log1p counts per 10k
of two or more groups, which weigh the same. What is asked of drawn cells in it:

- how far they are from a group: the E-distance (energy distance; Székely and Rizzo, J Stat Plan Inference 143 (2013);
  for perturbations Peidli et al., Nat Methods 2024), with Euclidean distances of the components;
- which group they are like: multinomial logistic regression on the components, fitted to the real cells;
- where they are on the way from the centre of the others (0) to the centre of the group (1).

log1p counts per 10k depend on the depth of a cell, and drawn cells have the depths of the controls of their context. So
real cells are weighted until their depths are spread as those are: the quantiles of the controls' depths cut them into
strata, and every stratum weighs the same.

A gene can be left out, such as the target of a knock-out: its loadings are zero then, for real cells as for drawn ones.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace

import numpy as np
import numpy.typing as npt
import scipy.sparse as sp
from scipy.sparse.linalg import aslinearoperator
from scipy.spatial.distance import cdist

from lingshu_core.cells import Cells
from lingshu_core.errors import UnusableCells
from lingshu_core.low_rank import NEGLIGIBLE, leading_factors

Array = npt.NDArray[np.float64]
Indices = npt.NDArray[np.int64]
Mask = npt.NDArray[np.bool_]

FEWEST_CELLS = 20
"""Real cells of a group at least."""
MOST_CELLS = 500
"""Real cells of a group that are kept; of more, so many are drawn at random."""
VARIABLE_GENES, COMPONENTS = 2000, 20
MOST_STRATA, CELLS_PER_STRATUM = 10, 10
FOLDS = 5
_KEPT_VIEWS = 8


@dataclass(frozen=True)
class RealGroup:
    """Real cells of a group: log1p counts per 10k, (cells, genes) CSR, and weights that sum to 1, (cells,)."""

    values: sp.csr_matrix
    weights: Array

    @property
    def mean(self) -> Array:
        """Weighted mean, (genes,)."""
        return np.asarray(self.values.T @ self.weights)


@dataclass(frozen=True)
class PlacedCells:
    """Drawn cells in the space, ordered by shard.

    Attributes
    ----------
    values
        log1p counts per 10k of the genes of the space, (cells, genes) CSC.
    points
        Their components, (cells, components).
    shards
        How many shards they are of, each with as many cells.
    """

    values: sp.csc_matrix
    points: Array
    shards: int


@dataclass(frozen=True)
class View:
    """The space without some genes: (components,) vectors, real cells as points.

    Attributes
    ----------
    reference, weights
        Components of the group's cells, (cells, components), and their weights, (cells,).
    origin, way
        Centre of the others and the way from it to the centre of the group, (components,).
    separation
        E-distance of the two.
    """

    reference: Array
    weights: Array
    origin: Array
    way: Array
    separation: float
    spread: float
    """Mean distance of two cells of the group."""

    def position(self, points: Array) -> Array:
        """Return where cells are on the way, 0 at the centre of the others and 1 at that of the group, (cells,)."""
        return (points - self.origin) @ self.way / max(float(self.way @ self.way), 1e-12)

    def distance(self, points: Array) -> float:
        """Return the E-distance of a cloud of points from the group, (cells, components).

        2 E‖X − Y‖ − E‖X − X′‖ − E‖Y − Y′‖, where X, X′ are different cells: a U-statistic, unbiased for any number of
        cells from two on. The square root is not taken.
        """
        cells = len(points)
        across = float(cdist(points, self.reference).mean(axis=0) @ self.weights)
        return 2.0 * across - float(cdist(points, points).sum()) / (cells * (cells - 1)) - self.spread


@dataclass(frozen=True)
class StateSpace:
    """Real cells, their components and a classifier.

    Attributes
    ----------
    genes
        Which of the model's genes the space is made of, ascending, (used,).
    loadings, centre
        Components of a cell are (values − centre) @ loadings: (used, components) and (used,).
    group, others
        The real cells.
    coefficients, intercepts
        Of the classifier: (states, components) and (states,); state 0 is the group.
    accuracy
        Balanced accuracy of the classifier on held-out real cells; chance is 1 / states.
    """

    genes: Indices
    loadings: Array
    centre: Array
    group: RealGroup
    others: RealGroup
    coefficients: Array
    intercepts: Array
    accuracy: float
    _views: dict[tuple[int, ...], View] = field(default_factory=dict, init=False, repr=False, compare=False)

    @property
    def states(self) -> int:
        """How many groups the classifier tells apart."""
        return len(self.intercepts)

    def restricted_to(self, genes: Indices) -> StateSpace:
        """Return the space for a table that has only some of the model's genes, those of the space among them."""
        return replace(self, genes=np.searchsorted(genes, self.genes))

    def place(self, counts: sp.csr_matrix, depth: Array, shards: int) -> PlacedCells:
        """Place drawn cells: ``counts`` is (cells, genes of the model), ``depth`` (cells,)."""
        # A null keeps the cells of all its groups, so they are kept small.
        values = log1p_per_10k(counts, depth)[:, self.genes].astype(np.float32)
        return PlacedCells(values.tocsc(), self._points(values), shards)

    def points(self, placed: PlacedCells, left_out: Sequence[int] = ()) -> Array:
        """Return the components of drawn cells without some genes of the space, (cells, components)."""
        points = placed.points
        for gene in left_out:
            values = placed.values[:, [gene]].toarray().ravel() - self.centre[gene]
            points = points - np.outer(values, self.loadings[gene])
        return points

    def in_group(self, points: Array) -> Mask:
        """Tell which cells the classifier takes for cells of the group, (cells,)."""
        return np.asarray((points @ self.coefficients.T + self.intercepts).argmax(axis=1) == 0)

    def view(self, left_out: Sequence[int] = ()) -> View:
        """Return the space without some of its genes, given by their place among :attr:`genes`."""
        key = tuple(left_out)
        if key not in self._views:
            if len(self._views) >= _KEPT_VIEWS:  # a screen leaves out another target in every row
                self._views.clear()
            self._views[key] = self._view(np.array(key, dtype=np.int64))
        return self._views[key]

    def _view(self, left_out: Indices) -> View:
        loadings = self.loadings.copy()
        loadings[left_out] = 0.0
        reference, start = (self._points(group.values, loadings) for group in (self.group, self.others))
        spread = _within(reference, self.group.weights)
        across = float(self.others.weights @ cdist(start, reference) @ self.group.weights)
        return View(
            reference=reference,
            weights=self.group.weights,
            origin=(self.others.mean - self.centre) @ loadings,
            way=(self.group.mean - self.others.mean) @ loadings,
            separation=2.0 * across - _within(start, self.others.weights) - spread,
            spread=spread,
        )

    def _points(self, values: sp.csr_matrix, loadings: Array | None = None) -> Array:
        used = self.loadings if loadings is None else loadings
        return np.asarray(values @ used - self.centre @ used)


def log1p_per_10k(counts: sp.csr_matrix, depth: Array) -> sp.csr_matrix:
    """Return log1p counts per 10k, (cells, genes) CSR."""
    return (sp.diags(1e4 / depth) @ counts).log1p().tocsr()


def _within(points: Array, weights: Array) -> float:
    """Return the mean distance of two different cells, weighted."""
    return float(weights @ cdist(points, points) @ weights) / (1.0 - float(np.square(weights).sum()))


def fit_state_space(
    cells: Cells, group: Mask, others: Sequence[Mask], genes: Sequence[str], depths: Array
) -> StateSpace:
    """Make the space of some groups of real cells.

    Parameters
    ----------
    cells
        All real cells.
    group, others
        Masks of the group and of one or more others, (cells,).
    genes
        The model's genes; those that the cells don't have are no part of the space.
    depths
        Depths of the controls of the context, (controls,).

    Raises
    ------
    UnusableCells
        If groups share cells, or have too few of them at these depths, or no gene in common with the model.
    """
    if not len(depths):
        raise UnusableCells(f"{cells.source}: the model has no depths of control cells to compare these cells at")
    if any((group & other).any() for other in others):
        raise UnusableCells(f"{cells.source}: a cell is in `group` and in what it is held against; make them disjoint")
    position = {gene: place for place, gene in enumerate(cells.genes)}
    shared = np.array([place for place, gene in enumerate(genes) if gene in position], dtype=np.int64)
    if len(shared) < 2:
        raise UnusableCells(
            f"{cells.source}: shares {len(shared)} genes with the model and 2 at least are needed; are the names of"
            " one kind?"
        )
    theirs = [position[genes[place]] for place in shared]
    chosen = [_chosen(cells, mask, depths, theirs) for mask in (group, *others)]
    start = RealGroup(
        sp.vstack([each.values for each in chosen[1:]]).tocsr(),
        np.concatenate([each.weights for each in chosen[1:]]) / len(others),
    )
    kept = _variable(chosen[0], start)
    target, start = (RealGroup(each.values[:, kept], each.weights) for each in (chosen[0], start))
    loadings, centre = _components(target, start)
    labels = np.repeat(np.arange(len(chosen)), [len(each.weights) for each in chosen])
    values = sp.vstack([target.values, start.values]).tocsr()
    weights = np.concatenate([each.weights * len(each.weights) for each in chosen])
    coefficients, intercepts, accuracy = _classifier(np.asarray(values @ loadings - centre @ loadings), labels, weights)
    return StateSpace(shared[kept], loadings, centre, target, start, coefficients, intercepts, accuracy)


def _chosen(cells: Cells, group: Mask, depths: Array, genes: Sequence[int]) -> RealGroup:
    """Pick the cells of a group that have depths of the controls, and weigh the strata of depth alike."""
    eligible = np.flatnonzero(group & (cells.depth >= depths.min()) & (cells.depth <= depths.max()))
    if len(eligible) < FEWEST_CELLS:
        reason = f"{int(group.sum())} cells"
        if group.sum() >= FEWEST_CELLS:
            reason += (
                f" (median depth {np.median(cells.depth[group]):.0f}), and {len(eligible)} of them at depths that the"
                f" model's control cells have ({depths.min():.0f} to {depths.max():.0f})"
            )
        raise UnusableCells(f"{cells.source}: a group has {reason}; at least {FEWEST_CELLS} are needed")
    rows = np.sort(np.random.default_rng(0).permutation(eligible)[:MOST_CELLS])
    values = log1p_per_10k(cells.counts[rows].astype(np.float64), cells.depth[rows])[:, genes]
    return RealGroup(values, depth_weights(cells.depth[rows], depths))


def depth_weights(depth: Array, depths: Array) -> Array:
    """Weigh cells so that every stratum between quantiles of other cells' depths counts the same, (cells,).

    Strata without a cell are left out; the weights sum to 1.
    """
    strata = int(np.clip(len(depth) // CELLS_PER_STRATUM, 1, MOST_STRATA))
    edges = np.quantile(depths, np.linspace(0, 1, strata + 1))[1:-1]
    stratum = np.searchsorted(edges, depth)
    sizes = np.bincount(stratum, minlength=strata)
    return np.asarray(1.0 / (sizes[stratum] * np.count_nonzero(sizes)))


def _variable(group: RealGroup, others: RealGroup) -> Indices:
    """Return the genes whose values vary most over both groups, ascending."""
    mean = 0.5 * (group.mean + others.mean)
    square = 0.5 * sum(np.asarray(each.values.multiply(each.values).T @ each.weights) for each in (group, others))
    variance = square - mean**2
    order = np.argsort(-variance, kind="stable")[:VARIABLE_GENES]
    return np.sort(order[variance[order] > 1e-12])


def _components(group: RealGroup, others: RealGroup) -> tuple[Array, Array]:
    """Return loadings, (genes, components), and centre, (genes,), of weighted cells; both groups weigh the same."""
    centre = 0.5 * (group.mean + others.mean)
    values = sp.vstack([group.values, others.values]).toarray() - centre
    matrix = values * np.sqrt(np.concatenate([group.weights, others.weights]) / 2)[:, None]
    if min(matrix.shape) - 1 > COMPONENTS:
        _, sizes, right = leading_factors(aslinearoperator(matrix), COMPONENTS)
    else:
        _, sizes, right = np.linalg.svd(matrix, full_matrices=False)
    return right[:COMPONENTS][sizes[:COMPONENTS] > NEGLIGIBLE * sizes[0]].T, centre


def _classifier(points: Array, labels: Indices, weights: Array) -> tuple[Array, Array, float]:
    """Fit logistic regression: coefficients, (states, components), intercepts, (states,), and held-out accuracy."""
    from sklearn.linear_model import LogisticRegression
    from sklearn.metrics import balanced_accuracy_score
    from sklearn.model_selection import StratifiedKFold

    found = np.empty_like(labels)
    # Groups of other sizes count the same: the share in a state must not depend on how many real cells there were.
    balanced = weights * len(labels) / (np.bincount(labels)[labels] * (labels.max() + 1))
    for train, test in StratifiedKFold(FOLDS, shuffle=True, random_state=0).split(points, labels):
        model = LogisticRegression(max_iter=1000).fit(points[train], labels[train], balanced[train])
        found[test] = model.predict(points[test])
    model = LogisticRegression(max_iter=1000).fit(points, labels, balanced)
    coefficients, intercepts = np.asarray(model.coef_), np.asarray(model.intercept_)
    if len(coefficients) == 1:  # of two states scikit-learn gives the second's score against the first
        coefficients = np.concatenate([np.zeros_like(coefficients), coefficients])
        intercepts = np.concatenate([np.zeros(1), intercepts])
    return coefficients, intercepts, float(balanced_accuracy_score(labels, found))
