from __future__ import annotations

import polars as pl
import pytest

from lingshu_core.score_table import LEFT_OUT, VALUES, ScoreRows, Scores, join_scores


def _rows() -> ScoreRows:
    rows = ScoreRows("fold 1")
    rows.add("mae", "a", 0.5)
    rows.add("mae", "b", 0.7)
    return rows


def test_values_and_reasons_have_their_columns_even_when_empty() -> None:
    assert Scores().values.schema == VALUES
    assert ScoreRows().scores().left_out.schema == LEFT_OUT
    assert join_scores([]).values.schema == VALUES


@pytest.mark.parametrize("nothing", [None, float("nan"), float("inf")])
def test_what_is_no_number_is_left_out_with_its_reason(nothing: float | None) -> None:
    rows = _rows()
    rows.add("mae", "c", nothing, "no cells")
    found = rows.scores()
    assert found.values["label"].to_list() == ["a", "b"]
    assert found.left_out.row(0) == ("mae", "fold 1", "c", "no cells")


def test_means_are_over_what_is_there() -> None:
    assert _rows().scores().mean("mae") == pytest.approx(0.6)
    assert _rows().scores().mean("pds_l1") is None


def test_tables_are_joined() -> None:
    other = ScoreRows("fold 2")
    other.leave_out("pds_l1", None, "one perturbation")
    both = join_scores([_rows().scores(), other.scores()])
    assert both.values.height == 2
    assert both.left_out.filter(pl.col("label").is_null())["fold"].to_list() == ["fold 2"]
