import numpy as np
import numpy.typing as npt
import pytest
import scipy.sparse as sp
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.decomposition import PCA
from sklearn.linear_model import Ridge
from sklearn.metrics import roc_auc_score

from lingshu_core.gate_statistics import (
    COMPONENTS,
    FOLDS,
    RIDGE,
    STATISTICS,
    Pool,
    area_of,
    correlation_error,
    discriminability,
    held_out_scores,
    principal_components,
    squared_distances,
)

GENES = 50


def some_cells(seed: int, cells: int = 30, shift: float = 1.0) -> sp.csr_matrix:
    random = np.random.default_rng(seed)
    rate = np.geomspace(0.2, 9.0, GENES) * random.lognormal(sigma=0.3, size=(cells, 1))
    rate[:, ::5] *= shift
    return sp.csr_matrix(random.poisson(rate).astype(np.int32))


def place(name: str) -> int:
    return STATISTICS.index(name)


def test_the_mmd_is_the_unbiased_estimate() -> None:
    pool = Pool.of(some_cells(0), some_cells(1, shift=2.0))
    k, kernel = pool.pairs, pool.kernel
    own = [kernel[rows][:, rows].sum() - k for rows in (slice(0, k), slice(k, 2 * k))]
    squared = sum(own) / (k * (k - 1)) - 2 * kernel[:k, k:].mean()
    assert pool.distances()[0, place("mmd")] == pytest.approx(np.sqrt(squared))


@settings(max_examples=15)
@given(st.integers(0, 1000))
def test_exchanging_pairs_is_the_same_as_making_the_pool_of_exchanged_cells(seed: int) -> None:
    first, second = some_cells(seed), some_cells(seed + 1, shift=1.5)
    sign = np.random.default_rng(seed).choice([-1.0, 1.0], 30)
    stays = (sign > 0)[:, None]
    both = [each.toarray() for each in (first, second)]
    exchanged = Pool.of(*(sp.csr_matrix(np.where(stays, own, other)) for own, other in (both, both[::-1])))
    there = Pool.of(first, second).distances(sign[None, :])[0]
    assert there == pytest.approx(exchanged.distances()[0], rel=1e-6, abs=1e-9)


def test_distances_are_symmetric_and_grow_with_the_difference() -> None:
    near, far = (Pool.of(some_cells(0), some_cells(1, shift=shift)).distances()[0] for shift in (1.0, 4.0))
    back = Pool.of(some_cells(1, shift=4.0), some_cells(0)).distances()[0]
    assert far[place("classifier")] > near[place("classifier")] + 1
    assert far[place("mmd")] > near[place("mmd")] + 0.2
    assert far == pytest.approx(back, rel=1e-6, abs=1e-9)


def test_scores_are_those_of_ridge_regression_on_the_other_folds() -> None:
    random = np.random.default_rng(0)
    features, labels = random.normal(size=(24, 5)), np.r_[np.ones(12), -np.ones(12)]
    found = held_out_scores(features, 12) @ labels
    fold = np.tile(np.arange(12) % FOLDS, 2)
    for held in range(FOLDS):
        ridge = Ridge(alpha=RIDGE * 5, fit_intercept=False).fit(features[fold != held], labels[fold != held])
        assert found[fold == held] == pytest.approx(ridge.predict(features[fold == held]))


def test_a_cell_is_not_scored_by_its_own_label() -> None:
    scores = held_out_scores(np.random.default_rng(0).normal(size=(20, 4)), 10)
    assert np.diag(scores) == pytest.approx(0.0)
    assert scores[np.arange(10), np.arange(10) + 10] == pytest.approx(0.0)


def test_the_classifier_is_the_area_under_the_curve_on_another_scale() -> None:
    pool = Pool.of(some_cells(0), some_cells(1, shift=1.5))
    labels = np.r_[np.ones(30), -np.ones(30)]
    area = roc_auc_score(labels, pool.scores @ labels)
    assert area_of(pool.distances()[0, place("classifier")]) == pytest.approx(area)


@given(st.floats(0.01, 0.99))
def test_discriminability_and_area_belong_together(area: float) -> None:
    assert area_of(float(discriminability(np.array([area]), 100)[0])) == pytest.approx(area)


def test_two_normal_clouds_are_as_many_deviations_apart_as_they_say() -> None:
    random = np.random.default_rng(0)
    apart, near = random.normal(1.5, 1, 40_000), random.normal(0, 1, 40_000)
    area = roc_auc_score(np.r_[np.ones(40_000), np.zeros(40_000)], np.r_[apart, near])
    assert discriminability(np.array([area]), 40_000)[0] == pytest.approx(1.5, abs=0.03)


def test_components_span_what_a_full_analysis_finds() -> None:
    values = np.random.default_rng(0).normal(size=(40, 200)) * np.geomspace(5, 0.1, 200)
    found, whole = principal_components(values), PCA(COMPONENTS).fit_transform(values)
    assert squared_distances(found) == pytest.approx(squared_distances(whole), rel=1e-6, abs=1e-8)


def test_correlations_of_constant_genes_are_nothing() -> None:
    random = np.random.default_rng(0)
    first: npt.NDArray[np.float64] = random.normal(size=(30, 4))
    second = first.copy()
    second[:, 0] = 1.0
    lost = np.corrcoef(first.T)[0, 1:]
    assert correlation_error(first, first) == 0.0
    assert correlation_error(first, second) == pytest.approx(np.sqrt(2 * np.square(lost).sum() / 12))


def test_equal_cells_are_no_distance_apart() -> None:
    cells = some_cells(0)
    found = Pool.of(cells, cells).distances()[0]
    assert found[2:] == pytest.approx(0.0, abs=1e-9)
    assert found[place("mmd")] < 0  # the unbiased estimate of nothing is below it when cells repeat


def test_empty_cells_are_no_reason_to_stop() -> None:
    empty = sp.csr_matrix((30, GENES), dtype=np.int32)
    assert np.isfinite(Pool.of(empty, empty).distances()).all()
    assert np.isfinite(Pool.of(some_cells(0), empty).distances()).all()
