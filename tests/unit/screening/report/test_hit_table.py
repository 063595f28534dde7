import base64
import gzip
import json
from collections.abc import Callable
from typing import Any

import polars as pl

from screening.report.hit_table import interval_of, kept_rows, packed, table_content
from screening.report.source import ReportSource


def values(column: Any) -> list[Any]:
    return column if isinstance(column, list) else [column["values"][code] for code in column["codes"]]


def test_the_page_holds_the_rows_in_their_order(source: Callable[..., ReportSource], hits: pl.DataFrame) -> None:
    content = table_content(source(), {("STAT1", "cell_type=T cells"): "evidence-1"})
    columns = content["columns"]
    assert content["rows"] == 6
    for name in ("perturbation", "decision", "rank", "gate"):
        assert values(columns[name]) == hits[name].to_list()
    assert values(columns["context"]) == ["B cells", "T cells", "T cells", "B cells", "B cells", "T cells"]
    assert values(columns["evidence"]) == [None, "evidence-1", None, None, None, None]
    assert columns["low"][:3] == [0.4, 0.4, -0.1]
    assert content["span"] == [0.0, 0.5]


def test_texts_that_repeat_stand_there_once(source: Callable[..., ReportSource]) -> None:
    assert table_content(source(), {})["columns"]["perturbation_type"]["values"] == ["genetic"]


def test_a_long_table_is_cut_but_for_hits(hits: pl.DataFrame) -> None:
    assert kept_rows(hits, 1)["decision"].to_list() == ["hit", "hit"]
    assert kept_rows(hits, 100).height == hits.height


def test_without_a_null_the_interval_is_that_of_the_computation(
    source: Callable[..., ReportSource], row: Callable[..., dict[str, Any]], table: Callable[..., pl.DataFrame]
) -> None:
    plain = table([row("A", "T", 0.5), row("B", "T", None)])
    assert interval_of(plain) == "monte_carlo"
    columns = table_content(source(hits=plain), {})["columns"]
    assert (columns["low"], columns["middle"]) == ([0.48, None], [0.5, None])


def test_what_is_packed_comes_out_again(source: Callable[..., ReportSource]) -> None:
    content = table_content(source(), {})
    assert json.loads(gzip.decompress(base64.b64decode(packed(content)))) == content
    assert packed(content) == packed(content)


def test_numbers_that_are_none_are_empty(source: Callable[..., ReportSource], hits: pl.DataFrame) -> None:
    odd = hits.with_columns(score_se=pl.lit(float("nan")))
    assert set(table_content(source(hits=odd), {})["columns"]["score_se"]) == {None}
