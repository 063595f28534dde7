from collections.abc import Callable
from typing import Any

import polars as pl

from screening.report.missing import missing
from screening.report.source import ReportSource


def test_what_is_missing_is_grouped_by_its_reason(source: Callable[..., ReportSource]) -> None:
    assert {(each.decision, each.reason, each.amount, each.names) for each in missing(source())} == {
        ("refused", "its gate fails", 1, "TYK2 in B cells"),
        ("failed", "no shard could be computed", 1, "IRF9 in T cells"),
    }


def test_of_many_the_first_are_named(
    source: Callable[..., ReportSource], row: Callable[..., dict[str, Any]], table: Callable[..., pl.DataFrame]
) -> None:
    (found,) = missing(source(hits=table([row(f"P{i}", "T", None) for i in range(9)])))
    assert found.amount == 9
    assert found.names.endswith("P5 in T and 3 more")


def test_nothing_missing(source: Callable[..., ReportSource], hits: pl.DataFrame) -> None:
    assert missing(source(hits=hits.filter(pl.col("decision") == "hit"))) == ()
