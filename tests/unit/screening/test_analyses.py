"""What is published beside the ranked table."""

import json
from pathlib import Path
from typing import Any

import polars as pl
import pytest

from screening.analyses import ScoredScreen, analyse
from screening.campaign import PlannedCampaign
from screening.effect_matrix import EffectMatrix
from screening.hits import COLUMNS, hit_table
from screening.null_table import null_table
from screening.publication import NULL


@pytest.fixture
def null() -> pl.DataFrame:
    row: dict[str, Any] = {"perturbation": "null-1", "context": "T", "status": "done", "score": 0.1, "cell_type": "T"}
    return null_table([row], ("cell_type",))


def test_without_a_null_there_is_no_table_of_it(planned: PlannedCampaign) -> None:
    assert NULL not in analyse(ScoredScreen(planned, hit_table([], {}), None, EffectMatrix(("A",))))


def test_every_column_of_the_null_has_a_meaning(planned: PlannedCampaign, null: pl.DataFrame, tmp_path: Path) -> None:
    table = analyse(ScoredScreen(planned, hit_table([], {}), null, EffectMatrix(("A",))))[NULL]
    assert table.rows is null
    assert list(table.meanings) == null.columns
    assert table.meanings["score"] == COLUMNS["score"][1]
    (tmp_path / NULL).write_bytes(table.to_parquet())
    told = json.loads(pl.read_parquet_metadata(tmp_path / NULL)["lingshu.columns"])
    assert set(told) == set(pl.read_parquet(tmp_path / NULL).columns)
