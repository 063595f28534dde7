"""Further questions of a screen beside its ranked table: across contexts and patients, and of combinations."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import polars as pl

from screening.answers.across_contexts import PAN_CONTEXT, PATIENTS, SELECTIVE
from screening.answers.interactions import INTERACTIONS
from screening.report.source import ReportSource
from screening.report.wording import NONE, context_names, count, listed, number, signed

MOST_ROWS = 15


@dataclass(frozen=True)
class FurtherTable:
    """A table of a report: what it answers, and its first rows as text.

    Attributes
    ----------
    name, title
        For links, and for people.
    lead
        What is in the whole table, in a sentence.
    columns
        Heading → whether it holds numbers.
    more, file
        Rows that aren't shown, and where they are.
    """

    name: str
    title: str
    lead: str
    columns: Mapping[str, bool]
    rows: tuple[tuple[str, ...], ...]
    more: int
    file: str


@dataclass(frozen=True)
class _Shown:
    """How a table of results is shown."""

    title: str
    what: str
    class_of: str
    order: str
    cells: Mapping[str, Callable[[Mapping[str, Any]], str]]
    note: str


def further_tables(source: ReportSource) -> Iterator[FurtherTable]:
    """Yield the tables that the campaign has; none where it asked none of these questions."""
    names = context_names(source.hits["context"])
    for file, shown in _TABLES.items():
        table = source.table(file)
        if table.is_empty():
            continue
        rows = table.sort(shown.order, descending=shown.order != "rank", nulls_last=True)
        if file == INTERACTIONS:  # it is in its own order, the largest either way first
            rows = table.with_columns(pl.col("context").replace(names))
        elif file == PATIENTS:
            rows = rows.filter(pl.col("decision") == "hit")
        cells = [tuple(write(row) for write in shown.cells.values()) for row in rows.head(MOST_ROWS).to_dicts()]
        yield FurtherTable(
            file.removesuffix(".parquet").replace("_", "-"),
            shown.title,
            _lead(table, shown),
            {name: _is_number(write) for name, write in shown.cells.items()},
            tuple(cells),
            max(0, rows.height - MOST_ROWS),
            file,
        )


def _lead(table: pl.DataFrame, shown: _Shown) -> str:
    found = table.filter(pl.col(shown.class_of).is_not_null())[shown.class_of].value_counts(sort=True)
    told = listed([f"{amount:,} {name}" for name, amount in found.iter_rows()])
    return f"Of {count(table.height, shown.what)}: {told or 'none decided'}. {shown.note}"


def _text(column: str) -> Callable[[Mapping[str, Any]], str]:
    return lambda row: str(row[column] or NONE)


class _Number:
    """Writes a column of numbers, with the ends of its interval where it has any."""

    def __init__(self, column: str, interval: str = "", *, has_sign: bool = True) -> None:
        self._column, self._interval, self._write = column, interval, signed if has_sign else number

    def __call__(self, row: Mapping[str, Any]) -> str:
        """Write the number of a row."""
        value = row[self._column]
        low, high = (row.get(f"{self._interval}_{end}") for end in ("low", "high"))
        ends = f" ({signed(low)} to {signed(high)})" if low is not None and high is not None else ""
        return f"{self._write(value)}{ends}"


def _is_number(write: Callable[[Mapping[str, Any]], str]) -> bool:
    return isinstance(write, _Number)


_TABLES: Mapping[str, _Shown] = {
    PAN_CONTEXT: _Shown(
        "In all contexts",
        "perturbation",
        "decision",
        "rank",
        {
            "Perturbation": _text("perturbation"),
            "Decision": _text("decision"),
            "Effect on average": _Number("pooled_effect", "pooled"),
            "Why": _text("decision_reason"),
        },
        "A pan hit works in every context, and by the same amount but for noise. Effects are above the null.",
    ),
    SELECTIVE: _Shown(
        "In one context alone",
        "row",
        "decision",
        "rank",
        {
            "Perturbation": _text("perturbation"),
            "Here": _text("context"),
            "Decision": _text("decision"),
            "Here less elsewhere": _Number("difference", "difference"),
            "Why": _text("decision_reason"),
        },
        "A selective hit works here and less in every other context.",
    ),
    PATIENTS: _Shown(
        "Patients",
        "row",
        "shared",
        "above_null",
        {
            "Perturbation": _text("perturbation"),
            "Donor": _text("donor"),
            "Cells": _text("cells"),
            "Above the null": _Number("above_null"),
            "Hit in": _text("shared"),
            "Less the mean of donors": _Number("deviation", "deviation"),
        },
        "Of the hits: all is a hit in every donor, one in this donor alone, some in several, open where others are"
        " undecided.",
    ),
    INTERACTIONS: _Shown(
        "Combinations",
        "combination in a context",
        "class",
        "interaction",
        {
            "Combination": _text("perturbation"),
            "Context": _text("context"),
            "Class": _text("class"),
            "Score": _Number("score"),
            "Sum of parts": _Number("expected"),
            "Interaction": _Number("interaction", "interaction"),
            "Why": _text("class_reason"),
        },
        "Synergy is more than the sum of the parts, antagonism less. Cells that had a combination are in the table"
        " as training cells; without any, the model only carries over what the parts do.",
    ),
}
