from collections.abc import Sequence

import numpy as np
import numpy.typing as npt
import pandas as pd
import pytest
import scipy.sparse as sp

from lingshu_core.cells import Cells
from lingshu_core.conditioning import Condition
from lingshu_core.context_gates import ContextGate, cell_groups, measure_gates
from lingshu_core.errors import ConditionError
from lingshu_core.gate import GateSettings

GENES = 60
QUICK = GateSettings(pools=3, repeats=3)
SIZES = {"control": 60, "STAT1": 45, "DRUG": 44, "RARE": 10}


def profile(cell_type: str, donor: str) -> npt.NDArray[np.float64]:
    rate = np.random.default_rng(ord(cell_type)).permutation(np.geomspace(0.3, 12.0, GENES))
    return rate * np.exp(np.random.default_rng(ord(donor)).normal(0.0, 0.3, GENES))


def counts_of(cell_type: str, donor: str, number: int, seed: int) -> sp.csr_matrix:
    random = np.random.default_rng([ord(cell_type), ord(donor), seed])
    programs = np.repeat(random.normal(0.0, 0.6, (number, 4)), GENES // 4, axis=1)
    return sp.csr_matrix(random.poisson(profile(cell_type, donor) * np.exp(programs)).astype(np.int32))


@pytest.fixture(scope="module")
def experiment() -> Cells:
    """Two cell types of two donors, a genetic perturbation, a drug at two doses and a rare one."""
    rows, counts = [], []
    for cell_type in "BT":
        for donor in "XY":
            for label, number in SIZES.items():
                doses = [0.1, 1.0] * (number // 2) if label == "DRUG" else [np.nan] * number
                rows += [(cell_type, donor, label, dose) for dose in doses]
                counts.append(counts_of(cell_type, donor, number, len(counts)))
    obs = pd.DataFrame(rows, columns=["cell_type", "donor", "perturbation", "dose"])
    table = sp.vstack(counts).tocsr()
    genes = tuple(f"GENE{gene}" for gene in range(GENES))
    depth = np.asarray(table.sum(axis=1), dtype=float).ravel()
    return Cells(table, genes, obs, depth, ("cell_type", "donor"), "control", "made up")


def draw_right(conditions: Sequence[Condition], depth: npt.NDArray[np.float64], seed: int) -> sp.csr_matrix:
    """Draw cells of the context asked for; of a factor left out one value or the other."""
    random, drawn = np.random.default_rng(seed), []
    for cell, condition in enumerate(conditions):
        cell_type = condition.context.get("cell_type") or random.choice(["B", "T"])
        donor = condition.context.get("donor") or random.choice(["X", "Y"])
        drawn.append(counts_of(cell_type, donor, 1, 1000 + cell))
    return sp.vstack(drawn).tocsr()


def draw_b_cells(conditions: Sequence[Condition], depth: npt.NDArray[np.float64], seed: int) -> sp.csr_matrix:
    if any(condition.context.get("donor") == "Y" for condition in conditions):
        raise ConditionError("the model doesn't know donor Y")
    return sp.vstack([counts_of("B", "X", 1, 1000 + cell) for cell in range(len(conditions))]).tocsr()


def named(gates: Sequence[ContextGate]) -> dict[tuple[str, str], ContextGate]:
    return {(",".join(gate.context.values()), "+".join(name for name, _ in gate.parts)): gate for gate in gates}


def test_there_is_a_group_for_every_set_of_factors(experiment: Cells) -> None:
    groups = list(cell_groups(experiment))
    controls = [tuple(group.context.values()) for group in groups if not group.parts]
    pairs = [("B", "X"), ("B", "Y"), ("T", "X"), ("T", "Y")]
    assert controls == [*pairs, ("B",), ("T",), ("X",), ("Y",), ()]
    for group in groups:
        own = experiment.obs.iloc[group.rows]
        assert all((own[factor] == value).all() for factor, value in group.context.items())
        assert set(own["perturbation"]) == {"+".join(name for name, _ in group.parts) or "control"}


def test_perturbations_need_enough_cells_and_doses_are_told_apart(experiment: Cells) -> None:
    parts = {tuple(group.context.values()): [] for group in cell_groups(experiment)}
    for group in cell_groups(experiment):
        parts[tuple(group.context.values())].append(group.parts)
    assert parts["B", "X"] == [(), (("STAT1", None),)]
    assert parts["B",] == [(), (("DRUG", 0.1),), (("DRUG", 1.0),), (("STAT1", None),)]
    assert (("RARE", None),) in parts[()]
    assert all(len(group.rows) >= 40 for group in cell_groups(experiment) if group.parts)
    assert not any(group.parts for group in cell_groups(experiment, conditions=False))


def test_with_many_factors_only_some_sets_are_taken(experiment: Cells) -> None:
    obs = experiment.obs.assign(batch="1", tissue="blood")
    many = Cells(**{**vars(experiment), "obs": obs, "context_roles": ("cell_type", "donor", "batch", "tissue")})
    sets = {len(group.context) for group in cell_groups(many)}
    assert sets == {4, 1, 0}


def test_the_right_cells_pass_and_those_of_one_context_fail_in_the_others(experiment: Cells) -> None:
    right = named(measure_gates(draw_right, experiment, conditions=False, settings=QUICK))
    assert {gate.gate.verdict for gate in right.values()} <= {"pass", "warn"}
    wrong = named(measure_gates(draw_b_cells, experiment, conditions=False, settings=QUICK))
    assert wrong["B,X", ""].gate.verdict == "pass"
    assert wrong["T,X", ""].gate.verdict == "fail"
    assert wrong["T", ""].gate.verdict == "fail"
    assert "cells of 3 other contexts" in wrong["T,X", ""].gate.beside


def test_what_the_model_has_no_words_for_is_not_measured(experiment: Cells) -> None:
    gate = named(measure_gates(draw_b_cells, experiment, conditions=False, settings=QUICK))["B,Y", ""].gate
    assert (gate.verdict, gate.reason, gate.cells) == ("not measured", "the model doesn't know donor Y", 60)


def test_depths_are_those_of_the_real_cells_and_progress_is_told(experiment: Cells) -> None:
    asked: list[tuple[Condition, set[float]]] = []
    told: list[tuple[int, int]] = []

    def draw(conditions: Sequence[Condition], depth: npt.NDArray[np.float64], seed: int) -> sp.csr_matrix:
        asked.append((conditions[0], set(depth)))
        assert len(conditions) == len(depth)
        return draw_right(conditions, depth, seed)

    found = measure_gates(draw, experiment, settings=QUICK, on_gate=lambda done, of: told.append((done, of)))
    groups = list(cell_groups(experiment))
    assert told == [(done, len(groups)) for done in range(1, len(groups) + 1)]
    assert len(found) == len(groups)
    for (condition, depth), group in zip(asked, [each for each in groups if len(each.rows) >= 40], strict=True):
        assert condition == group.condition
        assert depth <= set(experiment.depth[group.rows])


def test_a_gate_is_plain_data(experiment: Cells) -> None:
    gate = measure_gates(draw_right, experiment, settings=QUICK)[1]
    found = gate.as_dict()
    assert (found["context"], found["parts"]) == ({"cell_type": "B", "donor": "X"}, [["STAT1", None]])
    assert found["verdict"] == gate.gate.verdict
    assert len(found["statistics"]) == 6
