from __future__ import annotations

import dataclasses

import numpy as np
import pytest

from lingshu_core.drug_simulator import (
    AnnotatedDrug,
    DrugSimulation,
    DrugSimulationConfig,
    parse_targets,
    simulate_drugs,
)
from lingshu_core.errors import SimulationError
from lingshu_core.metrics import pearson_delta

DRUGS = [
    AnnotatedDrug("a", "CCO", ("HDAC",), "Epigenetics"),
    AnnotatedDrug("b", "CCC", ("HDAC",), "Epigenetics"),
    AnnotatedDrug("c", "CCN", ("PARP",), "Epigenetics"),
    AnnotatedDrug("d", "CCS", ("JAK", "STAT"), "JAK/STAT"),
    AnnotatedDrug("e", "CCF", (), "Others"),
    AnnotatedDrug("f", "CCCl", (), "Others"),
    AnnotatedDrug("g", "", ("HDAC",), "Epigenetics"),
]
SMALL = DrugSimulationConfig(genes=400, cells=25, control_cells=150, truth_draws=32)


@pytest.fixture(scope="module")
def simulation() -> DrugSimulation:
    return simulate_drugs(DRUGS, SMALL)


def test_every_drug_with_a_structure_has_its_cells(simulation: DrugSimulation) -> None:
    assert (simulation.left_out, len(simulation.drugs)) == (1, 6)
    assert simulation.counts.shape == (3 * 150 + 6 * 3 * 25, 400)
    treated = simulation.obs[simulation.obs["perturbation"] != "control"]
    assert (treated.groupby(["perturbation", "dose"]).size() == 25).all()
    assert treated.groupby(["perturbation", "dose", "cell_type"]).size().min() == 8
    assert set(treated["perturbation_type"]) == {"drug"}
    controls = simulation.obs[simulation.obs["perturbation"] == "control"]
    assert (controls["dose"] == 0).all()
    assert controls["cell_type"].value_counts().tolist() == [150, 150, 150]


def test_counts_look_like_sequenced_cells(simulation: DrugSimulation) -> None:
    counts = simulation.counts.toarray().astype(float)
    assert 0.4 < (counts == 0).mean() < 0.95
    depth = counts.sum(axis=1)
    assert np.median(depth) == pytest.approx(1_000, rel=0.1)
    controls = counts[((simulation.obs["perturbation"] == "control") & (simulation.obs["cell_type"] == "line 1"))]
    mean, variance = controls.mean(axis=0), controls.var(axis=0)
    assert (variance > mean)[mean > 1].mean() > 0.9  # more than Poisson


def test_the_same_seed_gives_the_same_screen(simulation: DrugSimulation) -> None:
    again = simulate_drugs(DRUGS, SMALL)
    assert (again.counts != simulation.counts).nnz == 0
    np.testing.assert_array_equal(again.true_effect, simulation.true_effect)
    other = simulate_drugs(DRUGS, dataclasses.replace(SMALL, seed=1))
    assert (other.counts != simulation.counts).nnz > 0


def test_drugs_are_alike_as_their_annotations_are() -> None:
    programme = simulate_drugs(DRUGS, dataclasses.replace(SMALL, genes=4_000, cells=1, truth_draws=2)).programme
    found = np.corrcoef(programme)
    assert found[0, 1] == pytest.approx(0.75, abs=0.08)  # pathway and target
    assert found[0, 2] == pytest.approx(0.30, abs=0.08)  # pathway
    assert abs(found[0, 3]) < 0.1
    assert abs(found[4, 5]) < 0.1  # "Others" joins nothing
    np.testing.assert_allclose(programme.std(axis=1), SMALL.strength, rtol=0.15)


def test_structures_play_no_part(simulation: DrugSimulation) -> None:
    other = simulate_drugs([dataclasses.replace(drug, smiles=drug.smiles and "CCCCCC") for drug in DRUGS], SMALL)
    np.testing.assert_array_equal(other.true_effect, simulation.true_effect)


def test_effects_grow_with_the_dose(simulation: DrugSimulation) -> None:
    size = np.square(simulation.true_effect).mean(axis=(2, 3))  # (drugs, doses)
    assert (np.diff(size, axis=1) > 0).all()


def test_cells_show_the_true_effect(simulation: DrugSimulation) -> None:
    many = simulate_drugs(DRUGS[:1], dataclasses.replace(SMALL, cells=900, control_cells=600, median_ec50=0.1))
    counts = many.counts.toarray()
    expression = np.log1p(1e4 * counts / counts.sum(axis=1, keepdims=True))
    line = (many.obs["cell_type"] == "line 2").to_numpy()
    treated = line & (many.obs["dose"] == 10.0).to_numpy()
    measured = expression[treated].mean(axis=0) - expression[line & (many.obs["dose"] == 0).to_numpy()].mean(axis=0)
    true = many.true_effect[0, 2, 1]
    assert pearson_delta(measured, true) > 0.95
    assert np.polyfit(true, measured, 1)[0] == pytest.approx(1.0, abs=0.1)


def test_targets_are_taken_apart() -> None:
    assert parse_targets("E3 Ligase ,TNF-alpha,Others,TNF-alpha") == ("E3 Ligase", "TNF-alpha")
    assert parse_targets("Others") == ()


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"genes": 0}, "genes has to be positive"),
        ({"strength": -1.0}, "strength has to be positive"),
        ({"doses": ()}, "doses have to be positive"),
        ({"doses": (0.0, 1.0)}, "doses have to be positive"),
        ({"pathway_share": 0.7, "target_share": 0.4}, "have to lie in"),
        ({"pathway_share": -0.1}, "have to lie in"),
    ],
)
def test_what_cannot_be_simulated_is_refused(change: dict[str, object], said: str) -> None:
    with pytest.raises(SimulationError, match=said):
        dataclasses.replace(SMALL, **change)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("drugs", "said"),
    [
        ([DRUGS[6]], "none of the drugs has a SMILES"),
        ([DRUGS[0], DRUGS[0]], "have to be unique and not 'control'; these are not: a"),
        ([dataclasses.replace(DRUGS[0], name="control")], "these are not: control"),
    ],
)
def test_drugs_that_cannot_be_told_apart_are_refused(drugs: list[AnnotatedDrug], said: str) -> None:
    with pytest.raises(SimulationError, match=said):
        simulate_drugs(drugs, SMALL)
