import numpy as np
import pytest

from screening.answers.rank_aggregation import normalised_ranks, rank_aggregation


def test_a_case_computed_by_hand() -> None:
    # Two rankings: P(smallest ≤ .1) = 1 - .9² = .19, P(largest ≤ .2) = .2² = .04; ρ = .04, bound 2·.04.
    rho, p = rank_aggregation(np.array([[0.2, 0.1]]))
    assert rho[0] == pytest.approx(0.04)
    assert p[0] == pytest.approx(0.08)


def test_a_ranking_that_does_not_have_the_item_is_left_out() -> None:
    rho, p = rank_aggregation(np.array([[0.1, np.nan, 0.2], [np.nan, np.nan, np.nan]]))
    assert rho[0] == pytest.approx(0.04)
    assert p[0] == pytest.approx(0.08)
    assert np.isnan(rho[1])
    assert np.isnan(p[1])


def test_one_bad_ranking_does_not_spoil_many_good_ones() -> None:
    rho, _ = rank_aggregation(np.array([[0.01] * 7 + [1.0], [0.4] * 8]))
    assert rho[0] < 1e-10 < rho[1]


def test_ranks_go_from_best_to_one() -> None:
    ranks = normalised_ranks(np.array([[3.0, 1.0], [2.0, np.nan], [2.0, 5.0], [1.0, 0.0]]))
    assert ranks[:, 0].tolist() == [0.25, 0.625, 0.625, 1.0]
    assert ranks[[0, 2, 3], 1] == pytest.approx([2 / 3, 1 / 3, 1.0])
    assert np.isnan(ranks[1, 1])


def test_by_chance_small_values_are_no_more_frequent_than_they_say() -> None:
    _, p = rank_aggregation(np.random.default_rng(1).uniform(size=(20_000, 4)))
    assert (p <= 0.05).mean() <= 0.053
    assert (p <= 0.05).mean() > 0.02
