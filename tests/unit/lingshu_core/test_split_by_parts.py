"""Combinations with none, some or all parts seen."""

from __future__ import annotations

from collections.abc import Callable

import pandas as pd
import pytest

from lingshu_core.errors import SplitError
from lingshu_core.split_table import CellTable, targets_of
from lingshu_core.splits import Fold, Split

Built = Callable[..., Split]


@pytest.fixture
def table(split_experiment: CellTable) -> CellTable:
    return split_experiment


def train_of(table: CellTable, fold: Fold) -> pd.DataFrame:
    return table.obs[fold.train & ~table.is_control]


def test_combinations_are_asked_by_how_many_parts_were_seen(table: CellTable, build_one: Built) -> None:
    split = build_one("parts", seen=(0, 1, 2), hide_singles=False)
    by_name = {fold.name: {question.perturbation for question in fold.questions} for fold in split.folds}
    assert by_name == {
        "0 parts seen": {"A1CF+MYC"},
        "1 part seen": {"MYC+STAT2"},
        "2 parts seen": {"JAK2+STAT1", "IRF1+JAK2"},
    }
    left = set(train_of(table, split.fold("1 part seen"))["perturbation"])
    assert "STAT2" in left
    assert not [label for label in left if "MYC" in label]


def test_parts_can_be_hidden(table: CellTable, build_one: Built) -> None:
    split = build_one("parts", seen=(0,), hide_singles=True)
    found = {question.perturbation for fold in split.folds for question in fold.questions}
    assert found == {"A1CF+MYC", "MYC+STAT2", "JAK2+STAT1", "IRF1+JAK2"}
    for fold in split.folds:
        hidden = {target for question in fold.questions for target in targets_of(question.perturbation)}
        left = {target for label in train_of(table, fold)["perturbation"] for target in targets_of(label)}
        assert not left & hidden


def test_what_is_missing_of_combinations_is_said(build_one: Built) -> None:
    with pytest.raises(SplitError, match="3 parts seen: 0 or 1 or 2 parts of the combinations are there by themselves"):
        build_one("parts", seen=(3,), hide_singles=True)
