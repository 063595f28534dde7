import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from screening.answers.hill_curve import REACH, SLOPES, HillCurves, fit_draws, fit_hill, flatness, monotonicity

DOSES = np.array([0.01, 0.1, 1.0, 10.0])
NUMBERS = st.floats(-1e3, 1e3, allow_nan=False)


def hill(doses: np.ndarray, emax: float, ec50: float, slope: float) -> np.ndarray:
    return emax * doses**slope / (doses**slope + ec50**slope)


@given(st.floats(0.02, 5.0), st.floats(0.6, 2.5), st.floats(0.1, 3.0), st.sampled_from([1.0, -1.0]), st.integers(5, 9))
def test_a_known_curve_is_recovered(ec50: float, slope: float, emax: float, sign: float, doses: int) -> None:
    at = np.logspace(-2.5, 1.5, doses)
    curve = fit_hill(at, hill(at, sign * emax, ec50, slope), np.full(doses, 1e-4 * emax))
    assert curve.ec50[0] == pytest.approx(ec50, rel=0.02)
    assert curve.emax[0] == pytest.approx(sign * emax, rel=0.02)
    assert curve.slope[0] == pytest.approx(slope, rel=0.05)


@given(st.lists(NUMBERS, min_size=3, max_size=8), st.floats(1e-6, 1e3))
def test_every_series_gives_a_finite_monotone_curve_within_bounds(scores: list[float], error: float) -> None:
    at = np.logspace(-2, 2, len(scores))
    curve = fit_hill(at, np.array(scores), np.full(len(scores), error))
    assert at[0] * 10**-REACH * 0.999 <= curve.ec50[0] <= at[-1] * 10**REACH * 1.001
    assert SLOPES[0] * 0.999 <= curve.slope[0] <= SLOPES[1] * 1.001
    steps = np.diff([float(curve.at(dose)[0]) for dose in at])
    assert np.isfinite(steps).all()
    assert (steps >= 0).all() or (steps <= 0).all()


def test_the_fit_is_no_worse_than_the_grid() -> None:
    rng = np.random.default_rng(3)
    errors = np.full(4, 0.05)
    for _ in range(20):
        scores = rng.normal(size=4)
        fine, rough = fit_hill(DOSES, scores, errors), fit_draws(DOSES, scores[None], errors)
        assert loss(fine, scores, errors) <= loss(rough, scores, errors) + 1e-9


def loss(curve: HillCurves, scores: np.ndarray, errors: np.ndarray) -> float:
    fitted = np.array([curve.at(dose)[0] for dose in DOSES])
    prior = np.log(curve.slope[0]) / np.log(2.0)
    return float(np.square((scores - fitted) / errors).sum() + prior**2)


def test_draws_spread_around_the_truth() -> None:
    errors = np.full(4, 0.03)
    noise = np.random.default_rng(0).normal(size=(300, 4)) * errors
    found = fit_draws(DOSES, hill(DOSES, 1.0, 0.3, 1.0) + noise, errors)
    assert np.median(found.ec50) == pytest.approx(0.3, rel=0.2)
    low, high = np.quantile(found.ec50, [0.05, 0.95])
    assert low < 0.3 < high < 1.0


@given(st.lists(st.floats(0, 10), min_size=3, max_size=8), st.booleans(), st.floats(1e-3, 1.0))
def test_a_monotone_series_is_never_called_anything_else(steps: list[float], falls: bool, error: float) -> None:
    scores = np.cumsum(steps) * (-1.0 if falls else 1.0)
    assert monotonicity(scores, np.full(len(scores), error)) > 0.99


def test_a_bell_and_a_crossing_of_zero_are_not_monotone_beyond_noise() -> None:
    sure, unsure = np.full(4, 0.05), np.full(4, 1.0)
    for scores in (np.array([0.1, 0.8, 0.7, 0.1]), np.array([-0.4, 0.0, 0.3, 0.5])):
        assert monotonicity(scores, sure) < 0.001
        assert monotonicity(scores, unsure) > 0.5


def test_noise_alone_is_seldom_called_not_monotone_or_not_flat() -> None:
    noise = np.random.default_rng(1).normal(size=(400, 4))
    # 99 % bound of 400 trials with a chance of .05
    assert sum(monotonicity(row, np.ones(4)) < 0.05 for row in noise) <= 32
    assert sum(flatness(row, np.ones(4)) < 0.05 for row in noise) <= 32
