from __future__ import annotations

import pytest

from benchmarks.ablation_data import EPOCHS, TASKS
from benchmarks.ablation_rows import BASE, ROWS, Row
from campaigns.training_spec import TrainingSpec
from lingshu_core.denoiser import configuration


def test_rows_have_names_of_their_own() -> None:
    names = [(row.factor, row.value) for row in ROWS]
    assert len(set(names)) == len(names)


def test_the_base_comes_first_and_is_the_default() -> None:
    assert Row(ROWS[0].factor, ROWS[0].value) == ROWS[0]
    assert ROWS[0].settings == BASE


def test_only_one_factor_differs_from_the_base() -> None:
    for row in ROWS[1:]:
        model = row.configuration != "direct" or bool(row.overrides) or bool(row.training)
        changes = (model, row.settings != BASE, row.blind, row.features, row.prior)
        assert sum(changes) == 1, row


@pytest.mark.parametrize("row", ROWS, ids=lambda row: f"{row.factor}: {row.value}")
def test_every_setting_of_a_row_exists(row: Row) -> None:
    configuration(row.configuration, row.overrides)
    TrainingSpec.model_validate(dict(row.training))
    assert set(row.not_for) <= set(TASKS) == set(EPOCHS)
