from __future__ import annotations

import numpy as np
import pytest
from scipy.stats import binom

from lingshu_core.sequencing import (
    MAX_DEPTH,
    MIN_DEPTH,
    ExpectationTable,
    LibrarySizes,
    add_noise,
    draw_counts,
    draw_noise,
    expected_log_counts,
)


@pytest.mark.parametrize("mean", [1e-4, 0.05, 1.0, 12.0, 47.9, 48.1, 300.0])
@pytest.mark.parametrize("depth", [400, 2_000, 9_000])
def test_expected_log_counts_are_those_of_the_binomial(mean: float, depth: int) -> None:
    counts = np.arange(depth + 1)
    exact = binom.pmf(counts, depth, mean / depth) @ np.log1p(1e4 * counts / depth)
    tolerance = 1e-9 if mean < 48 else 1e-3
    assert expected_log_counts(np.array([mean]), depth)[0] == pytest.approx(exact, abs=tolerance)


def test_the_table_interpolates_the_expectations() -> None:
    depths = np.array([500, 2_000, 4_000, 2_000])
    shares = np.exp(np.random.default_rng(0).uniform(np.log(1e-7), np.log(0.2), size=(4, 50)))
    found = ExpectationTable(depths)(shares, depths)
    exact = np.stack([expected_log_counts(row * depth, int(depth)) for row, depth in zip(shares, depths, strict=True)])
    np.testing.assert_allclose(found, exact, atol=1e-3)


def test_counts_sum_to_the_library_size() -> None:
    rng = np.random.default_rng(1)
    shares = rng.dirichlet(np.ones(30), size=50)
    depths = rng.integers(100, 3_000, size=50)
    counts = draw_counts(shares, depths, rng)
    assert counts.dtype == np.uint16
    assert counts.format == "csr"
    np.testing.assert_array_equal(np.asarray(counts.sum(axis=1)).ravel(), depths)


def test_library_sizes_follow_the_median_of_the_cell_type_within_limits() -> None:
    sizes = LibrarySizes(np.array([1_000.0, 3_000.0]), 0.4)
    cell_type = np.repeat([0, 1], 4_000)
    drawn = sizes.draw(cell_type, np.random.default_rng(2))
    for index, median in enumerate([1_000, 3_000]):
        assert np.median(drawn[cell_type == index]) == pytest.approx(median, rel=0.03)
        assert np.log(drawn[cell_type == index]).std() == pytest.approx(0.4, rel=0.05)
    assert sizes.quantile(0, np.array([0.5]))[0] == 1_000
    extreme = LibrarySizes(np.array([20_000.0]), 1.0).quantile(0, np.array([1e-12, 1 - 1e-12]))
    assert extreme.tolist() == [MIN_DEPTH, MAX_DEPTH]


def test_noise_is_gamma_and_leaves_shares() -> None:
    shares = np.full((2_000, 40), 1 / 40)
    noise = draw_noise(shares, 0.2, np.random.default_rng(3))
    assert noise.mean() == pytest.approx(1.0, abs=0.01)
    assert noise.var() == pytest.approx(0.2, rel=0.05)
    np.testing.assert_allclose(add_noise(shares, noise).sum(axis=1), 1.0)
