import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from screening.e_values import betting_e_values, calibrated, e_benjamini_hochberg
from screening.errors import ObjectiveError


def test_calibrated_p_values_are_e_values() -> None:
    # The integral over uniform p is 1; on a grid of log p it is a sum.
    log = np.linspace(-80, 0, 800_001)
    p = np.exp(log)
    assert np.trapezoid(calibrated(p) * p, log) == pytest.approx(1, abs=0.02)
    assert (np.diff(calibrated(np.geomspace(1e-300, 1, 500))) <= 1e-9).all()
    assert np.isfinite(calibrated(np.array([0.0]))).all()


def test_wealth_rarely_gets_large_where_nothing_is_there_whenever_one_looks() -> None:
    random = np.random.default_rng(0)
    scores = random.beta(0.5, 1.5, (2000, 60))  # mean 1/4
    most = np.max([betting_e_values(scores[:, :shards], 0, 1, 0.25) for shards in range(1, 61)], axis=0)
    for level in (0.1, 0.02):  # Ville's inequality
        assert (most >= 1 / level).mean() <= level + 3 * np.sqrt(level / 2000)
    assert betting_e_values(scores, 0, 1, 0.25).mean() <= 1.2


def test_wealth_grows_where_something_is_there() -> None:
    random = np.random.default_rng(1)
    clear = betting_e_values(random.normal(0.6, 0.02, (3, 40)), 0, 1, 0.4)
    unclear = betting_e_values(random.normal(0.39, 0.02, (3, 40)), 0, 1, 0.4)
    assert (clear > 1000).all()
    assert (unclear <= 1.1).all()


def test_shards_that_were_not_drawn_change_nothing() -> None:
    scores = np.random.default_rng(2).uniform(0.3, 0.9, (4, 10))
    padded = np.concatenate([scores, np.full((4, 5), np.nan)], axis=1)
    assert np.array_equal(betting_e_values(padded, 0, 1, 0.5), betting_e_values(scores, 0, 1, 0.5))
    unit = betting_e_values(scores * 20 - 10, -10, 10, 0)
    assert unit == pytest.approx(betting_e_values(scores, 0, 1, 0.5))


@pytest.mark.parametrize(("score", "threshold"), [(1.2, 0.5), (0.5, 1.0), (-0.1, 0.5)])
def test_scores_out_of_bounds_are_refused(score: float, threshold: float) -> None:
    with pytest.raises(ObjectiveError, match="within the bounds 0 and 1"):
        betting_e_values(np.array([[score]]), 0, 1, threshold)


@given(values=st.lists(st.floats(0, 1e6), min_size=1, max_size=30), rate=st.floats(0.01, 0.5))
def test_hits_at_a_rate_are_those_of_the_definition(values: list[float], rate: float) -> None:
    e_values, number = np.array(values), len(values)
    ordered = np.sort(e_values)[::-1]
    passing = [k for k in range(1, number + 1) if ordered[k - 1] >= number / (rate * k)]
    expected = e_values >= ordered[passing[-1] - 1] if passing else np.zeros(number, dtype=bool)
    assert (e_benjamini_hochberg(e_values) <= rate).tolist() == expected.tolist()


def test_false_hits_are_within_the_promise_where_sampling_stops_at_good_scores() -> None:
    shares, power = [], []
    for run in range(30):
        random = np.random.default_rng([run, 31])
        truth = np.where(np.arange(200) < 20, 0.6, 0.4)
        scores = random.beta(6 * truth[:, None], 6 * (1 - truth[:, None]), (200, 60))
        paths = np.array([betting_e_values(scores[:, :shards], 0, 1, 0.4) for shards in range(5, 61)])
        clear = paths >= 150.0
        stops = np.where(clear.any(axis=0), clear.argmax(axis=0), len(paths) - 1)  # as soon as it looks clear
        taken = e_benjamini_hochberg(paths[stops, np.arange(200)]) <= 0.1
        shares.append(float(taken[20:].sum() / max(taken.sum(), 1)))
        power.append(float(taken[:20].mean()))
    assert np.mean(shares) <= 0.1
    assert np.mean(power) > 0.3
