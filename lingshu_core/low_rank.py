"""Wide tables of features, reduced to their principal components."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import numpy.typing as npt
import scipy.sparse as sp
from scipy.sparse.linalg import LinearOperator, svds

Array = npt.NDArray[np.float64]

NEGLIGIBLE = 1e-8
"""Components with a singular value below this share of the largest are rounding."""


def principal_scores(matrix: Array | sp.csr_matrix, dimensions: int) -> Array:
    """Project rows on the leading principal components of a table.

    The columns are centred, a sparse table without becoming dense. The same table gives the same result: the
    iteration starts from a fixed vector, and the sign of a component makes its largest entry positive.

    Parameters
    ----------
    matrix
        (rows, columns), dense or sparse.
    dimensions
        How many components to keep at most.

    Returns
    -------
    numpy.ndarray
        (rows, components), as many components as the table has and no more than `dimensions`. None at all where all
        rows are equal.
    """
    if dimensions < min(matrix.shape) - 1:
        left, values, _ = leading_factors(centred(matrix), dimensions)
    else:
        dense = np.asarray(matrix.toarray() if isinstance(matrix, sp.csr_matrix) else matrix, dtype=float)
        left, values, _ = np.linalg.svd(dense - dense.mean(axis=0), full_matrices=False)
    kept = values > NEGLIGIBLE * max(float(values.max(initial=0.0)), NEGLIGIBLE)
    return _with_fixed_signs(left[:, kept] * values[kept])[:, :dimensions]


def leading_factors(operator: LinearOperator, components: int) -> tuple[Array, Array, Array]:
    """Find the leading singular vectors and values, largest first: (rows, k), (k,) and (k, columns)."""
    start = np.random.default_rng(0).standard_normal(min(operator.shape))
    left, values, right = svds(operator, k=components, v0=start, solver="arpack")
    order = np.argsort(-values, kind="stable")
    return left[:, order], values[order], right[order]


def centred(matrix: Array | sp.csr_matrix) -> LinearOperator:
    """Subtract the mean of each column, as an operator."""
    rows = matrix.shape[0]
    mean = np.asarray(matrix.mean(axis=0)).ravel()
    return operator_of(
        (rows, matrix.shape[1]),
        lambda right: matrix @ right - mean @ right,
        lambda left: matrix.T @ left - mean * left.sum(),
    )


def operator_of(
    shape: tuple[int, int], forward: Callable[[Array], Array], back: Callable[[Array], Array]
) -> LinearOperator:
    """Make a linear operator from its products with one vector, from the right and transposed."""
    return LinearOperator(
        shape, matvec=lambda vector: forward(vector.ravel()), rmatvec=lambda vector: back(vector.ravel()), dtype=float
    )


def _with_fixed_signs(scores: Array) -> Array:
    if not scores.size:
        return scores
    largest = np.abs(scores).argmax(axis=0)
    signs: Array = np.sign(scores[largest, np.arange(scores.shape[1])])
    return scores * signs
