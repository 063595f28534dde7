"""The rows of a ranked table that can be drawn: those with a score, best first, with every column that plots need."""

from __future__ import annotations

from collections.abc import Iterable

import polars as pl

from screening.deciding.hits import COLUMNS
from screening.errors import FigureError
from screening.figures.marks import UNKNOWN

_NEEDED = ("rank", "status", "perturbation", "context", "score")


def scored_rows(hits: pl.DataFrame) -> pl.DataFrame:
    """Return the conditions with a score by rank; columns that an older table doesn't have are empty.

    Raises
    ------
    FigureError
        If it is no ranked table of a screen, or no condition has a score.
    """
    if missing := [name for name in _NEEDED if name not in hits.columns]:
        what = f"this is no ranked table of a screen: it has no column {missing[0]!r}"
        raise FigureError(f"there is nothing to draw: {what}")
    lacking = {name: pl.lit(None, kind) for name, (kind, _) in COLUMNS.items() if name not in hits.columns}
    rows = hits.with_columns(**lacking).filter(pl.col("status") == "done").sort("rank")
    if rows.is_empty():
        raise FigureError(f"there is nothing to draw: none of {hits.height:,} conditions has a score; see `reason`")
    return rows.with_columns(pl.col("decision").fill_null(UNKNOWN))


def with_null(rows: pl.DataFrame, column: str) -> pl.DataFrame:
    """Keep the rows where a column that comes from the null has a value.

    Raises
    ------
    FigureError
        If none has.
    """
    kept = rows.filter(pl.col(column).is_not_null())
    if kept.is_empty():
        why = "none of these conditions was held against a null; train with `pseudo_perturbations`"
        raise FigureError(f"there is nothing to draw: no {column}: {why}")
    return kept


def label_of(row: dict[str, object], *, contexts: int) -> str:
    """Return what a condition is called: without its context where there is but one."""
    return str(row["perturbation"]) if contexts == 1 else f"{row['perturbation']} · {values_of(str(row['context']))}"


def values_of(context: str) -> str:
    """Shorten ``cell_type=B cells, donor=D1`` to ``B cells, D1``."""
    return ", ".join(part.partition("=")[2] or part for part in context.split(", "))


def factors_of(contexts: Iterable[str]) -> str:
    """Return the names that `values_of` leaves out: ``cell_type, donor``."""
    found = dict.fromkeys(part.partition("=")[0] for context in contexts for part in context.split(", ") if "=" in part)
    return ", ".join(found)


def unit_of(rows: pl.DataFrame) -> str:
    """Return the unit of the scores."""
    units = rows["score_unit"].drop_nulls().unique().sort().to_list()
    return ", ".join(units) or "unit unknown"


def how(rows: pl.DataFrame) -> str:
    """Say by which estimator, steps, guidance and paths the scores were made."""
    first = rows.row(0, named=True)
    said = [f"{rows.height:,} scored conditions", first["estimator"] or "", first["paths"] or ""]
    if first["steps"] is not None:
        said.insert(2, f"{first['steps']} {first['schedule']} steps, guidance {first['guidance']:g}")
    return "; ".join(filter(None, said))
