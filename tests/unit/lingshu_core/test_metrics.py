from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from lingshu_core.metrics import maximum_mean_discrepancy, pearson_delta, recall_at_planted, spearman

RNG = np.random.default_rng(0)
PREDICTED, REAL = RNG.normal(size=50), RNG.normal(size=50)


def test_pearson_is_the_cosine_of_centred_effects() -> None:
    a, b = PREDICTED - PREDICTED.mean(), REAL - REAL.mean()
    assert pearson_delta(PREDICTED, REAL) == pytest.approx(a @ b / np.sqrt((a @ a) * (b @ b)))
    assert pearson_delta(3 * REAL + 2, REAL) == pytest.approx(1.0)
    assert pearson_delta(-REAL, REAL) == pytest.approx(-1.0)


def test_spearman_is_pearson_of_the_ranks() -> None:
    ranks = [np.argsort(np.argsort(values)).astype(float) for values in (PREDICTED, REAL)]
    assert spearman(PREDICTED, REAL) == pytest.approx(pearson_delta(*ranks))
    assert spearman(np.exp(REAL), REAL) == pytest.approx(1.0)
    assert spearman(np.array([1.0, 1.0, 2.0]), np.array([5.0, 5.0, 9.0])) == pytest.approx(1.0)


@pytest.mark.parametrize("correlation", [pearson_delta, spearman])
def test_a_constant_has_no_correlation(correlation: object) -> None:
    assert callable(correlation)
    assert np.isnan(correlation(np.full(5, 0.3), REAL[:5]))
    assert np.isnan(correlation(REAL[:5], np.zeros(5)))


def test_the_discrepancy_is_the_mean_over_kernels_of_all_pairs() -> None:
    first, second = RNG.normal(size=(7, 3)), RNG.normal(size=(9, 3)) + 0.5
    pooled = [*first, *second]
    squares = [float(np.sum((a - b) ** 2)) for a in pooled for b in pooled]
    width = float(np.median([square for square in squares if square > 0]))

    def mean_kernel(left: np.ndarray, right: np.ndarray) -> float:
        return float(np.mean([np.exp(-np.sum((a - b) ** 2) / width) for a in left for b in right]))

    expected = mean_kernel(first, first) + mean_kernel(second, second) - 2 * mean_kernel(first, second)
    assert maximum_mean_discrepancy(first, second) == pytest.approx(expected)


def test_the_discrepancy_is_zero_for_the_same_cells_and_grows_with_distance() -> None:
    cells = RNG.normal(size=(40, 4))
    assert maximum_mean_discrepancy(cells, cells[::-1]) == pytest.approx(0.0, abs=1e-12)
    near, far = (maximum_mean_discrepancy(cells, cells + shift) for shift in (0.3, 1.5))
    assert 0 < near < far


@given(hnp.arrays(float, st.integers(1, 20), elements=st.floats(-5, 5)), st.data())
def test_recall_counts_planted_hits_among_the_highest_scores(scores: np.ndarray, data: st.DataObject) -> None:
    planted = np.array(data.draw(st.lists(st.booleans(), min_size=len(scores), max_size=len(scores))))
    if planted.any():
        assert recall_at_planted(scores + 100 * planted, planted) == 1.0
        if 2 * planted.sum() <= len(planted):
            assert recall_at_planted(scores - 100 * planted, planted) == 0.0


def test_half_of_the_planted_hits() -> None:
    assert recall_at_planted(np.array([5.0, 4.0, 3.0, 2.0]), np.array([True, False, True, False])) == 0.5
