"""``lingshu evidence``: a page for one condition, from the published tables alone."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import polars as pl
from rich.table import Table
from rich.text import Text

from campaigns.nearest import hint
from screening.errors import ResultsError
from screening.following_up.evidence_columns import CONDITION_COLUMNS, EVIDENCE, EVIDENCE_ITEMS, ITEM_COLUMNS
from screening.publishing.publication import filter_hits, open_results, read_hits, read_table

_TITLES: Mapping[str, tuple[str, str]] = {
    "gene_up": ("genes that rise most", "effect in log1p counts per 10k, 90 % Monte Carlo interval"),
    "gene_down": ("genes that fall most", "effect in log1p counts per 10k, 90 % Monte Carlo interval"),
    "gene_set": (
        "gene sets",
        "chance that a gene of the set has a larger effect than another; q takes genes for independent: read it as an"
        " order",
    ),
    "link": ("known links to the objective", "→ 1 activates, −1 represses, 0 not known"),
    "alike_in_effect": ("most alike in effect", "correlation over all genes, same context"),
    "alike_on_objective": ("most alike on the objective", "correlation over its genes, same context"),
    "alike_by_features": ("most alike by features", "cosine, among those that were trained"),
}


@dataclass(frozen=True)
class EvidencePage:
    """Everything that is known of one condition.

    Attributes
    ----------
    hit
        Its row of the hit table.
    summary
        Its row of ``evidence.parquet``.
    items
        Its rows of ``evidence_items.parquet``.
    others
        Further contexts that there is evidence of this perturbation in.
    """

    hit: Mapping[str, Any]
    summary: Mapping[str, Any]
    items: pl.DataFrame
    others: tuple[str, ...]

    def as_json(self) -> dict[str, Any]:
        """Return it as plain data."""
        return {
            "hit": dict(self.hit),
            "evidence": dict(self.summary),
            "items": self.items.drop("perturbation", "context").to_dicts(),
            "other_contexts": list(self.others),
        }

    def _repr_html_(self) -> str:
        """Let a notebook show the page as the command line prints it."""
        from screening.notebook.notebook_html import rich_html

        return rich_html(describe_evidence(self))


def read_evidence(url: str, perturbation: str, contexts: Sequence[str]) -> EvidencePage:
    """Read the evidence of one condition: the best-ranked one of a perturbation that fits the contexts.

    Raises
    ------
    ResultsError
        If there are no results, no such condition, or no evidence of it.
    """
    blobs = open_results(url)
    hits = filter_hits(read_hits(blobs), contexts, None).filter(pl.col("perturbation") == perturbation)
    if hits.is_empty():
        known = filter_hits(read_hits(blobs), contexts, None)["perturbation"].unique().sort().to_list()
        raise ResultsError(f"{url}: no perturbation {perturbation!r}; {hint(perturbation, known)}")
    gathered = read_table(blobs, EVIDENCE, CONDITION_COLUMNS)
    here = gathered.filter(
        (pl.col("perturbation") == perturbation) & pl.col("context").is_in(hits["context"].implode())
    )
    if here.is_empty():
        raise ResultsError(_none_gathered(url, hits.row(0, named=True), gathered))
    summary = here.sort("rank").row(0, named=True)
    items = read_table(blobs, EVIDENCE_ITEMS, ITEM_COLUMNS)
    mine = (pl.col("perturbation") == perturbation) & (pl.col("context") == summary["context"])
    return EvidencePage(
        hit=hits.filter(pl.col("context") == summary["context"]).row(0, named=True),
        summary=summary,
        items=items.filter(mine),
        others=tuple(context for context in here.sort("rank")["context"] if context != summary["context"]),
    )


def _none_gathered(url: str, hit: Mapping[str, Any], gathered: pl.DataFrame) -> str:
    what = f"{url}: no evidence of {hit['perturbation']} in {hit['context']}"
    if hit["status"] != "done":
        return f"{what}: it failed ({hit['reason']})"
    return (
        f"{what} (rank {hit['rank']}, {hit.get('decision') or 'not decided'}): it was gathered for {gathered.height:,}"
        " conditions, hits first; set `evidence: {top: N}` higher and run the campaign again, nothing is computed anew"
    )


def describe_evidence(page: EvidencePage) -> Iterator[str | Text | Table]:
    """Yield the parts of the page."""
    yield "\n".join(_head(page))
    yield ""
    yield from _genes(page.items)
    for kind in list(_TITLES)[2:]:
        yield from _section(page.items, kind)
    yield "what would refute this"
    yield Text(page.summary["refutation"])


def _head(page: EvidencePage) -> Iterator[str]:
    hit, found = page.hit, page.summary
    yield f"{found['perturbation']} in {found['context']}"
    spread = "" if hit.get("score_sd") is None else f", between members {hit['score_sd']:.3f}"
    yield (
        f"rank {hit['rank']}, score {hit['score']:+.3f} {hit.get('score_unit') or ''}"
        f" (Monte Carlo error {hit['score_se']:.3f}{spread})"
    )
    yield f"{hit.get('decision') or 'not decided'}: {hit.get('decision_reason') or 'no reason given'}"
    yield f"by {_how(hit)}"
    yield f"training: {_seen(hit, found)}; gate: {hit.get('gate') or 'not measured'}"
    if found["on_target"]:
        yield f"own target: {_own_target(hit, found)}"
    if found["direct_links"] is not None:
        yield (
            f"genes of the objective in the network: {found['direct_links']:,} linked directly,"
            f" {found['indirect_links']:,} through one gene"
        )
    if not found["has_effects"]:
        yield "effects of its single genes were not kept, as better conditions fill effects.h5ad"
    if page.others:
        yield f"also in: {'; '.join(page.others)} (--context)"


def _how(hit: Mapping[str, Any]) -> str:
    steps = (
        "" if hit.get("steps") is None else f", {hit['steps']} {hit['schedule']} steps, guidance {hit['guidance']:g}"
    )
    return f"{hit.get('estimator') or 'an unknown estimator'}{steps}, {hit.get('paths') or 'unknown paths'}"


def _seen(hit: Mapping[str, Any], found: Mapping[str, Any]) -> str:
    here, everywhere = hit["training_cells"], hit["training_cells_all"]
    words = {
        "here": f"{here:,} cells here, {everywhere:,} in all contexts",
        "elsewhere": f"none here, {everywhere:,} cells in other contexts",
        "parts": "only its parts were seen",
        "features": "known by features or by controls of the context alone",
    }
    near = found["nearest_trained"]
    return words[found["seen"]] + (
        f", nearest trained {near} (distance {found['feature_distance']:.2f})" if near else ""
    )


def _own_target(hit: Mapping[str, Any], found: Mapping[str, Any]) -> str:
    if found["on_target_low"] is None or hit["on_target_effect"] is None:
        return str(found["on_target"])
    return (
        f"{found['on_target']}: {hit['on_target_effect']:+.3f} ({found['on_target_low']:+.3f} to"
        f" {found['on_target_high']:+.3f}) log1p counts per 10k, in controls {found['on_target_control']:.3f}"
    )


def _genes(items: pl.DataFrame) -> Iterator[str | Table]:
    for kind in ("gene_up", "gene_down"):
        rows = items.filter(pl.col("kind") == kind)
        if rows.height:
            yield _title(kind)
            table = _plain("", "effect", "90 % interval", "between members", "")
            for row in rows.iter_rows(named=True):
                spread = "" if row["sd"] is None else f"{row['sd']:.3f}"
                interval = f"{row['low']:+.3f} to {row['high']:+.3f}"
                table.add_row(*map(Text, (row["name"], f"{row['value']:+.3f}", interval, spread, row["note"] or "")))
            yield table
            yield ""


def _section(items: pl.DataFrame, kind: str) -> Iterator[str | Table]:
    rows = items.filter(pl.col("kind") == kind)
    if rows.is_empty():
        return
    yield _title(kind)
    is_set = kind == "gene_set"
    table = _plain("", "chance" if is_set else "", *(("q", "genes") if is_set else ()), "")
    for row in rows.iter_rows(named=True):
        value = f"{row['value']:+.0f}" if kind == "link" else f"{row['value']:.2f}"
        more = (f"{row['q']:.2g}", str(row["genes"])) if is_set else ()
        table.add_row(*map(Text, (row["name"], value, *more, row["note"] or "")))
    yield table
    yield ""


def _title(kind: str) -> str:
    title, unit = _TITLES[kind]
    return f"{title} ({unit})"


def _plain(*names: str) -> Table:
    table = Table(box=None, pad_edge=False, header_style="bold")
    for place, name in enumerate(names):
        table.add_column(name, justify="left" if place in (0, len(names) - 1) else "right", overflow="fold")
    return table
