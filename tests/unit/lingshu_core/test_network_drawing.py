from __future__ import annotations

import numpy as np
import pytest

from lingshu_core.network_drawing import draw_network
from lingshu_core.regulatory_network import LATENTS, Actions, Cells, Network
from lingshu_core.simulation_config import SimulationConfig


def program_level(network: Network, cell_type: int, lost: int | None = None) -> float:
    actions = Actions.none(1, network.regulators)
    if lost is not None:
        actions.production[0, lost] = 0.0
    cells = Cells(np.array([cell_type]), np.array([0]), np.zeros((1, LATENTS)))
    return float(network.shares(cells, actions)[0, network.program].sum())


@pytest.mark.parametrize("seed", range(5))
def test_the_programme_falls_with_its_pathway_and_only_with_it(seed: int) -> None:
    network = draw_network(SimulationConfig(), np.random.default_rng(seed))
    for cell_type in range(3):
        level = program_level(network, cell_type)
        for regulator in range(network.regulators):
            ratio = program_level(network, cell_type, regulator) / level
            assert (ratio < 0.75) == network.drives_program(regulator, cell_type), (regulator, cell_type, ratio)


def test_one_cell_type_does_without_the_receptor() -> None:
    network = draw_network(SimulationConfig(), np.random.default_rng(1))
    assert network.bypassed is not None
    assert network.receptor == network.pathway[0]
    needed = [network.drives_program(network.pathway[0], cell_type) for cell_type in range(3)]
    assert needed.count(False) == 1


def test_quiet_cell_types_do_not_drive_the_programme() -> None:
    network = draw_network(SimulationConfig(quiet_cell_types=1), np.random.default_rng(1))
    assert network.driven.tolist() == [True, True, False]
    assert program_level(network, 2) < 0.5 * min(program_level(network, 0), program_level(network, 1))
    assert not any(network.drives_program(regulator, 2) for regulator in range(network.regulators))


def test_a_pathway_of_one_regulator_is_a_factor_without_bypass() -> None:
    config = SimulationConfig(planted_knockouts=1, planted_knockdowns=0)
    network = draw_network(config, np.random.default_rng(1))
    assert network.receptor is None
    assert program_level(network, 0, network.pathway[0]) < 0.75 * program_level(network, 0)


def test_names_tell_regulators_from_targets() -> None:
    network = draw_network(SimulationConfig(), np.random.default_rng(0))
    assert network.gene_names[0] == "REG01"
    assert network.gene_names[36] == "GENE001"
    assert len(set(network.gene_names)) == 400
    assert all(name.startswith("GENE") for name in network.program_names)
    assert sorted([*network.pathway, *network.background]) == list(range(36))
