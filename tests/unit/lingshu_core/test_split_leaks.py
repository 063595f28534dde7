"""What a split promises is looked up a second time, also for models that were trained elsewhere."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest

from lingshu_core.cells import Cells
from lingshu_core.preparation import build_vocabulary
from lingshu_core.prior_genes import LoweredGenes, PriorGenes
from lingshu_core.relations import Relations
from lingshu_core.split_leaks import (
    Look,
    Trained,
    alike_pairs,
    condition_leaks,
    measured_in,
    prior_leaks,
    trained_by,
    trained_in,
)
from lingshu_core.split_table import CellTable
from lingshu_core.splits import Split

Built = Callable[..., Split]


def test_a_vocabulary_and_the_cells_tell_the_same_conditions(cells: Cells) -> None:
    told = {(str(one), one.cells) for one in trained_by(build_vocabulary(cells))}
    counted = {(str(one), one.cells) for one in trained_in(CellTable.of(cells), np.ones(len(cells), dtype=bool), [])}
    assert told == counted
    assert ("controls in B cells, D1", 12) in told
    assert ("JAK2+STAT1 in T cells, D2", 4) in told


def test_cells_without_a_context_have_conditions_too(cells: Cells) -> None:
    table = CellTable.of(cells)
    bare = CellTable(table.names, table.obs, (), table.control)
    assert Trained("STAT1", {}, 24) in trained_in(bare, np.ones(len(cells), dtype=bool), [])


def test_priors_are_conditions() -> None:
    priors = PriorGenes({"A": (LoweredGenes({"line": "K562"}, ("G",)), LoweredGenes({"line": "A172"}, ("G",)))})
    assert list(map(str, measured_in(priors))) == ["A in K562", "A in A172"]


@pytest.fixture
def look(split_experiment: CellTable, build_one: Built) -> Callable[..., Look]:
    """What a model saw beside a split: `look("combination", [Trained(…)], factor="cell_type", …)`."""

    def make(kind: str, trained: list[Trained], relations: Relations | None = None, **options: object) -> Look:
        split = build_one(kind, relations=relations, **options)
        return Look(split, split.folds[0], trained, split_experiment, "model", relations)

    return make


BLOCK = {"factor": "cell_type", "values": ("B",), "perturbations": ("JAK2",), "folds": None}


@pytest.mark.parametrize(
    ("trained", "leaks"),
    [
        (Trained("JAK2", {"cell_type": "B"}, 5), True),
        (Trained("JAK2+STAT1", {"cell_type": "B"}, 5), True),
        (Trained("JAK2", {"cell_type": "T"}, 5), False),
        (Trained("STAT1", {"cell_type": "B"}, 5), False),
        (Trained("", {"cell_type": "B"}, 5), False),
    ],
)
def test_a_block_is_seen_with_its_targets(look: Callable[..., Look], trained: Trained, leaks: bool) -> None:
    assert bool(condition_leaks(look("combination", [trained], **BLOCK))) == leaks


def test_a_model_that_does_not_tell_its_contexts_is_noted(look: Callable[..., Look]) -> None:
    (note,) = condition_leaks(look("combination", [Trained("JAK2", {"donor": "d1"}, 5)], **BLOCK))
    assert note.severity == "note"
    assert note.cure == "name cell_type in data.context when you train"


def test_priors_leave_the_context_that_is_asked_out(look: Callable[..., Look]) -> None:
    looked = look("combination", [], **BLOCK)
    elsewhere = PriorGenes({"JAK2": (LoweredGenes({"cell_type": "T", "donor": "d1"}, ("G",)),)})
    there = PriorGenes({"JAK2": (LoweredGenes({"cell_type": "B", "donor": "d1"}, ("G",)),)})
    assert prior_leaks(looked, elsewhere) == []
    (finding,) = prior_leaks(looked, there)
    assert finding.examples == ("JAK2 in B, d1",)


def test_drugs_are_compared_by_their_structures() -> None:
    relations = Relations(structures={"a": "Cc1ccccc1", "b": "Cc1ccccc1C", "c": "C1CCNCC1"})
    assert alike_pairs(relations, ["a"], ["b", "c", "unknown"], 0.3) == [("a", "b")]
    assert alike_pairs(relations, ["unknown"], ["a"], 0.3) == []
