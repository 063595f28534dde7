from __future__ import annotations

import numpy as np
import pytest

from lingshu_core.errors import SimulationError
from lingshu_core.network_drawing import draw_network
from lingshu_core.perturbation_design import Condition, Drug, Perturbation, control
from lingshu_core.regulatory_network import Network
from lingshu_core.sequencing import LibrarySizes
from lingshu_core.simulated_truth import TrueEffects, find_hits, true_effects
from lingshu_core.simulation_config import SimulationConfig

CONFIG = SimulationConfig(truth_draws=64)
SIZES = LibrarySizes(np.array([2_000.0, 1_800.0, 2_200.0]), 0.35)


@pytest.fixture(scope="module")
def network() -> Network:
    return draw_network(CONFIG, np.random.default_rng(8))


def knockout(network: Network, target: int) -> Perturbation:
    planted = target in network.pathway
    return Perturbation(network.gene_names[target], "genetic", "knockout", (target,), (0.0,), planted)


def effects_of(network: Network, conditions: list[Condition], seed: int = 0) -> TrueEffects:
    return true_effects(CONFIG, network, SIZES, conditions, np.random.default_rng(seed))


def test_doing_nothing_has_exactly_no_effect(network: Network) -> None:
    found = effects_of(network, [Condition(1, control(), 0.0, measured=True)])
    assert not found.effect.any()
    assert found.score[0] == 0.0
    assert found.score_error[0] == 0.0


def test_a_knockout_lowers_its_own_transcript(network: Network) -> None:
    conditions = [Condition(0, knockout(network, target), 0.0, measured=True) for target in range(10)]
    effect = effects_of(network, conditions).effect
    assert (effect[np.arange(10), np.arange(10)] < -0.1).all()


def test_the_effect_of_a_drug_is_monotone_in_the_dose(network: Network) -> None:
    drug = Drug("DRUG01", (network.pathway[-1],), "inhibitor", ec50=1.0, hill_coefficient=1.5)
    perturbation = Perturbation(drug.name, "drug", "inhibitor", drug.targets, (), planted=True, drug=drug)
    doses = (0.01, 0.1, 0.5, 1.0, 3.0, 10.0, 100.0)
    found = effects_of(network, [Condition(0, perturbation, dose, measured=True) for dose in doses])
    assert (np.diff(found.score) < 0).all()
    assert found.score[0] > -0.02


def test_standard_errors_cover_another_set_of_draws(network: Network) -> None:
    conditions = [Condition(2, knockout(network, target), 0.0, measured=True) for target in network.pathway]
    first, second = effects_of(network, conditions, 1), effects_of(network, conditions, 2)
    assert (first.score_error < 0.01).all()
    spread = np.hypot(first.score_error, second.score_error)
    assert (np.abs(first.score - second.score) < 6 * spread + 1e-3).all()


def test_hits_lie_below_a_threshold_in_the_middle_of_the_gap(network: Network) -> None:
    needed = [target for target in network.pathway if network.drives_program(target, 0)]
    conditions = [Condition(0, knockout(network, target), 0.0, measured=True) for target in needed]
    conditions.append(Condition(0, knockout(network, network.background[0]), 0.0, measured=True))
    score = np.array([-0.9] * (len(needed) - 1) + [-0.5, -0.1])
    hits = find_hits(CONFIG, network, conditions, score)
    assert hits.is_hit.tolist() == [True] * len(needed) + [False]
    assert hits.threshold == pytest.approx(-0.3)
    assert hits.gap == pytest.approx(0.4)


def test_hits_that_do_not_stand_out_are_refused(network: Network) -> None:
    target = network.pathway[-1]
    conditions = [
        Condition(0, knockout(network, target), 0.0, measured=True),
        Condition(0, knockout(network, network.background[0]), 0.0, measured=True),
    ]
    name = network.gene_names[target]
    with pytest.raises(SimulationError, match=rf"weakest, {name} at dose 0, scores -0\.200.*-0\.150.*program_strength"):
        find_hits(CONFIG, network, conditions, np.array([-0.2, -0.15]))
    with pytest.raises(SimulationError, match="do not stand out"):
        find_hits(CONFIG, network, conditions[:1], np.array([-0.05]))
