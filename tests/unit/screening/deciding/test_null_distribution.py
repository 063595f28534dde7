import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from screening.deciding.null_distribution import MOST_FREEDOM, NullDistribution, freedom

scores = st.lists(st.floats(-3, 3, width=32), min_size=20, max_size=40).filter(lambda s: np.ptp(s) > 0.01)


def null_of(values: object, cells: object = 30.0) -> NullDistribution:
    array = np.asarray(values, dtype=float)
    found = NullDistribution.of(array, np.broadcast_to(np.asarray(cells, dtype=float), array.shape))
    assert found is not None
    return found


def test_fewer_than_two_blocks_are_no_null() -> None:
    assert NullDistribution.of(np.array([]), np.array([])) is None
    assert NullDistribution.of(np.array([0.1]), np.array([9.0])) is None


def test_equal_blocks_have_no_spread() -> None:
    null = null_of(np.full(20, 0.3))
    assert null.sd_of([30]) == null.minimum_effect([30]) == null.sd == 0.0
    assert len(null.standardised(np.full(20, 0.3), np.full(20, 30.0))) == 0


@given(values=scores, random=st.randoms(use_true_random=False))
def test_the_order_of_blocks_has_no_part(values: list[float], random: object) -> None:
    order = list(range(len(values)))
    random.shuffle(order)  # type: ignore[attr-defined]
    sizes = np.arange(5, 5 + len(values))
    one, other = null_of(values, sizes), null_of(np.array(values)[order], sizes[order])
    assert one.centre == pytest.approx(other.centre)
    assert one.sd_of([12]) == pytest.approx(other.sd_of([12]), rel=1e-4)


@given(values=scores, factor=st.floats(0.01, 100))
def test_the_unit_of_scores_has_no_part(values: list[float], factor: float) -> None:
    sizes = np.arange(5, 5 + len(values))
    one, other = null_of(values, sizes), null_of(np.array(values) * factor, sizes)
    assert other.sd_of([9, 40]) == pytest.approx(factor * one.sd_of([9, 40]), rel=1e-4)


def test_the_spread_goes_with_the_cells() -> None:
    sizes = np.geomspace(4, 400, 300)
    draws = np.random.default_rng(2).normal(0.5, np.sqrt(20 / sizes))
    null = null_of(draws, sizes)
    assert null.slope == pytest.approx(-1, abs=0.15)
    for cells in (5, 20, 300):
        assert null.variance(cells) == pytest.approx(20 / cells, rel=0.4)
    assert null.variance(1) == pytest.approx(null.variance(4))
    assert null.variance(9000) == pytest.approx(null.variance(400))
    assert null.standardised(draws, sizes).std() == pytest.approx(1, abs=0.1)


def test_one_in_twenty_of_nothing_is_above_the_minimum_effect() -> None:
    random, above = np.random.default_rng(4), 0
    for _ in range(1500):
        null = null_of(random.normal(2, 3, 20))
        above += random.normal(2, 3) - null.centre > null.minimum_effect([30])
    # Fewer degrees of freedom than the blocks have make it somewhat fewer.
    assert stats.binom.ppf(0.001, 1500, 0.03) < above < stats.binom.ppf(0.999, 1500, 0.05)


def test_a_combination_is_as_noisy_as_its_parts_together() -> None:
    random = np.random.default_rng(5)
    single, double = random.normal(0.2, 1, 4000), random.normal(0.2, 1, (4000, 2)).sum(axis=1)
    null, expected = null_of(single), null_of(double)
    assert null.centre_of(2) == pytest.approx(expected.centre, abs=0.1)
    assert null.sd_of([30, 30]) == pytest.approx(expected.sd_of([30]), rel=0.05)


def test_degrees_of_freedom_are_few() -> None:
    assert [freedom(blocks) for blocks in (2, 3, 8, 12, 5000)] == [1, 1, 6, MOST_FREEDOM, MOST_FREEDOM]


def test_a_null_of_equal_counts_has_the_spread_that_counts_have() -> None:
    null = NullDistribution.of(np.zeros(20), np.full(20, 30.0), 0.1)
    assert null is not None
    assert null.has_spread
    assert null.sd_of([30.0]) == pytest.approx(0.1 * np.sqrt(1 + 1 / 20))
    assert null.standardised(np.zeros(20), np.full(20, 30.0)).tolist() == [0.0] * 20
    without = NullDistribution.of(np.zeros(20), np.full(20, 30.0))
    assert without is not None
    assert not without.has_spread
