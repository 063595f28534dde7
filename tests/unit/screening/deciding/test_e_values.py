import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from screening.deciding.e_values import Array, calibrated, e_benjamini_hochberg


def test_calibrated_p_values_are_e_values() -> None:
    # The integral over uniform p is 1; on a grid of log p it is a sum.
    log = np.linspace(-80, 0, 800_001)
    p = np.exp(log)
    assert np.trapezoid(calibrated(p) * p, log) == pytest.approx(1, abs=0.02)
    assert (np.diff(calibrated(np.geomspace(1e-300, 1, 500))) <= 1e-9).all()
    assert np.isfinite(calibrated(np.array([0.0]))).all()


@given(values=st.lists(st.floats(0, 1e6), min_size=1, max_size=30), rate=st.floats(0.01, 0.5))
def test_hits_at_a_rate_are_those_of_the_definition(values: list[float], rate: float) -> None:
    e_values, number = np.array(values), len(values)
    ordered = np.sort(e_values)[::-1]
    passing = [k for k in range(1, number + 1) if ordered[k - 1] >= number / (rate * k)]
    expected = e_values >= ordered[passing[-1] - 1] if passing else np.zeros(number, dtype=bool)
    assert (e_benjamini_hochberg(e_values) <= rate).tolist() == expected.tolist()


def scores_of_an_allocation(random: np.random.Generator, truth: Array, *, fresh: bool) -> Array:
    """Score conditions of which those that look best get shards anew, as finalists of `halving` do, (conditions,).

    Half of the variance is of the cells that the model learned from, the same in all shards, and goes together in tens.
    Not `fresh`: the better of both looks counts.
    """
    shared = np.repeat(random.normal(size=len(truth) // 10), 10)
    cells = truth + np.sqrt(0.5) * (shared + random.normal(size=len(truth)))
    first, second = cells + random.normal(size=(2, len(truth)))
    finalist = first >= np.quantile(first, 0.75)
    return np.where(finalist, second if fresh else np.maximum(first, second), first)


@pytest.mark.parametrize(("fresh", "held"), [(True, True), (False, False)])
def test_p_values_of_fresh_shards_hold_however_conditions_were_chosen(fresh: bool, held: bool) -> None:
    scores = scores_of_an_allocation(np.random.default_rng(3), np.zeros(400_000), fresh=fresh)
    p = stats.norm.sf(scores / np.sqrt(2.0))
    within = [(p <= level).mean() <= level * 1.05 for level in (0.05, 0.01, 0.002)]
    assert all(within) is held


def test_false_hits_are_within_the_promise_where_sampling_depends_on_scores() -> None:
    shares, power = [], []
    for run in range(100):
        truth = np.where(np.arange(200) < 20, 6.0, 0.0)
        scores = scores_of_an_allocation(np.random.default_rng([run, 31]), truth, fresh=True)
        taken = e_benjamini_hochberg(calibrated(stats.norm.sf(scores / np.sqrt(2.0)))) <= 0.1
        shares.append(float(taken[20:].sum() / max(taken.sum(), 1)))
        power.append(float(taken[:20].mean()))
    assert np.mean(shares) <= 0.1
    assert np.mean(power) > 0.3
