import numpy as np
import pytest

from screening.deciding.score_posterior import LEVELS, prior_scales, score_posterior


def sparse(random: np.random.Generator, number: int) -> np.ndarray:
    return np.where(random.random(number) < 0.1, random.normal(0, 4, number), random.normal(0, 0.05, number))


def dense(random: np.random.Generator, number: int) -> np.ndarray:
    return random.normal(0, 1.5, number)


@pytest.mark.parametrize("draw", [sparse, dense])
def test_intervals_and_ranks_cover_what_they_promise(draw: object) -> None:
    inside, ranked = {level: [] for level in LEVELS}, []
    for seed in range(8):
        random = np.random.default_rng([seed, 3])
        noise = random.uniform(0.7, 1.4, 120)
        truth = draw(random, 120)  # type: ignore[operator]
        found = score_posterior(random.normal(truth, noise), noise, seed)
        for level in LEVELS:
            inside[level].append((found.low[level] <= truth) & (truth <= found.high[level]))
        rank = np.argsort(np.argsort(-truth)) + 1
        ranked.append((found.rank_low <= rank) & (rank <= found.rank_high))
    assert 0.85 < np.mean(inside[0.9]) < 0.97
    assert 0.42 < np.mean(inside[0.5]) < 0.9  # wide for effects so small that nothing tells how small
    assert 0.85 < np.mean(ranked) < 0.97


def test_what_stands_out_of_nothing_stays_and_the_rest_shrinks() -> None:
    random = np.random.default_rng(1)
    truth = np.concatenate([np.full(5, 8.0), np.zeros(300)])
    scores = random.normal(truth, 1.0)
    found = score_posterior(scores, np.ones(305), seed=0)
    assert np.abs(found.mean[:5] - scores[:5]).max() < 1.0
    assert np.abs(found.mean[5:]).mean() < 0.4 * np.abs(scores[5:]).mean()
    assert (found.rank_high[:5] <= 8).all()
    assert np.median(found.rank_high[5:] - found.rank_low[5:]) > 150


def test_a_single_condition_has_an_interval_too() -> None:
    found = score_posterior(np.array([3.0]), np.array([1.0]), seed=0)
    assert 0 < found.mean[0] < 3
    assert found.low[0.9] < found.low[0.5] < found.mean < found.high[0.5] < found.high[0.9]
    assert found.rank_low == found.rank_high == 1


def test_the_same_seed_draws_the_same() -> None:
    scores = np.random.default_rng(2).normal(size=30)
    first, again = (score_posterior(scores, np.ones(30), seed=7) for _ in range(2))
    other = score_posterior(scores, np.ones(30), seed=8)
    assert np.array_equal(first.mean, again.mean)
    assert not np.array_equal(first.mean, other.mean)
    assert np.abs(first.mean - other.mean).max() < 0.3


def test_a_higher_score_of_equal_noise_is_no_worse() -> None:
    scores = np.linspace(-3, 6, 40)
    found = score_posterior(scores, np.ones(40), seed=0)
    assert (np.diff(found.mean) > -0.15).all()
    assert (np.diff(found.rank_low) <= 1).all()


def test_scales_hold_the_largest_score() -> None:
    scales = prior_scales(np.array([50.0, 0.0]), np.array([1.0, 2.0]))
    assert scales[0] == pytest.approx(0.1)
    assert scales[-1] >= 100.0
