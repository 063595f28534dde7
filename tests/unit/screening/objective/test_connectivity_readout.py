from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest

from screening.errors import ObjectiveError
from screening.folding.effects import Moments, standard_error
from screening.objective.connectivity_readout import ConnectivityReadout, jackknifed
from screening.objective.objectives import score_condition

GENES = tuple("ABCDEFGH")
WEIGHTS = np.array([1.0, 1.0, 0, 0, 0, 0, -1.0, -1.0])
READOUT = ConnectivityReadout(WEIGHTS, "connectivity", "like A, B up")
NONE = np.empty(0, dtype=np.int64)
LIKE = np.array([2.0, 1.5, 0.3, 0.1, -0.1, -0.3, -1.5, -2.0])


def condition(control: Moments, effect: np.ndarray, noise: float = 0.0, seed: int = 0) -> Moments:
    scatter = np.random.default_rng(seed).normal(0, 1, control.log1p.shape)
    return replace(control, log1p=control.log1p + effect + noise * (scatter - scatter.mean(axis=0)))


@pytest.fixture
def control(moments: Callable[..., Moments]) -> Moments:
    return moments([1.0] * 8)


def test_a_profile_like_the_query_and_its_opposite(control: Moments) -> None:
    found = score_condition(condition(control, LIKE), control, READOUT, NONE, GENES)
    assert (found.score, found.effect, found.genes_used) == (pytest.approx(1), pytest.approx(1), 4)
    assert score_condition(condition(control, -LIKE), control, READOUT, NONE, GENES).score == pytest.approx(-1)
    assert score_condition(control, control, READOUT, NONE, GENES).score == 0


def test_the_score_is_that_of_the_mean_profile_whatever_the_noise_of_shards(control: Moments) -> None:
    effect = LIKE * [1, -0.2, 1, 3, 1, 1, 0.1, 1]
    calm = score_condition(condition(control, effect), control, READOUT, NONE, GENES)
    noisy = score_condition(condition(control, effect, noise=1.5), control, READOUT, NONE, GENES)
    assert noisy.score == pytest.approx(calm.score)
    assert calm.score_se == pytest.approx(0, abs=1e-9)
    assert noisy.score_se > 0.01


def test_the_error_is_that_of_the_jackknife() -> None:
    profiles = np.random.default_rng(0).normal(LIKE * [1, -0.5, 1, 1, 1, 1, 1, 1], 0.5, (8, 8))
    found = jackknifed(profiles, WEIGHTS)
    without = [jackknifed(np.repeat(np.delete(profiles, r, 0).mean(0)[None], 8, 0), WEIGHTS).mean() for r in range(8)]
    expected = np.sqrt(7 / 8 * np.square(np.array(without) - np.mean(without)).sum())
    assert standard_error(found) == pytest.approx(expected)


def test_own_targets_are_left_out_of_query_and_profile(control: Moments) -> None:
    effect = LIKE.copy()
    effect[0] = -9.0  # a knock-out of A, which the query raises
    plain = score_condition(condition(control, effect), control, READOUT, NONE, GENES)
    without = score_condition(condition(control, effect), control, READOUT, np.array([0]), GENES)
    assert plain.score < without.score == pytest.approx(1)
    assert (without.genes_used, without.targets_left_out) == (3, ("A",))
    elsewhere = score_condition(condition(control, effect), control, READOUT, np.array([3]), GENES)
    assert elsewhere == plain
    with pytest.raises(ObjectiveError, match="no gene is left"):
        score_condition(control, control, READOUT, np.array([0, 1, 6, 7]), GENES)


def test_the_whole_profile_is_needed(control: Moments) -> None:
    assert READOUT.needed.all()
    assert READOUT.used.sum() == 4
