from __future__ import annotations

import dataclasses

import pytest

from lingshu_core.errors import LingshuCoreError, SimulationError
from lingshu_core.simulation_config import SimulationConfig


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"genes": 50}, r"genes is 50; it has to be at least 73"),
        ({"genes": 400.0}, r"genes is 400\.0; it has to be a whole number"),
        ({"donors": 0}, r"donors is 0; .* at least 1"),
        ({"donors": True}, r"donors is True; .* a whole number"),
        ({"seed": -1}, r"seed is -1"),
        ({"truth_replicates": 1}, r"truth_replicates is 1; .* at least 2"),
        ({"knockouts": 40}, r"regulators is 36; .* knockouts \+ knockdowns = 44"),
        ({"planted_knockouts": 25}, r"planted_knockouts is 25; it has to be at most knockouts \(24\)"),
        ({"planted_drugs": 7}, r"planted_drugs is 7; it has to be at most drugs \(6\)"),
        ({"planted_combinations": 7}, r"planted_combinations is 7"),
        ({"knockouts": 5, "combinations": 3}, r"combinations is 3; .* at most 2: 1 knock-outs"),
        ({"knockouts": 5, "combinations": 9, "planted_combinations": 9}, r"planted_combinations is 9; .* at most 4"),
        (
            {"regulators": 5, "knockouts": 4, "knockdowns": 1, "combinations": 0, "planted_combinations": 0},
            r"above 5 where there are drugs",
        ),
        ({"measured_share": 0.2}, r"measured_share is 0\.2; .* 1/cell_types = 0\.333"),
        ({"measured_share": 1.5}, r"measured_share is 1\.5; .* at most 1"),
        ({"quiet_cell_types": 3}, r"quiet_cell_types is 3; it has to be below cell_types \(3\)"),
        ({"median_depth": float("nan")}, r"median_depth is nan"),
        ({"median_depth": 1e6}, r"median_depth is 1000000\.0; .* at most 20000"),
        ({"overdispersion": 0.0}, r"overdispersion is 0\.0; .* above 0"),
        ({"depth_sigma": "wide"}, r"depth_sigma is 'wide'; it has to be a number above 0"),
        ({"doses": [1.0, 10.0]}, r"a tuple of positive numbers"),
        ({"doses": ("1",)}, r"positive numbers"),
        ({"doses": ()}, r"doses is \(\); .* positive numbers"),
        ({"doses": (0.0, 1.0)}, r"positive numbers"),
        ({"doses": (1.0, 2.0)}, r"rising, each at least 3 times"),
        ({"doses": (10.0, 1.0)}, r"rising"),
    ],
)
def test_a_bad_configuration_is_refused_with_field_value_and_cure(change: dict[str, object], message: str) -> None:
    with pytest.raises(SimulationError, match=message) as raised:
        dataclasses.replace(SimulationConfig(), **change)  # type: ignore[arg-type]
    assert isinstance(raised.value, LingshuCoreError)
    assert str(raised.value).startswith("SimulationConfig.")


def test_planted_hits_are_summed_over_kinds() -> None:
    config = SimulationConfig(planted_knockouts=3, planted_knockdowns=2, planted_drugs=1, planted_combinations=2)
    assert config.planted_hits == 8
    assert config.pathway_regulators == 5
