from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.special import expit

from lingshu_core.errors import SimulationError
from lingshu_core.network_drawing import draw_network
from lingshu_core.regulatory_network import LATENTS, Actions, Cells, steady_state
from lingshu_core.simulation_config import SimulationConfig


@settings(max_examples=25, deadline=None)
@given(seed=st.integers(0, 2**32 - 1))
def test_a_steady_state_stays_where_it_is(seed: int) -> None:
    rng = np.random.default_rng(seed)
    weights, basal = rng.normal(0, 0.6, size=(8, 8)), rng.normal(size=(5, 8))
    actions = Actions(rng.random((5, 8)), rng.random((5, 8)), rng.random((5, 8)))
    state = steady_state(weights, basal, actions)
    again = actions.production * expit(basal + actions.activity(state) @ weights.T)
    np.testing.assert_allclose(state, again, atol=1e-6)
    assert ((state >= 0) & (state <= actions.production)).all()


def test_an_oscillating_network_is_an_error() -> None:
    # A regulator that strongly represses itself flips between on and off unless the steps are damped.
    weights, basal = np.array([[-40.0]]), np.array([[20.0]])
    actions = Actions.none(1, 1)
    with pytest.raises(SimulationError, match=r"no steady state after 500 iterations: .* move by"):
        steady_state(weights, basal, actions, damping=1.0)
    np.testing.assert_allclose(steady_state(weights, basal, actions, damping=0.1), 0.5, atol=1e-5)


def test_a_chain_falls_silent_below_a_lost_regulator() -> None:
    weights = np.array([[0.0, 0.0, 0.0], [5.0, 0.0, 0.0], [0.0, 5.0, 0.0]])
    basal = np.array([[2.0, -2.5, -2.5]])
    lost = Actions.none(1, 3)
    lost.production[0, 0] = 0.0
    blocked = Actions.none(1, 3)
    blocked.inhibition[0, 0] = 1.0
    before = steady_state(weights, basal, Actions.none(1, 3))[0]
    without = steady_state(weights, basal, lost)[0]
    inhibited = steady_state(weights, basal, blocked)[0]
    assert without[0] == 0.0
    assert (without[1:] < 0.25 * before[1:]).all()
    # A drug stops what the regulator does, not that it is transcribed.
    assert inhibited[0] == pytest.approx(before[0], abs=1e-5)
    np.testing.assert_allclose(inhibited[1:], without[1:], atol=1e-5)


def test_activation_raises_activity_toward_one() -> None:
    actions = Actions.none(1, 1)
    actions.activation[0, 0] = 0.5
    assert actions.activity(np.array([[0.2]]))[0, 0] == pytest.approx(0.6)


def test_shares_sum_to_one_and_differ_between_cells() -> None:
    config = SimulationConfig(seed=3)
    network = draw_network(config, np.random.default_rng(3))
    rng = np.random.default_rng(4)
    cells = Cells(np.zeros(20, dtype=np.intp), np.arange(20) % 2, rng.standard_normal((20, LATENTS)))
    shares = network.shares(cells, Actions.none(20, network.regulators))
    assert shares.shape == (20, 400)
    np.testing.assert_allclose(shares.sum(axis=1), 1.0)
    assert (shares > 0).all()
    assert (shares.std(axis=0)[network.program] > 0).all()
