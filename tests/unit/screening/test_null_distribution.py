import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from screening.null_distribution import LEAST_BLOCKS, NullDistribution

scores = st.lists(st.floats(-3, 3, width=32), min_size=LEAST_BLOCKS, max_size=40).filter(lambda s: len(set(s)) > 3)


def null_of(values: object) -> NullDistribution:
    found = NullDistribution.of(np.asarray(values, dtype=float))
    assert found is not None
    return found


def test_fewer_than_two_blocks_are_no_null() -> None:
    assert NullDistribution.of(np.array([])) is None
    assert NullDistribution.of(np.array([0.1])) is None


def test_too_few_blocks_give_no_p_value() -> None:
    values = np.random.default_rng(0).normal(size=LEAST_BLOCKS)
    assert null_of(values[1:]).p_value(9.0) is None
    assert null_of(values).p_value(9.0) is not None
    assert null_of(np.full(LEAST_BLOCKS, 0.3)).p_value(9.0) is None


@given(values=scores, low=st.floats(-5, 5), step=st.floats(0.001, 5))
def test_a_higher_score_has_a_smaller_p_value(values: list[float], low: float, step: float) -> None:
    null = null_of(values)
    lower, higher = null.p_value(low), null.p_value(low + step)
    assert lower is not None
    assert higher is not None
    assert higher <= lower


@given(values=scores, random=st.randoms(use_true_random=False))
def test_the_order_of_blocks_has_no_part(values: list[float], random: object) -> None:
    shuffled = list(values)
    random.shuffle(shuffled)  # type: ignore[attr-defined]
    one, other = null_of(values), null_of(shuffled)
    assert one.p_value(1.0) == pytest.approx(other.p_value(1.0))
    assert one.minimum_effect == pytest.approx(other.minimum_effect)


def test_one_in_twenty_of_nothing_is_above_the_minimum_effect() -> None:
    random = np.random.default_rng(4)
    above = [
        score - null.centre > null.minimum_effect
        for null, score in ((null_of(random.normal(2, 3, 20)), random.normal(2, 3)) for _ in range(4000))
    ]
    # The larger of two estimates of the spread makes it somewhat fewer.
    assert stats.binom.ppf(0.001, 4000, 0.025) < sum(above) < stats.binom.ppf(0.999, 4000, 0.05)


def test_a_combination_is_as_noisy_as_its_parts_together() -> None:
    random = np.random.default_rng(5)
    single, double = random.normal(0.2, 1, 4000), random.normal(0.2, 1, (4000, 2)).sum(axis=1)
    expected, found = null_of(double), null_of(single).of_combination(2)
    assert found.centre == pytest.approx(expected.centre, abs=0.1)
    assert found.sd == pytest.approx(expected.sd, rel=0.05)
    assert found.blocks == 4000
