from __future__ import annotations

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
import scipy.sparse as sp

from lingshu_core.cells import Cells
from lingshu_core.co_expression import co_expression_vectors
from lingshu_core.errors import FeatureError


@pytest.fixture
def correlated() -> Cells:
    """Two groups of three genes that go up and down together within cell types; the types differ in all genes."""
    rng = np.random.default_rng(0)
    states = rng.normal(size=(600, 2))
    cell_type = np.arange(600) % 2
    log_rate = np.concatenate([np.repeat(states, 3, axis=1), np.zeros((600, 3))], axis=1) + cell_type[:, None]
    log_rate[:, 8] = -50.0  # never seen
    counts = rng.poisson(20.0 * np.exp(0.7 * log_rate))
    obs = pd.DataFrame({"perturbation": np.where(np.arange(600) < 500, "control", "X")})
    obs["cell_type"] = np.where(cell_type, "B", "T")
    return Cells(
        counts=sp.csr_matrix(counts),
        genes=tuple("abcdefghi"),
        obs=obs,
        depth=np.full(600, 5e3),
        context_roles=("cell_type",),
        control="control",
        source="cells.h5ad",
    )


def test_inner_products_are_correlations_within_contexts(correlated: Cells) -> None:
    found = co_expression_vectors(correlated)
    assert found.names == tuple("abcdefgh")
    controls = correlated.select(correlated.is_control)
    expression = np.log1p(controls.counts.toarray()[:, :8] * 1e4 / controls.depth[:, None])
    for name in ("B", "T"):
        here = (controls.obs["cell_type"] == name).to_numpy()
        expression[here] -= expression[here].mean(axis=0)
    values, vectors = np.linalg.eigh(np.corrcoef(expression.T))  # ascending; all but the least component are kept
    expected = (vectors[:, 1:] * values[1:]) @ vectors[:, 1:].T
    np.testing.assert_allclose(found.values @ found.values.T, expected, atol=1e-8)
    assert found.values[0] @ found.values[1] > 0.5
    assert abs(found.values[0] @ found.values[3]) < 0.3


def test_perturbed_cells_are_not_looked_at(correlated: Cells) -> None:
    other = correlated.counts.toarray()
    other[500:] = 1
    changed = replace(correlated, counts=sp.csr_matrix(other))
    np.testing.assert_array_equal(co_expression_vectors(correlated, 3).values, co_expression_vectors(changed, 3).values)


def test_cells_without_contexts_are_one_group(correlated: Cells) -> None:
    found = co_expression_vectors(replace(correlated, context_roles=()), 3)
    assert found.values[0] @ found.values[3] > 0.2  # the types differ in all genes


def test_controls_that_say_nothing_are_refused(correlated: Cells) -> None:
    few = correlated.select(np.arange(3))
    with pytest.raises(FeatureError, match=r"cells\.h5ad: co_expression needs genes that vary.*of the 3 control cells"):
        co_expression_vectors(few)
