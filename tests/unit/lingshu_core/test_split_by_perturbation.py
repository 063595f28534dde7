"""Perturbations, families and structures that are unseen."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pandas as pd
import pytest

from lingshu_core.errors import SplitError
from lingshu_core.relations import Relations
from lingshu_core.split_builder import SplitRules, build_split
from lingshu_core.split_table import CellTable, targets_of
from lingshu_core.splits import Fold, Split

Built = Callable[..., Split]

STRUCTURES = {
    "STAT1": "c1ccccc1CC",
    "STAT2": "c1ccccc1CCC",
    "JAK2": "C1CCNCC1",
    "IRF1": "CCO",
    "MYC": "C1CCNCC1C",
    "A1CF": "OC(=O)C",
}
RELATIONS = Relations(structures=STRUCTURES, file="drugs.tsv")


@pytest.fixture
def table(split_experiment: CellTable) -> CellTable:
    return split_experiment


def train_of(table: CellTable, fold: Fold) -> pd.DataFrame:
    return table.obs[fold.train & ~table.is_control]


def test_an_unseen_perturbation_is_in_no_combination(table: CellTable, build_one: Built) -> None:
    split = build_one("unseen_perturbation", folds=2, perturbations=("JAK2",))
    (fold,) = split.folds
    assert fold.name == "JAK2"
    assert not [label for label in train_of(table, fold)["perturbation"] if "JAK2" in label]
    assert {question.perturbation for question in fold.questions} == {"JAK2"}


def test_a_target_is_unseen_by_any_method(table: CellTable, build_one: Built) -> None:
    (fold,) = build_one("unseen_perturbation", folds=2, perturbations=("IRF1 (CRISPRa)",)).folds
    assert {question.perturbation for question in fold.questions} == {"IRF1", "IRF1 (CRISPRa)"}
    assert not [label for label in train_of(table, fold)["perturbation"] if "IRF1" in label]


def test_every_perturbation_is_unseen_once(build_one: Built, split_labels: tuple[str, ...]) -> None:
    split = build_one("unseen_perturbation", folds=3, perturbations=None)
    found = [{question.perturbation for question in fold.questions} for fold in split.folds]
    assert set.union(*found) == {label for label in split_labels if "+" not in label}
    assert sum(map(len, found)) == len(set.union(*found))


def test_no_family_is_on_both_sides(table: CellTable, build_one: Built) -> None:
    split = build_one("gene_family", folds=2, relations=Relations())
    for fold in split.folds:
        held = {question.perturbation for question in fold.questions}
        left = {target for label in train_of(table, fold)["perturbation"] for target in targets_of(label)}
        if "STAT1" in held:
            assert "STAT2" in held
            assert not left & {"STAT1", "STAT2"}


def test_a_family_follows_the_users_table(build_one: Built) -> None:
    families = {"STAT1": "one", "JAK2": "one", "STAT2": "two", "IRF1": "two"}
    split = build_one("gene_family", folds=2, relations=Relations(families=families))
    groups = [{target for q in fold.questions for target in targets_of(q.perturbation)} for fold in split.folds]
    assert sorted(map(sorted, groups)) == [["IRF1", "STAT2"], ["JAK2", "STAT1"]]


def test_no_scaffold_is_on_both_sides(table: CellTable, build_one: Built) -> None:
    split = build_one("scaffold", folds=2, relations=RELATIONS)
    for fold in split.folds:
        held = {target for q in fold.questions for target in targets_of(q.perturbation)}
        left = {target for label in train_of(table, fold)["perturbation"] for target in targets_of(label)}
        assert ("STAT1" in held) == ("STAT2" in held)
        assert not {"JAK2", "MYC"} & left if "JAK2" in held else {"JAK2"} <= left


def test_drugs_without_a_structure_are_named(table: CellTable) -> None:
    obs = table.obs.assign(perturbation_type=np.where(table.is_control, "none", "drug"))
    drugs = CellTable(table.names, obs, table.context_roles, "control")
    known = Relations(structures={"STAT1": "c1ccccc1", "JAK2": "CCO"}, file="drugs.tsv")
    split = build_split(drugs, "tanimoto", SplitRules(minimum_cells=5), {"folds": 2, "threshold": 0.5}, known)
    assert "drugs without a structure in drugs.tsv, which are never held out: IRF1, STAT2" in split.notes
    with pytest.raises(SplitError, match="has the structure of none of the perturbations"):
        build_split(drugs, "scaffold", SplitRules(), {"folds": 2}, Relations(structures={"X": "CCO"}, file="drugs.tsv"))


def test_all_perturbations_cannot_be_unseen(table: CellTable) -> None:
    kept = np.isin(table.labels, ["control", "STAT1", "JAK2"])
    two = CellTable(table.names[kept], table.obs[kept].reset_index(drop=True), table.context_roles, "control")
    with pytest.raises(SplitError, match="no perturbed cells are left to learn from; hold less out"):
        build_split(
            two, "unseen_perturbation", SplitRules(minimum_cells=2), {"folds": 2, "perturbations": ("STAT1", "JAK2")}
        )
