from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lingshu_core.confounding import Confounding, cramers_v, find_confounding


def experiment(seed: int = 0, cells: int = 600) -> pd.DataFrame:
    """A clean design: every perturbation and the controls in every batch, type and donor."""
    random = np.random.default_rng(seed)
    return pd.DataFrame(
        {
            "perturbation": random.choice(["control", "A", "B", "C"], size=cells),
            "batch": random.choice(["b1", "b2", "b3"], size=cells),
            "cell_type": random.choice(["T", "B"], size=cells),
            "donor": random.choice(["d1", "d2", "d3", "d4"], size=cells),
            "dose": random.random(cells),
            "barcode": [f"cell{i}" for i in range(cells)],
        }
    )


def find(obs: pd.DataFrame, **options: object) -> dict[tuple[str, str], Confounding]:
    return {(one.factor, one.other): one for one in find_confounding(obs, control="control", **options)}


@settings(max_examples=15)
@given(st.integers(0, 300))
def test_a_clean_design_is_clean(seed: int) -> None:
    assert find(experiment(seed)) == {}


def test_a_batch_for_each_treatment_is_found() -> None:
    obs = experiment().assign(batch=lambda obs: np.where(obs["perturbation"] == "control", "ctrl", "stim"))
    found = find(obs)["batch", "perturbed"]
    assert found.exact
    assert found.mutual
    assert found.harmful
    assert found.cramers_v == pytest.approx(1.0)
    assert found.uncovered == ("A", "B", "C")
    assert found.uncovered_cells == found.perturbed_cells == int((obs["perturbation"] != "control").sum())
    assert found.text.startswith(
        "'batch' and whether a cell is perturbed determine one another (Cramér's V 1.00): no cell"
    )
    assert len(find(obs)) == 1


def test_a_plate_for_each_perturbation_without_controls_is_found() -> None:
    obs = experiment().assign(plate=lambda obs: "plate of " + obs["perturbation"])
    found = find(obs)["plate", "perturbed"]
    assert found.exact
    assert not found.mutual
    assert found.uncovered == ("A", "B", "C")


def test_plates_with_their_own_controls_do_no_harm() -> None:
    random = np.random.default_rng(7)
    plates = experiment()["perturbation"].map({"A": "p1", "B": "p2", "C": "p3"})
    obs = experiment().assign(plate=plates.where(plates.notna(), random.choice(["p1", "p2", "p3"], size=600)))
    found = find(obs)["plate", "perturbation"]
    assert found.exact
    assert not found.harmful
    assert found.text == "'plate' and 'perturbation' determine one another (Cramér's V 1.00)"


def test_one_perturbation_without_a_control_is_enough() -> None:
    obs = experiment()
    alone = obs["perturbation"] == "C"
    obs = obs.assign(batch=np.where(alone & (obs.index % 2 == 0), "b4", np.where(alone, "b5", obs["batch"])))
    found = find(obs)["batch", "perturbed"]
    assert not found.exact
    assert found.uncovered == ("C",)
    assert found.uncovered_cells == int(alone.sum())
    assert "no cell of C has a control of the same batch beside it" in found.text


def test_controls_have_to_be_of_the_same_context() -> None:
    obs = experiment()
    perturbed = obs["perturbation"] != "control"
    stimulated = np.where(obs["cell_type"] == "T", "b1", "b2")
    unstimulated = np.where(obs["cell_type"] == "T", "b2", "b1")
    obs = obs.assign(batch=np.where(perturbed, stimulated, unstimulated))
    assert ("batch", "perturbed") not in find(obs)
    assert find(obs, within=["cell_type"])["batch", "perturbed"].harmful


def test_a_line_that_goes_with_a_method_is_found() -> None:
    obs = experiment()
    obs["cell_type"] = np.where(obs["cell_type"] == "T", "K562", "A172")
    obs["method"] = np.where(
        obs["perturbation"] == "control", "", obs["cell_type"].map({"K562": "CRISPRa", "A172": "CRISPRi"})
    )
    found = find(obs)["cell_type", "method"]
    assert found.exact
    assert found.mutual
    assert not found.harmful


def test_a_donor_has_one_type_of_cell_line() -> None:
    obs = experiment().assign(line=lambda obs: "line of " + obs["donor"])
    found = find(obs)
    assert set(found) == {("donor", "line")}
    assert found["donor", "line"].mutual


def test_a_factor_that_nearly_gives_the_perturbation_away_is_found() -> None:
    obs = experiment()
    perturbed = np.where(obs["perturbation"] == "control", "ctrl", "stim")
    swapped = np.random.default_rng(1).random(len(obs)) < 0.02
    obs["batch"] = np.where(swapped, "ctrl", perturbed)
    found = find(obs)["batch", "perturbed"]
    assert 0.9 < found.cramers_v < 1.0
    assert not found.exact
    assert found.text.startswith("'batch' goes with whether a cell is perturbed")


def test_guides_tell_the_target_by_design() -> None:
    obs = experiment().assign(guide=lambda obs: obs["perturbation"] + "-g" + (obs.index % 2).astype(str))
    assert find(obs) == {}
    assert find(obs, factors=["guide"])["guide", "perturbed"].harmful


def test_the_worst_comes_first() -> None:
    obs = experiment().assign(
        batch=lambda obs: np.where(obs["perturbation"] == "control", "ctrl", "stim"),
        line=lambda obs: "line of " + obs["donor"],
    )
    assert [one.factor for one in find_confounding(obs, control="control")] == ["batch", "donor"]


@pytest.mark.parametrize("label", ["control", "A"])
def test_without_two_kinds_of_cells_there_is_nothing_to_confound(label: str) -> None:
    assert find_confounding(experiment().assign(perturbation=label), control="control") == ()


def test_cramers_v_of_known_tables() -> None:
    assert cramers_v(np.array([[50, 0], [0, 50]])) == pytest.approx(1.0)
    assert cramers_v(np.array([[25, 25], [25, 25]])) == 0.0
    # phi² = .36 for (80 − 20)/100; less 1/(n − 1), over the corrected size of the table.
    expected = np.sqrt((0.36 - 1 / 199) / (1 - 1 / 199))
    assert cramers_v(np.array([[80, 20], [20, 80]])) == pytest.approx(expected)


@settings(max_examples=30)
@given(st.integers(0, 1000))
def test_cramers_v_has_no_bias_for_many_values(seed: int) -> None:
    random = np.random.default_rng(seed)
    rows, columns = random.integers(0, 30, 600), random.integers(0, 30, 600)
    assert cramers_v(pd.crosstab(rows, columns).to_numpy()) < 0.25
