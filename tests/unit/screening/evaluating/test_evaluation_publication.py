from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest

from screening.evaluating.evaluation_publication import effect_table, perturbation_table
from screening.evaluating.evaluation_scores import FoldScorer
from screening.evaluating.evaluation_sections import Findings
from screening.evaluating.evaluation_tables import Tables


@pytest.fixture
def tables(tiny_evaluation: Path) -> Tables:
    return Tables(**{name: pl.read_parquet(tiny_evaluation / f"{name}.parquet") for name in Tables.__annotations__})


def test_a_row_is_a_question_and_a_model(tables: Tables) -> None:
    wide = perturbation_table(tables)
    assert wide.select("fold", "label", "model").is_unique().all()
    one = wide.row(0, named=True)
    where = [pl.col(name) == one[name] for name in ("fold", "label", "model")]
    assert one["wmse"] == tables.scores.filter(*where, pl.col("metric") == "wmse")["value"].mean()


def test_effects_that_are_too_many_are_not_exported(
    tables: Tables, plan_evaluation: Callable[..., Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    planned = plan_evaluation()
    fold = planned.split.folds[0]
    truth = FoldScorer(planned.cells, fold, ["effects"]).truth
    effects = {fold.name: {"m": {fold.questions[0].label: np.ones(40), "for calibration": np.ones(40)}}}
    found = Findings("f", (), tables, (), "label", effects=effects, truths={fold.name: truth})
    table = effect_table(found, planned.cells)
    assert table is not None
    assert table.obs["label"].to_list() == [fold.questions[0].label]
    monkeypatch.setattr("screening.evaluating.evaluation_publication.LARGEST_EXPORT", 39)
    assert effect_table(found, planned.cells) is None
