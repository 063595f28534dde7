import numpy as np
import pytest

from benchmarks.large_campaign import SIGNATURE, knock_outs, signature
from lingshu_core.drug_simulator import AnnotatedDrug, DrugSimulation, DrugSimulationConfig, simulate_drugs


@pytest.fixture(scope="module")
def drugs() -> list[AnnotatedDrug]:
    targets = [("HDAC",)] * 3 + [("JAK", "TYK2")] * 2 + [("PARP",)]
    return [AnnotatedDrug(f"D{number}", "C", target, "") for number, target in enumerate(targets)]


@pytest.fixture(scope="module")
def simulation(drugs: list[AnnotatedDrug]) -> DrugSimulation:
    sizes = {"genes": 120, "cell_lines": 1, "cells": 1, "control_cells": 2, "truth_draws": 2}
    return simulate_drugs([*drugs, *knock_outs(drugs)], DrugSimulationConfig(**sizes))


def test_every_target_is_knocked_out_once(drugs: list[AnnotatedDrug]) -> None:
    found = knock_outs(drugs)
    assert [each.name for each in found] == [f"{target} knock-out" for target in ("HDAC", "JAK", "PARP", "TYK2")]
    assert all(each.smiles for each in found)


def test_the_signature_is_what_the_class_does_more_than_others(
    drugs: list[AnnotatedDrug], simulation: DrugSimulation
) -> None:
    up, down = signature(simulation, len(drugs))
    assert len(set(up) | set(down)) == 2 * SIGNATURE
    beside = simulation.programme[:3].mean(axis=0) - simulation.programme[3:6].mean(axis=0)
    assert beside[up].min() > np.median(beside) > beside[down].max()
