"""Evidence for the best conditions: a card for each, from the tables that the run published."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import polars as pl

from screening.deciding.decisions import HIT
from screening.following_up.evidence_columns import EVIDENCE, EVIDENCE_ITEMS
from screening.report.source import ReportSource
from screening.report.verdict import decided
from screening.report.wording import NONE, context_names, count, fixed, number, signed

Row = Mapping[str, Any]
MOST_CARDS = 50
SHOWN_CARDS = 12
"""Cards that are listed at once; the others unfold."""
BAR = 100.0
"""Width of a bar's box, in units of its own drawing."""
_LISTS: Mapping[str, str] = {
    "gene_set": "Gene sets",
    "link": "Known links to the objective",
    "alike_in_effect": "Most alike in effect",
    "alike_on_objective": "Most alike on the objective",
    "alike_by_features": "Most alike by features",
}
_SEEN: Mapping[str, str] = {
    "here": "{here} in this context, {everywhere} in all",
    "elsewhere": "no cell in this context, {everywhere} in others",
    "parts": "only its parts were seen",
    "features": "no cell: known by features, or by controls of the context alone",
}


@dataclass(frozen=True)
class Gene:
    """A gene's effect: words, and a bar from the middle of its box."""

    name: str
    effect: str
    interval: str
    note: str
    start: float
    width: float


@dataclass(frozen=True)
class Listing:
    """Things that are said of a condition: a title, and name, value and note of each."""

    title: str
    rows: tuple[tuple[str, str, str], ...]


@dataclass(frozen=True)
class EvidenceCard:
    """All that speaks for a condition and against it."""

    anchor: str
    perturbation: str
    context: str
    decision: str
    rank: int | None
    facts: tuple[tuple[str, str], ...]
    up: tuple[Gene, ...]
    down: tuple[Gene, ...]
    listings: tuple[Listing, ...]
    refutation: str


def anchors(source: ReportSource) -> dict[tuple[str, str], str]:
    """Return the anchors of all cards by perturbation and context."""
    return {
        (row["perturbation"], row["context"]): f"evidence-{place}"
        for place, row in enumerate(_chosen(source).iter_rows(named=True), start=1)
    }


def _chosen(source: ReportSource) -> pl.DataFrame:
    table = source.table(EVIDENCE)
    if table.is_empty():
        return table
    is_hit = (pl.col("decision") == HIT).fill_null(value=False)
    return table.sort(is_hit, "rank", descending=[True, False], nulls_last=True).head(MOST_CARDS)


def cards(source: ReportSource) -> Iterator[EvidenceCard]:
    """Yield the cards, hits first."""
    chosen = _chosen(source)
    if chosen.is_empty():
        return
    keys = ["perturbation", "context"]
    names = context_names(source.hits["context"])
    rows = decided(source.hits).join(chosen.select(keys), on=keys, how="semi")
    hits = {(row["perturbation"], row["context"]): row for row in rows.iter_rows(named=True)}
    items = source.table(EVIDENCE_ITEMS).join(chosen.select(keys), on=keys, how="semi")
    of_each = items.partition_by(keys, as_dict=True) if items.height else {}
    for key, anchor in anchors(source).items():
        summary = chosen.filter((pl.col("perturbation") == key[0]) & (pl.col("context") == key[1])).row(0, named=True)
        if key in hits:
            yield _card(anchor, names[key[1]], hits[key], summary, of_each.get(key, items.clear()))


def _card(anchor: str, context: str, hit: Row, summary: Row, items: pl.DataFrame) -> EvidenceCard:
    up, down = (list(items.filter(pl.col("kind") == kind).iter_rows(named=True)) for kind in ("gene_up", "gene_down"))
    most = max((abs(row["value"]) for row in [*up, *down]), default=1.0) or 1.0
    return EvidenceCard(
        anchor=anchor,
        perturbation=hit["perturbation"],
        context=context,
        decision=hit["decision"],
        rank=hit["rank"],
        facts=tuple(_facts(hit, summary)),
        up=tuple(_gene(row, most) for row in up),
        down=tuple(_gene(row, most) for row in down),
        listings=tuple(_listings(items)),
        refutation=summary["refutation"] or "",
    )


def _facts(hit: Row, summary: Row) -> Iterator[tuple[str, str]]:
    yield "Decision", hit.get("decision_reason") or "no reason given"
    yield "Score", f"{signed(hit['score'])} {hit.get('score_unit') or ''} (Monte Carlo error {number(hit['score_se'])})"
    if summary["claim"] is not None:
        ends = f"90 % interval {number(summary['claim_low'])} to {number(summary['claim_high'])}"
        yield "Claim", f"an effect of {number(summary['claim'])} ({ends})"
    yield "Training", _seen(hit, summary)
    if summary["on_target"]:
        yield "Own target", _own_target(hit, summary)
    if summary["direct_links"] is not None:
        yield (
            "Network",
            f"{count(summary['direct_links'], 'gene')} of the objective linked directly,"
            f" {summary['indirect_links'] or 0:,} through one gene",
        )
    yield "Gate", hit.get("gate") or "not measured"
    yield "By", _how(hit)


def _how(hit: Row) -> str:
    """Name steps, guidance and paths, as every effect that is shown does."""
    steps = "" if hit.get("steps") is None else f"; T = {hit['steps']} {hit['schedule']} steps, w = {hit['guidance']:g}"
    return f"{(hit.get('estimator') or 'unknown estimator').replace('_', ' ')}{steps}; {hit.get('paths') or NONE}"


def _seen(hit: Row, summary: Row) -> str:
    here, everywhere = count(hit["training_cells"], "cell"), count(hit["training_cells_all"], "cell")
    words = _SEEN.get(summary["seen"], str(summary["seen"])).format(here=here, everywhere=everywhere)
    near = summary["nearest_trained"]
    return words + (f"; nearest trained {near}, distance {number(summary['feature_distance'])}" if near else "")


def _own_target(hit: Row, summary: Row) -> str:
    if summary["on_target_low"] is None or hit.get("on_target_effect") is None:
        return str(summary["on_target"])
    ends = f"{signed(summary['on_target_low'])} to {signed(summary['on_target_high'])}"
    return f"{summary['on_target']}: {signed(hit['on_target_effect'])} ({ends}) log1p counts per 10k"


def _gene(row: Row, most: float) -> Gene:
    width = BAR / 2 * abs(row["value"]) / most
    return Gene(
        name=row["name"],
        effect=signed(row["value"]),
        interval=f"{signed(row['low'])} to {signed(row['high'])}",
        note=row["note"] or "",
        start=round(BAR / 2 if row["value"] >= 0 else BAR / 2 - width, 1),
        width=round(width, 1),
    )


def _listings(items: pl.DataFrame) -> Iterator[Listing]:
    for kind, title in _LISTS.items():
        rows = items.filter(pl.col("kind") == kind).sort("place")
        if rows.height:
            yield Listing(title, tuple(_listed(row) for row in rows.iter_rows(named=True)))


def _listed(row: Row) -> tuple[str, str, str]:
    value = f"{row['value']:+.0f}" if row["kind"] == "link" else fixed(row["value"])
    q = "" if row["q"] is None else f"q {number(row['q'], 2)}, {count(row['genes'] or 0, 'gene')}"
    return row["name"], value, "; ".join(filter(None, (q, row["note"] or "")))
