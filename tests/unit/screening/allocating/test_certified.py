import numpy as np
import pytest

from screening.allocating.allocation import IN, OUT, UNDECIDED
from screening.allocating.certified import Certified, least_shards


def run(means: np.ndarray, noise: float, seed: int, *, failing: int | None = None, **settings: float) -> Certified:
    options = {"top": 5, "epsilon": 0.1, "delta": 0.1, "first": 8, "most": 2048, "unit": 8} | settings
    rng, found = np.random.default_rng(seed), Certified(len(means), **options)  # type: ignore[arg-type]
    shards = np.zeros(len(means), dtype=np.int64)
    while (found.wanted() > shards).any():
        wanted = found.wanted().copy()
        for place in np.flatnonzero(wanted > shards):
            if place == failing:
                found.fail(int(place))
            else:
                found.observe(int(place), means[place] + noise * rng.standard_t(3, wanted[place] - shards[place]))
        shards = wanted
    return found


@pytest.mark.parametrize("seed", range(4))
def test_the_best_are_in_and_all_others_out(seed: int) -> None:
    means = np.random.default_rng(seed).normal(size=60)
    found = run(means, 0.3, seed)
    kth = np.sort(means)[-5]
    assert (found.words == IN).sum() == 5
    assert (found.words == OUT).sum() == 55
    assert (means[found.words == IN] >= kth - 0.1).all()
    assert (means[found.words == OUT] <= kth + 0.1).all()


def test_it_samples_where_the_decision_is_hard() -> None:
    means = np.array([2.0] * 4 + [1.0, 0.85] + [-2.0] * 54)
    found = run(means, 0.3, 1)
    shards = found.scores.count
    assert shards[4:6].min() > 4 * shards[6:].max()
    assert set(found.words[:5]) == {IN}


def test_at_the_cap_what_is_open_is_undecided() -> None:
    found = run(np.full(30, 1.0), 1.0, 3, epsilon=0.01, most=64)
    assert set(found.words) == {UNDECIDED}
    assert found.scores.count.max() == 64


def test_equal_conditions_are_decided_by_indifference() -> None:
    found = run(np.full(30, 1.0), 0.3, 3, epsilon=0.5)
    assert (found.words == IN).sum() == 5
    assert (found.words == OUT).sum() == 25


def test_no_more_conditions_than_are_asked_for_are_all_in() -> None:
    found = run(np.array([0.0, 1.0, 2.0]), 0.3, 3)
    assert set(found.words) == {IN}


def test_a_failed_condition_is_no_candidate() -> None:
    means = np.array([3.0, 2.0] + [0.0] * 20)
    found = run(means, 0.2, 3, failing=0, top=1, epsilon=0.5)
    assert list(found.words[:2]) == [UNDECIDED, IN]
    assert found.verdict(0) is None
    told = found.verdict(1)
    assert told is not None
    assert told.low is not None
    assert told.high is not None
    assert told.low < 2.0 < told.high
    assert told.stop == told.drawn == found.scores.count[1]


def test_the_first_round_is_long_enough_for_a_finite_bound() -> None:
    assert least_shards(5_000, first=8, most=4096, delta=0.05, unit=8) == 32
    assert least_shards(5_000, first=64, most=4096, delta=0.05, unit=8) == 64
    assert least_shards(5_000, first=8, most=16, delta=0.05, unit=8) == 32
