import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from screening.allocating.time_uniform import SymmetricBounds

NOISES = {
    "normal": lambda rng, size: rng.normal(size=size),
    "student_t3": lambda rng, size: rng.standard_t(3, size),
    "cauchy": lambda rng, size: rng.standard_cauchy(size),
    "two_points": lambda rng, size: rng.choice([-1.0, 1.0], size),
}
TIMES = (16, 24, 40, 64, 96, 160, 256, 400)


@pytest.mark.parametrize("noise", NOISES)
def test_bounds_fail_at_any_time_no_more_often_than_promised(noise: str) -> None:
    rng, alpha, conditions = np.random.default_rng(7), 0.05, 1_000
    scores = 3.0 + NOISES[noise](rng, (conditions, TIMES[-1]))
    bounds = SymmetricBounds(alpha, TIMES[-1])
    failed = np.zeros((2, conditions), dtype=bool)
    for shards in TIMES:
        low, high = bounds.intervals(list(scores[:, :shards]))
        failed |= np.stack([low > 3.0, high < 3.0])
    # 99.9 % binomial bound of a chance of 5 %; a Cauchy distribution has a centre and no mean
    assert (failed.mean(axis=1) <= alpha + 3.1 * np.sqrt(alpha * (1 - alpha) / conditions)).all()


def test_intervals_shrink_as_the_best_known_rate_allows() -> None:
    rng, bounds = np.random.default_rng(1), SymmetricBounds(1e-5, 4096)
    for shards, factor in ((64, 2.0), (512, 1.6), (4096, 1.6)):
        low, high = bounds.intervals(list(rng.normal(size=(20, shards))))
        fixed = 2 * np.sqrt(2 * np.log(1e5) / shards)  # what a normal interval of known variance has at one time
        assert fixed < np.median(high - low) < factor * fixed


def test_too_few_shards_bound_nothing() -> None:
    bounds = SymmetricBounds(1e-5, 64)
    for shards, finite in ((bounds.least - 1, False), (bounds.least, True)):
        low, high = bounds.intervals([np.arange(shards) % 5 * 1.0])
        assert (np.isfinite(low) & np.isfinite(high)).all() == finite
        assert (low < high).all()


def test_exact_scores_are_known_exactly() -> None:
    low, high = SymmetricBounds(1e-5, 64).intervals([np.full(64, 0.7)])
    assert low == pytest.approx(0.7, abs=1e-6)
    assert high == pytest.approx(0.7, abs=1e-6)


@settings(max_examples=25, deadline=None)
@given(st.integers(0, 10_000), st.floats(-50, 50), st.floats(0.01, 100))
def test_bounds_move_and_scale_with_the_scores(seed: int, shift: float, scale: float) -> None:
    scores = np.random.default_rng(seed).standard_t(3, size=(3, 100))
    bounds = SymmetricBounds(1e-3, 128)
    low, high = bounds.intervals(list(scores))
    moved_low, moved_high = bounds.intervals(list(scale * scores + shift))
    assert moved_low == pytest.approx(scale * low + shift, abs=0.02 * scale)
    assert moved_high == pytest.approx(scale * high + shift, abs=0.02 * scale)
    mirrored_low, mirrored_high = bounds.intervals(list(-scores))
    assert mirrored_low == pytest.approx(-high)
    assert mirrored_high == pytest.approx(-low)
