from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from lingshu_core.network_drawing import draw_network
from lingshu_core.perturbation_design import (
    KNOCKDOWN_PRODUCTION,
    KNOCKOUT_PRODUCTION,
    Perturbation,
    control,
    draw_perturbations,
    hill,
    lay_out,
)
from lingshu_core.regulatory_network import Actions, Network
from lingshu_core.simulation_config import SimulationConfig

positive = st.floats(1e-3, 1e3)


@pytest.fixture(scope="module")
def network() -> Network:
    return draw_network(SimulationConfig(), np.random.default_rng(5))


@pytest.fixture(scope="module")
def perturbations(network: Network) -> list[Perturbation]:
    return draw_perturbations(SimulationConfig(), network, np.random.default_rng(6))


@given(dose=positive, more=st.floats(1.01, 100.0), ec50=positive, coefficient=st.floats(0.5, 4.0))
def test_hill_rises_with_the_dose_and_is_half_at_ec50(
    dose: float, more: float, ec50: float, coefficient: float
) -> None:
    low, high = hill(dose, ec50, coefficient), hill(dose * more, ec50, coefficient)
    assert 0.0 <= low <= high <= 1.0
    assert hill(ec50, ec50, coefficient) == pytest.approx(0.5)
    assert hill(0.0, ec50, coefficient) == 0.0


def test_every_label_means_one_thing(perturbations: list[Perturbation]) -> None:
    names = [perturbation.name for perturbation in perturbations]
    assert len(set(names)) == len(names) == 24 + 4 + 6 + 6
    assert "control" not in names
    methods = [perturbation.method for perturbation in perturbations if len(perturbation.targets) == 1]
    assert methods.count("knockout") == 24
    assert methods.count("knockdown") == 4


def test_as_many_labels_are_planted_as_asked(perturbations: list[Perturbation]) -> None:
    planted = [perturbation for perturbation in perturbations if perturbation.planted]
    assert len(planted) == SimulationConfig().planted_hits == 9
    assert sum(perturbation.kind == "drug" for perturbation in planted) == 2
    assert sum("+" in perturbation.name for perturbation in planted) == 2


def test_parts_of_combinations_are_knocked_out_singly_too(perturbations: list[Perturbation]) -> None:
    single = {each.name for each in perturbations if each.method == "knockout" and len(each.targets) == 1}
    pairs = [each.name.split("+") for each in perturbations if len(each.targets) == 2 and each.kind == "genetic"]
    assert len(pairs) == 6
    assert all(first in single and second in single and first < second for first, second in pairs)


def test_planted_drugs_work_at_their_highest_dose_but_not_at_the_lowest(perturbations: list[Perturbation]) -> None:
    drugs = [each for each in perturbations if each.kind == "drug" and each.planted]
    for each in drugs:
        assert each.is_effective(10.0)
        assert not each.is_effective(0.1)


def test_actions_touch_only_their_rows_and_targets() -> None:
    actions = Actions.none(4, 6)
    Perturbation("REG02+REG03", "genetic", "knockout", (1, 2), (0.0,), planted=False).act(actions, slice(1, 3), 0.0)
    Perturbation("REG05", "genetic", "knockdown", (4,), (0.0,), planted=False).act(actions, slice(3, 4), 0.0)
    control().act(actions, slice(0, 1), 0.0)
    expected = np.ones((4, 6))
    expected[1:3, 1:3] = KNOCKOUT_PRODUCTION
    expected[3, 4] = KNOCKDOWN_PRODUCTION
    np.testing.assert_array_equal(actions.production, expected)
    assert not actions.inhibition.any()
    assert not actions.activation.any()


def test_a_drug_acts_by_its_dose_and_method(perturbations: list[Perturbation]) -> None:
    for each in (each for each in perturbations if each.drug is not None):
        actions = Actions.none(len(each.doses), 36)
        for row, dose in enumerate(each.doses):
            each.act(actions, slice(row, row + 1), dose)
        touched, spared = actions.inhibition, actions.activation
        if each.method == "activator":
            touched, spared = spared, touched
        assert (np.diff(touched[:, list(each.targets)], axis=0) > 0).all()
        assert not spared.any()
        assert (actions.production == 1).all()


@pytest.mark.parametrize("share", [1 / 3, 0.5, 0.75, 1.0])
def test_every_perturbation_is_measured_somewhere_and_the_share_is_met(
    perturbations: list[Perturbation], share: float
) -> None:
    config = SimulationConfig(measured_share=share)
    conditions = lay_out(config, perturbations, np.random.default_rng(7))
    assert len(conditions) == 3 * (34 + 6 * 3)
    pairs = {(each.cell_type, each.perturbation.name, each.measured) for each in conditions}
    assert len(pairs) == 3 * 40, "the doses of a drug are measured together"
    assert {name for _, name, measured in pairs if measured} == {each.name for each in perturbations}
    assert sum(measured for _, _, measured in pairs) == round(share * 120)
