"""Genes described by which others they go up and down with, in control cells of the training data."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import scipy.sparse as sp

from lingshu_core.cells import Cells
from lingshu_core.errors import FeatureError
from lingshu_core.feature_files import NamedVectors
from lingshu_core.low_rank import leading_factors, operator_of
from lingshu_core.perturbation_features import DEFAULT_DIMENSIONS

Array = npt.NDArray[np.float64]

MIN_CELLS = 5
"""A gene seen in fewer control cells has correlations of chance only."""


def co_expression_vectors(cells: Cells, dimensions: int = DEFAULT_DIMENSIONS) -> NamedVectors:
    """Compute the loadings of genes on the principal components of control cells.

    Expression is ``log1p counts per 10k``, centred within each context, so that differences between cell types don't
    count, and scaled to variance 1 for each gene. The inner product of two genes' loadings is then their correlation
    within contexts, as far as the components kept can tell it.

    Parameters
    ----------
    cells
        The training cells; perturbed ones are not looked at. Of cells that are on disk an even sample counts.
    dimensions
        Components to keep at most.

    Returns
    -------
    NamedVectors
        The genes seen in at least `MIN_CELLS` control cells, in the order of the panel.

    Raises
    ------
    FeatureError
        If fewer than three genes or control cells are left.
    """
    held = cells.counted()
    controls = held.select(held.is_control)
    expression = sp.csr_matrix(sp.diags(1e4 / controls.depth) @ controls.counts).log1p()
    contexts = _context_indicator(controls)
    means = sp.diags(1.0 / np.asarray(contexts.sum(axis=0)).ravel()) @ (contexts.T @ expression).toarray()
    # Within-context sum of squares: of the values, less that of the means.
    sizes = np.asarray(contexts.sum(axis=0)).ravel()
    squares = np.asarray(expression.multiply(expression).sum(axis=0)).ravel() - sizes @ np.square(means)
    seen = np.asarray((expression > 0).sum(axis=0)).ravel()
    keep = (seen >= MIN_CELLS) & (squares > 1e-9 * seen)
    if keep.sum() < 3 or len(controls) < 3:
        raise FeatureError(
            f"{cells.source}: co_expression needs genes that vary among control cells; {int(keep.sum())} genes are seen"
            f" in {MIN_CELLS} or more of the {len(controls)} control cells"
        )
    loadings = _loadings(expression[:, keep], contexts, means[:, keep], np.sqrt(squares[keep]), dimensions)
    return NamedVectors(tuple(gene for gene, kept in zip(cells.genes, keep, strict=True) if kept), loadings)


def _context_indicator(controls: Cells) -> sp.csr_matrix:
    """Which control cell is of which context, (cells, contexts)."""
    roles = list(controls.context_roles)
    group = controls.obs.groupby(roles, sort=True).ngroup().to_numpy() if roles else np.zeros(len(controls), dtype=int)
    ones = np.ones(len(controls))
    return sp.csr_matrix((ones, (np.arange(len(controls)), group)), shape=(len(controls), int(group.max()) + 1))


def _loadings(expression: sp.csr_matrix, contexts: sp.csr_matrix, means: Array, norms: Array, dimensions: int) -> Array:
    """Loadings (genes, components) of the centred and scaled cells, which are never made dense."""
    cells, genes = expression.shape
    standard = operator_of(
        (cells, genes),
        lambda right: expression @ (right / norms) - contexts @ (means @ (right / norms)),
        lambda left: (expression.T @ left - means.T @ (contexts.T @ left)) / norms,
    )
    _, values, right = leading_factors(standard, min(dimensions, min(cells, genes) - 1))
    loadings = right.T * values
    signs = np.sign(loadings[np.abs(loadings).argmax(axis=0), np.arange(loadings.shape[1])])
    return loadings * np.where(signs == 0, 1.0, signs)
