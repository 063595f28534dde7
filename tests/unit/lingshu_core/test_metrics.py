from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from lingshu_core.metrics import (
    discrepancy_test,
    discrimination,
    energy_distance,
    maximum_mean_discrepancy,
    pearson_delta,
    recall_at_planted,
    replicate_scaled,
    spearman,
)

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


def test_a_scale_runs_from_the_baseline_to_the_replicate() -> None:
    assert replicate_scaled(0.5, 0.5, 0.9) == 0.0
    assert replicate_scaled(0.9, 0.5, 0.9) == pytest.approx(1.0)
    assert replicate_scaled(0.25, 1.0, 0.5) == pytest.approx(1.5)  # an error, and better than the replicate
    assert replicate_scaled(2.0, 1.0, 0.5) == pytest.approx(-2.0)


@pytest.mark.parametrize("replicate", [0.7, float("nan"), float("inf")])
def test_without_headroom_there_is_no_scale(replicate: float) -> None:
    assert np.isnan(replicate_scaled(0.9, 0.7, replicate))


def test_energy_distance_by_hand() -> None:
    first, second = np.array([[0.0], [2.0]]), np.array([[1.0], [5.0]])
    # between: |0-1| + |0-5| + |2-1| + |2-5| = 10, a fourth of it; within: 2 and 4
    assert energy_distance(first, second) == pytest.approx(2 * 10 / 4 - 2 - 4)


def test_energy_distance_is_unbiased_whatever_the_sizes() -> None:
    rng = np.random.default_rng(3)
    for size in (10, 200):
        found = [energy_distance(rng.normal(size=(size, 3)), rng.normal(size=(40, 3))) for _ in range(200)]
        assert np.mean(found) == pytest.approx(0.0, abs=3 * np.std(found) / np.sqrt(200))
    assert energy_distance(rng.normal(size=(50, 3)), rng.normal(size=(50, 3)) + 1.0) > 0.5


def test_the_permutation_test_has_the_discrepancy_and_its_size() -> None:
    rng = np.random.default_rng(4)
    first, second = rng.normal(size=(30, 2)), rng.normal(size=(25, 2))
    assert discrepancy_test(first, second)[0] == pytest.approx(maximum_mean_discrepancy(first, second))
    assert discrepancy_test(first, second + 3.0, permutations=99)[1] == pytest.approx(0.01)
    chances = [discrepancy_test(rng.normal(size=(15, 2)), rng.normal(size=(15, 2)), 39)[1] for _ in range(200)]
    assert np.mean(np.array(chances) <= 0.1) == pytest.approx(0.1, abs=0.07)


@pytest.mark.parametrize("distance", ["l1", "cosine"])
def test_effects_told_apart_by_hand(distance: str) -> None:
    real = np.array([[1.0, 0.0, 0.0], [0.0, 1.0, 0.0], [0.0, 0.0, 1.0]])
    assert discrimination(real, real, np.arange(3), distance).tolist() == [1.0, 1.0, 1.0]
    assert discrimination(real[[1, 2, 0]], real, np.arange(3), distance).tolist() == [0.25, 0.25, 0.25]
    nothing = np.zeros((3, 3))
    assert discrimination(nothing, real, np.arange(3), distance).tolist() == [0.5, 0.5, 0.5]


@given(st.integers(0, 2**32 - 1), st.sampled_from(["l1", "cosine"]))
def test_one_prediction_for_all_tells_nothing_apart(seed: int, distance: str) -> None:
    rng = np.random.default_rng(seed)
    real = rng.normal(size=(7, 12))
    same = np.tile(rng.normal(size=12), (7, 1))
    assert discrimination(same, real, np.arange(7), distance).mean() == pytest.approx(0.5)


@given(st.integers(0, 2**32 - 1), st.floats(0.01, 100.0))
def test_direction_is_told_apart_whatever_the_size(seed: int, factor: float) -> None:
    rng = np.random.default_rng(seed)
    real, guess = rng.normal(size=(6, 10)), rng.normal(size=(6, 10))
    plain = discrimination(guess, real, np.arange(6), "cosine")
    assert discrimination(factor * guess, real, np.arange(6), "cosine") == pytest.approx(plain)
