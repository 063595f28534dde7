"""Batches, replicates and guides that are unseen."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pandas as pd
import pytest

from lingshu_core.errors import SplitError
from lingshu_core.split_builder import SplitRules, build_split
from lingshu_core.split_table import CellTable
from lingshu_core.splits import Fold, Split

Built = Callable[..., Split]


@pytest.fixture
def table(split_experiment: CellTable) -> CellTable:
    return split_experiment


def train_of(table: CellTable, fold: Fold) -> pd.DataFrame:
    return table.obs[fold.train & ~table.is_control]


def test_a_batch_is_left_out_with_its_controls(table: CellTable, build_one: Built) -> None:
    split = build_one("batch", column="batch", values=None, folds=None)
    fold = split.fold("b1")
    assert set(table.obs[fold.train]["batch"]) == {"b2"}
    assert all(set(table.obs[q.controls | q.perturbed]["batch"]) == {"b1"} for q in fold.questions)


def test_a_batch_of_the_context_is_not_asked_by_name(build_one: Built) -> None:
    split = build_one("batch", column="donor", values=("d1", "d2"), folds=None)
    assert {tuple(question.context) for fold in split.folds for question in fold.questions} == {("cell_type",)}


def test_of_a_replicate_the_controls_are_seen(table: CellTable, build_one: Built) -> None:
    fold = build_one("replicate", column="batch", values=("b1",), folds=None).fold("b1")
    here = (table.obs["batch"] == "b1").to_numpy()
    assert not (fold.train & here & ~table.is_control).any()
    assert (fold.train & here & table.is_control).any()
    assert all(set(table.obs[q.controls | q.perturbed]["batch"]) == {"b1"} for q in fold.questions)


def test_guides_are_held_out_and_their_targets_are_not(
    table: CellTable, build_one: Built, split_labels: tuple[str, ...]
) -> None:
    split = build_one("guide", column="guide", folds=3, pool=("cell_type", "donor"))
    held: dict[str, dict[str, set[str]]] = {}
    for fold in split.folds:
        left = train_of(table, fold)
        for question in fold.questions:
            guides = set(table.obs[question.perturbed]["guide"])
            assert not guides & set(left["guide"])
            assert question.perturbation in set(left["perturbation"])
            held.setdefault(question.perturbation, {}).setdefault(fold.name, set()).update(guides)
    assert set(held) == set(split_labels)
    assert all(sorted(map(len, folds.values())) == [1, 1, 1] for folds in held.values())


def spoil_guides(table: CellTable) -> CellTable:
    guides = table.obs["guide"].where(table.obs["perturbation"] != "STAT1", "")
    return CellTable(table.names, table.obs.assign(guide=guides), table.context_roles, "control", "made.h5ad")


def test_cells_without_a_guide_are_refused(table: CellTable) -> None:
    spoiled = spoil_guides(table)
    with pytest.raises(SplitError, match=r"\d+ cells with 'STAT1' have no guide; fill it in, or drop them"):
        build_split(spoiled, "guide", SplitRules(minimum_cells=2), {"column": "guide", "folds": 2})


def test_a_factor_that_is_the_perturbation_is_refused(table: CellTable) -> None:
    batches = np.where(table.is_control, "ctrl", "stim")
    kang = CellTable(table.names, table.obs.assign(batch=batches), table.context_roles, "control", "kang.h5ad")
    with pytest.raises(SplitError, match="nowhere else is anything perturbed in this way"):
        build_split(kang, "batch", SplitRules(minimum_cells=2), {"column": "batch", "values": None, "folds": None})
