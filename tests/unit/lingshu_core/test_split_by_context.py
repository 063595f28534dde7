"""Contexts that are unseen, and perturbations that are unseen in some."""

from __future__ import annotations

from collections.abc import Callable

import pandas as pd
import pytest

from lingshu_core.split_table import CellTable, targets_of
from lingshu_core.splits import Fold, Split

Built = Callable[..., Split]


@pytest.fixture
def table(split_experiment: CellTable) -> CellTable:
    return split_experiment


def train_of(table: CellTable, fold: Fold) -> pd.DataFrame:
    return table.obs[fold.train & ~table.is_control]


def test_a_block_is_held_out_with_what_shares_its_target(table: CellTable, build_one: Built) -> None:
    split = build_one("combination", factor="cell_type", values=("B",), perturbations=("JAK2",), folds=None)
    (fold,) = split.folds
    left = train_of(table, fold)
    assert fold.name == "JAK2 in B"
    assert not [label for label in left.loc[left["cell_type"] == "B", "perturbation"] if "JAK2" in label]
    assert "JAK2" in set(left.loc[left["cell_type"] == "T", "perturbation"])
    assert {question.context["cell_type"] for question in fold.questions} == {"B"}


def test_pooled_factors_are_left_open(table: CellTable, build_one: Built) -> None:
    split = build_one(
        "combination", factor="cell_type", values=None, perturbations=("STAT1",), folds=None, pool=("donor",)
    )
    question = split.fold("STAT1 in T").questions[0]
    assert question.label == "STAT1 in T"
    assert dict(question.context) == {"cell_type": "T"}
    assert set(table.obs[question.perturbed]["donor"]) == {"d1", "d2", "ambiguous"}


@pytest.mark.parametrize("own_controls", ["trained", "adapted", "none"])
def test_a_context_is_left_out(table: CellTable, build_one: Built, own_controls: str) -> None:
    split = build_one("unseen_context", factor="cell_type", values=None, folds=None, own_controls=own_controls)
    assert [fold.name for fold in split.folds] == ["B", "NK", "T"]
    for fold in split.folds:
        here = (table.obs["cell_type"] == fold.name).to_numpy()
        assert not (fold.train & here & ~table.is_control).any()
        assert (fold.train & here).any() == (own_controls == "trained")
        assert (fold.adaptation is not None) == (own_controls == "adapted")
        if fold.adaptation is not None:
            assert not (fold.adaptation & ~(here & table.is_control)).any()
            assert fold.adaptation.any()


def test_a_context_and_a_perturbation_are_unseen(table: CellTable, build_one: Built) -> None:
    options = {"factor": "cell_type", "values": ("T",), "perturbations": None, "own_controls": "trained"}
    split = build_one("double_unseen", folds=2, **options)
    assert [fold.name for fold in split.folds] == ["T, perturbations 1 of 2", "T, perturbations 2 of 2"]
    for fold in split.folds:
        left = train_of(table, fold)
        assert set(left["cell_type"]) == {"B", "NK"}
        seen = {target for label in left["perturbation"] for target in targets_of(label)}
        assert not seen & {target for q in fold.questions for target in targets_of(q.perturbation)}


def test_a_share_of_the_perturbations_is_held_out_in_a_donor(
    table: CellTable, build_one: Built, split_labels: tuple[str, ...]
) -> None:
    options = {"factor": "donor", "values": ("d1", "d2"), "perturbations": None, "folds": None}
    split = build_one("donor_perturbation", share=0.5, pool=("cell_type",), **options)
    fold = split.fold("d1")
    left = train_of(table, fold)
    mine = set(left.loc[left["donor"] == "d1", "perturbation"])
    held = {question.perturbation for question in fold.questions}
    assert len(held) == round(0.5 * len(split_labels))
    assert not held & mine
    assert mine
    assert held <= set(left.loc[left["donor"] == "d2", "perturbation"])
