"""What ``lingshu diff`` shows: what differs, how far the two agree, and which conditions moved, and why."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import polars as pl
from rich.table import Table
from rich.text import Text

from screening.following_up.agreement import PERSISTENCE, Agreement
from screening.following_up.change_causes import MEMBERS, NOISE_LIMIT
from screening.following_up.comparison import GAINED, KEPT, LOST, Comparison

MOST_DIFFERENCES = 40


def describe_comparison(found: Comparison, top: int) -> Iterator[str | Table]:
    """Yield the parts of the page, text and tables."""
    for side, campaign in (("A", found.a), ("B", found.b)):
        yield f"{side}  {campaign['url']} ({campaign['name']}, run {campaign['run_id'][:16]})"
    yield f"both ask: {found.question}"
    for notice in found.notices:
        yield f"note: {notice}"
    yield ""
    yield from _differences(found)
    yield ""
    yield "\n".join(_agreement(found))
    yield from _moved(found.conditions, top)


def _differences(found: Comparison) -> Iterator[str | Table]:
    if not found.differences:
        yield "nothing differs in models, settings, nulls, gates, grids and versions"
        return
    table = Table(box=None, pad_edge=False, header_style="bold")
    for name in ("what differs", "A", "B"):
        table.add_column(name, overflow="fold")
    for each in found.differences[:MOST_DIFFERENCES]:
        table.add_row(Text(each.what), Text(each.a or "–"), Text(each.b or "–"))
    yield table
    if len(found.differences) > MOST_DIFFERENCES:
        yield f"and {len(found.differences) - MOST_DIFFERENCES} more; --json has all"


def _agreement(found: Comparison) -> Iterator[str]:
    agreed, hits = found.agreement, found.hits
    asked = found.conditions["asked"].value_counts()
    counts = dict(asked.iter_rows())
    only = f"{counts.get('A only', 0):,} asked in A only, {counts.get('B only', 0):,} in B only"
    yield f"{agreed.conditions:,} conditions are done in both; {only}"
    yield f"ranks: {_correlations(agreed)}"
    if agreed.tops:
        yield "in both tops (Jaccard): " + ", ".join(f"best {k} {share:.2f}" for k, share in agreed.tops.items())
    yield (
        f"hits: {hits['a']:,} in A, {hits['b']:,} in B; {hits[KEPT]:,} kept, {hits[LOST]:,} lost, {hits[GAINED]:,}"
        f" gained (Jaccard {hits['jaccard']:.2f})"
    )
    if found.within_noise is not None:
        too_little = " (of computation and members only)" if (found.conditions["noise_of"] == MEMBERS).any() else ""
        share = f"{found.within_noise:.0%} of the scores changed by no more than {NOISE_LIMIT:g} times"
        yield f"{share} their joint noise{too_little}"
    changed = [f"{a or 'none'} → {b or 'none'} {n:,}" for (a, b), n in found.decisions.items() if a != b]
    yield f"decisions that changed: {', '.join(changed) or 'none'}"


def _correlations(agreed: Agreement) -> str:
    shown = {
        "Spearman": agreed.spearman,
        "weighted τ": agreed.weighted_tau,
        f"rank-biased overlap (p {PERSISTENCE:g})": agreed.rank_biased_overlap,
    }
    return ", ".join(f"{name} {'–' if value is None else format(value, '.3f')}" for name, value in shown.items())


def _moved(conditions: pl.DataFrame, top: int) -> Iterator[str | Table]:
    shown = conditions.filter(pl.col("hit").is_not_null() | (pl.col("asked") == "both")).head(top)
    table = Table(box=None, pad_edge=False, header_style="bold")
    for name in ("hit", "perturbation", "context", "rank A → B", "score A → B", "decision A → B"):
        table.add_column(name, no_wrap=name in ("hit", "rank A → B", "score A → B"))
    table.add_column("why", ratio=1)
    for row in shown.iter_rows(named=True):
        table.add_row(*(Text(cell) for cell in _row(row)))
    yield ""
    yield table
    if conditions.height > shown.height:
        yield f"{shown.height:,} of {conditions.height:,} conditions; --top N shows more, --output FILE.parquet has all"


def _row(row: Mapping[str, Any]) -> tuple[str, ...]:
    context = ", ".join(part.split("=", 1)[-1] for part in row["context"].split(", "))
    ranks = " → ".join("–" if row[f"rank_{side}"] is None else str(row[f"rank_{side}"]) for side in ("a", "b"))
    scores = " → ".join("–" if row[f"score_{side}"] is None else f"{row[f'score_{side}']:+.3f}" for side in ("a", "b"))
    told = [row[f"decision_{side}"] or "–" for side in ("a", "b")]
    decision = told[0] if told[0] == told[1] else " → ".join(told)
    return row["hit"] or "", row["perturbation"], context, ranks, scores, decision, row["why"]
