"""Side effects of a screen: how many are safe, and the front on which nothing does more with less harm."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import polars as pl

from screening.answers.safety import FAILED, SAFE, SAFETY, UNDECIDED, UNSAFE
from screening.report.source import ReportSource
from screening.report.wording import context_names, count, number, signed

MOST_ROWS = 25
COLUMNS = ("Perturbation", "Context", "Score", "Harm", "Safety", "Why")


@dataclass(frozen=True)
class SideEffects:
    """What is known of side effects: a sentence, and the rows of the Pareto front, best score first."""

    lead: str
    rows: tuple[tuple[str, ...], ...]
    more: int


def side_effects(source: ReportSource) -> SideEffects | None:
    """Read ``safety.parquet``; None where the campaign asked for none."""
    table = source.table(SAFETY)
    if table.is_empty():
        return None
    names = context_names(source.hits["context"])
    front = table.filter(pl.col("is_on_front").fill_null(value=False)).sort("score", descending=True, nulls_last=True)
    rows = tuple(
        (
            row["perturbation"],
            names.get(row["context"], row["context"]),
            signed(row["score"]),
            number(row["harm"]),
            row["safety"],
            row["safety_reason"] or "",
        )
        for row in front.head(MOST_ROWS).iter_rows(named=True)
    )
    return SideEffects(_lead(table), rows, max(0, front.height - MOST_ROWS))


def _lead(table: pl.DataFrame) -> str:
    hits = table.filter(pl.col("decision") == "hit")
    of = hits if hits.height else table
    found: Mapping[str, int] = dict(of.group_by("safety").len().iter_rows())
    told = ", ".join(f"{found[name]:,} {name}" for name in (SAFE, UNSAFE, UNDECIDED, FAILED) if name in found)
    what = count(hits.height, "hit") if hits.height else count(table.height, "condition")
    return f"Of {what}: {told}. Safe is under every limit at 95 %, one-sided; unsafe is over one."
