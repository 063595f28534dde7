"""What a screen doesn't answer: refused and failed conditions by their reason."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import polars as pl

from screening.deciding.decisions import FAILED, REFUSED
from screening.report.source import ReportSource
from screening.report.verdict import decided
from screening.report.wording import NAMED, context_names, listed

MOST_REASONS = 30


@dataclass(frozen=True)
class Missing:
    """Conditions that were refused or failed for one reason."""

    decision: str
    reason: str
    amount: int
    names: str


def missing(source: ReportSource) -> tuple[Missing, ...]:
    """Group what was refused and what failed by reason, the most frequent first."""
    hits = decided(source.hits).filter(pl.col("decision").is_in([REFUSED, FAILED]))
    return tuple(_groups(hits, context_names(source.hits["context"])))


def _groups(hits: pl.DataFrame, contexts: dict[str, str]) -> Iterator[Missing]:
    said = pl.coalesce("reason", "decision_reason") if "decision_reason" in hits.columns else pl.col("reason")
    reason = said.fill_null("no reason given")
    groups = hits.group_by("decision", reason.alias("_reason"), maintain_order=True).agg(
        pl.len(), pl.col("perturbation").head(NAMED), pl.col("context").head(NAMED)
    )
    for row in groups.sort("len", descending=True, maintain_order=True).head(MOST_REASONS).iter_rows(named=True):
        labels = zip(row["perturbation"], row["context"], strict=True)
        names = [f"{name} in {contexts[context]}" for name, context in labels]
        more = row["len"] - len(names)
        told = f"{', '.join(names)} and {more:,} more" if more else listed(names)
        yield Missing(row["decision"], row["_reason"], row["len"], told)
