from __future__ import annotations

import numpy as np
import pytest
import scipy.sparse as sp
from hypothesis import given
from hypothesis import strategies as st

from lingshu_core.low_rank import principal_scores


@pytest.fixture
def table() -> np.ndarray:
    rng = np.random.default_rng(1)
    return rng.normal(size=(40, 5)) @ rng.normal(size=(5, 30)) + 3.0


def test_components_give_the_distances_between_rows(table: np.ndarray) -> None:
    scores = principal_scores(table, 10)
    assert scores.shape == (40, 5)  # the table's rank
    centred = table - table.mean(axis=0)
    np.testing.assert_allclose(scores @ scores.T, centred @ centred.T, atol=1e-8)


def test_a_sparse_table_gives_what_a_dense_one_gives(table: np.ndarray) -> None:
    thinned = np.where(np.random.default_rng(2).random(table.shape) < 0.3, table, 0.0)
    np.testing.assert_allclose(principal_scores(sp.csr_matrix(thinned), 4), principal_scores(thinned, 4), atol=1e-8)


@given(seed=st.integers(0, 50), dimensions=st.integers(1, 12))
def test_signs_are_fixed_and_results_repeat(seed: int, dimensions: int) -> None:
    table = np.random.default_rng(seed).normal(size=(9, 12))
    scores = principal_scores(table, dimensions)
    assert scores.shape == (9, min(dimensions, 8))  # centring takes one of nine dimensions
    assert (scores[np.abs(scores).argmax(axis=0), np.arange(scores.shape[1])] > 0).all()
    np.testing.assert_array_equal(scores, principal_scores(table, dimensions))
    np.testing.assert_allclose(np.abs(scores), np.abs(principal_scores(-table, dimensions)), atol=1e-6)


def test_equal_rows_have_no_component() -> None:
    assert principal_scores(np.ones((6, 4)), 3).shape == (6, 0)
