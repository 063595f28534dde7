import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from screening.answers.meta_analysis import meta_analysis

SIZES = st.integers(2, 6)


def test_a_case_computed_by_hand() -> None:
    # y = 1, 2, 6 and v = 1, 1, 1: mean 3, Q = 4 + 1 + 9 = 14, C = 3 - 3/3 = 2, τ² = (14 - 2) / 2 = 6,
    # I² = 12/14; weights 1/7 each, so μ = 3 and its variance 7/3; a new context: t of 1 degree is 6.314.
    found = meta_analysis(np.array([[1.0, 2.0, 6.0]]), np.ones((1, 3)))
    assert found.q[0] == pytest.approx(14.0)
    assert found.tau_squared[0] == pytest.approx(6.0)
    assert found.i_squared[0] == pytest.approx(12 / 14)
    assert found.q_p[0] == pytest.approx(np.exp(-7.0))  # χ² of 2 degrees
    assert found.effect[0] == pytest.approx(3.0)
    assert found.error[0] == pytest.approx(np.sqrt(7 / 3))
    assert found.high[0] - 3.0 == pytest.approx(1.6448536 * np.sqrt(7 / 3))
    assert found.prediction_high[0] - 3.0 == pytest.approx(6.3137515 * np.sqrt(6 + 7 / 3))


def test_unequal_variances_by_hand() -> None:
    # weights 1 and 1/4: mean (0·1 + 5/4) / (5/4) = 1, Q = 1 + 16/4 = 5, C = 5/4 - (17/16)/(5/4) = 0.4, τ² = 10.
    found = meta_analysis(np.array([[0.0, 5.0]]), np.array([[1.0, 4.0]]))
    assert found.q[0] == pytest.approx(5.0)
    assert found.tau_squared[0] == pytest.approx(10.0)
    assert found.effect[0] == pytest.approx((5 / 14) / (1 / 11 + 1 / 14))
    assert np.isnan(found.prediction_low[0])  # two contexts don't tell how a third one will be


def test_noise_that_contexts_share_does_not_average_out() -> None:
    effects = np.array([[1.0, 1.1, 0.9, 1.0]])
    alone = meta_analysis(effects, np.full((1, 4), 0.04))
    shared = meta_analysis(effects, np.full((1, 4), 0.04), lambda weights: 0.04 * weights.sum(axis=1) ** 2)
    assert alone.error[0] == pytest.approx(0.1)
    assert shared.error[0] == pytest.approx(0.2)
    assert shared.effect == pytest.approx(alone.effect)


def test_one_context_and_none() -> None:
    found = meta_analysis(np.array([[0.5, np.nan], [np.nan, np.nan]]), np.array([[0.01, np.nan], [np.nan, np.nan]]))
    assert found.number.tolist() == [1, 0]
    assert found.effect[0] == pytest.approx(0.5)
    assert found.error[0] == pytest.approx(0.1)
    assert np.isnan(found.effect[1])
    assert np.isnan(found.error[1])
    assert np.isnan(found.i_squared).all()


@given(
    SIZES.flatmap(
        lambda k: st.tuples(
            arrays(float, (3, k), elements=st.floats(-5, 5)),
            arrays(float, (3, k), elements=st.floats(0.01, 4)),
            st.permutations(range(k)),
        )
    )
)
def test_shares_are_shares_and_the_order_of_contexts_changes_nothing(
    case: tuple[np.ndarray, np.ndarray, list[int]],
) -> None:
    effects, variances, order = case
    found, turned = meta_analysis(effects, variances), meta_analysis(effects[:, order], variances[:, order])
    assert ((found.i_squared >= 0) & (found.i_squared <= 1)).all()
    assert (found.tau_squared >= 0).all()
    assert (found.low <= found.effect).all()
    for name in ("effect", "error", "tau_squared", "i_squared"):
        assert getattr(turned, name) == pytest.approx(getattr(found, name), abs=1e-6)


def test_intervals_of_the_mean_cover_what_they_say() -> None:
    random = np.random.default_rng(0)
    truth = random.normal(0.3, 0.2, (4000, 12))
    found = meta_analysis(truth + random.normal(0, 0.1, truth.shape), np.full(truth.shape, 0.01))
    covered = ((found.low <= 0.3) & (found.high >= 0.3)).mean()
    new = random.normal(0.3, 0.2, 4000)
    predicted = ((found.prediction_low <= new) & (new <= found.prediction_high)).mean()
    assert covered == pytest.approx(0.9, abs=0.04)
    assert predicted == pytest.approx(0.9, abs=0.02)
    assert found.tau_squared.mean() == pytest.approx(0.04, rel=0.05)
