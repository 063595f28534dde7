"""The sums of the naive way: what its cells cost, and how many it needs."""

import pytest

from benchmarks.naive import CONTROL_SHARES, Costs, Noise, cheapest, naive_seconds

COSTS = Costs(draw=1.0, store=0.5, rank=0.25)
NOISE = Noise(condition=60.0, control=40.0, ours=0.1)


def test_more_control_cells_leave_the_noise_of_the_condition() -> None:
    assert NOISE.cells(1.0) == pytest.approx(1_000)
    assert NOISE.cells(1e9) == pytest.approx(600)


def test_the_sum_is_that_of_its_pieces() -> None:
    own, controls = 10 * 1_000 * 1.75, 1_000 * (1.0 + 10 * 0.25)
    assert naive_seconds(10, COSTS, NOISE, 1.0) == pytest.approx(own + controls)


def test_the_naive_way_is_given_the_controls_that_suit_it_best() -> None:
    seconds, share = cheapest(10, COSTS, NOISE)
    assert share in CONTROL_SHARES
    assert seconds == min(naive_seconds(10, COSTS, NOISE, each) for each in CONTROL_SHARES)
    assert seconds < naive_seconds(10, COSTS, NOISE, 1.0)
