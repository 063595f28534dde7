"""Published results made by hand: nothing is trained or predicted."""

from collections.abc import Callable
from typing import Any

import polars as pl
import pytest

from screening.deciding.hits import COLUMNS
from screening.following_up.evidence_columns import CONDITION_COLUMNS, EVIDENCE, EVIDENCE_ITEMS, ITEM_COLUMNS
from screening.publishing.published_campaign import PublishedCampaign
from screening.report.source import CardFound, ReportSource

HOSTILE = "<script>alert(1)</script>\"&'</textarea>"


@pytest.fixture
def hostile() -> str:
    """A name that would do harm if a page took it for HTML."""
    return HOSTILE


@pytest.fixture
def row() -> Callable[..., dict[str, Any]]:
    """Make a row of the ranked table: `row("A", "T", 0.5, decision="hit")`; no score for one that failed."""

    def make(perturbation: str, context: str, score: float | None, **changes: Any) -> dict[str, Any]:
        done = score is not None
        made = {
            "perturbation": perturbation,
            "perturbation_type": "genetic",
            "context": f"cell_type={context}",
            "cell_type": context,
            "status": "done" if done else "failed",
            "reason": None if done else "no shard could be computed",
            "decision": "not" if done else "failed",
            "support": "in_vocabulary",
            "gate": "not measured",
            "score": score,
            "score_unit": "control standard deviations",
            "training_cells": 30,
            "training_cells_all": 60,
            "estimator": "variance_reduced",
            "steps": 6,
            "schedule": "geometric",
            "guidance": 0.0,
            "paths": "bias+tilt",
            "shards": 8,
        }
        if score is not None:
            made |= {"score_se": 0.01, "score_low": score - 0.02, "score_high": score + 0.02}
            made |= {"top_up": "GENE1 +1.20", "top_down": "GENE2 -0.80"}
        return made | changes

    return make


@pytest.fixture
def table() -> Callable[[list[dict[str, Any]]], pl.DataFrame]:
    """Rank rows into a table with all columns."""

    def make(rows: list[dict[str, Any]]) -> pl.DataFrame:
        schema = {name: kind for name, (kind, _) in COLUMNS.items()} | {"cell_type": pl.String}
        full = pl.DataFrame(rows, schema=schema).sort("score", descending=True, nulls_last=True)
        return full.with_columns(rank=pl.when(pl.col("status") == "done").then(pl.int_range(1, pl.len() + 1)))

    return make


NULL = {"posterior_mean": 0.5, "low_90": 0.4, "high_90": 0.6, "null_blocks": 20, "null_centre": 0.0, "q_value": 0.01}


@pytest.fixture
def hits(row: Callable[..., dict[str, Any]], table: Callable[..., pl.DataFrame]) -> pl.DataFrame:
    """Two hits, one undecided, one not, one refused, one failed; in two cell types."""
    return table(
        [
            row(HOSTILE, "B cells", 0.6, decision="hit", decision_reason="q is small", **NULL),
            row("STAT1", "T cells", 0.5, decision="hit", training_cells=0, **NULL),
            row("IRF1", "T cells", 0.2, decision="undecided", **NULL | {"q_value": 0.3, "low_90": -0.1}),
            row("JAK1", "B cells", 0.1, decision="not", **NULL | {"q_value": 0.8}),
            row("TYK2", "B cells", 0.05, decision="refused", decision_reason="its gate fails", gate="fail"),
            row("IRF9", "T cells", None),
        ]
    )


@pytest.fixture
def spec() -> dict[str, Any]:
    """Return a campaign file as it was resolved, as far as a report reads it."""
    gene_set = {"file": "sets.gmt", "name": "INTERFERON", "direction": "down"}
    return {
        "kind": "screen",
        "name": "made",
        "model": "results/model",
        "objective": {"kind": "signature", "gene_set": gene_set, "exclude_own_targets": True},
        "estimator": {
            "kind": "variance_reduced",
            "steps": 6,
            "schedule": "geometric",
            "guidance": 0.0,
            "shards": 8,
            "depth_strata": 16,
            "prior": "none",
        },
        "hits": {"fdr": 0.1, "minimum_effect": 0.0, "tails": "learned"},
        "seed": 3,
        "safety": None,
        "cache": None,
    }


@pytest.fixture
def evidence() -> dict[str, pl.DataFrame]:
    """Evidence of the best condition: a gene each way, a set, what is alike, and what would refute it."""
    label = {"perturbation": HOSTILE, "context": "cell_type=B cells"}
    summary = label | {"rank": 1, "decision": "hit", "has_effects": True, "seen": "here", "claim": 0.5}
    summary |= {"claim_low": 0.4, "claim_high": 0.6, "refutation": "It is refuted if nothing happens."}
    kinds = [("gene_up", HOSTILE, 1.5), ("gene_down", "GENE2", -0.5), ("gene_set", "SET", 0.8), ("link", "A → B", -1.0)]
    items = [
        label | {"kind": kind, "place": 1, "name": name, "value": value, "low": value - 0.1, "high": value + 0.1}
        for kind, name, value in kinds
    ]
    return {
        EVIDENCE: _typed([summary], CONDITION_COLUMNS),
        EVIDENCE_ITEMS: _typed(items, ITEM_COLUMNS),
    }


def _typed(rows: list[dict[str, Any]], columns: Any) -> pl.DataFrame:
    return pl.DataFrame(
        [{name: each.get(name) for name in columns} for each in rows],
        schema={name: kind for name, (kind, _) in columns.items()},
    )


@pytest.fixture
def source(hits: pl.DataFrame, spec: dict[str, Any], evidence: dict[str, pl.DataFrame]) -> Callable[..., ReportSource]:
    """Make results: `source(hits=…, spec={"seed": 1}, manifest={"null": []}, tables={})`."""

    def make(**changes: Any) -> ReportSource:
        manifest = {
            "campaign": "made",
            "question": "INTERFERON down (2 genes)",
            "run_id": "ab" * 32,
            "model_digest": "cd" * 32,
            "model_card": None,
            "null": [{"context": "cell_type=T cells", "blocks": 20}],
            "versions": {"lingshu-screen": "0.1.0"},
            "files": {"hits.parquet": {"size": 1234, "sha256": "ef" * 32}},
            "notices": ["gene set INTERFERON: 2 of its 3 genes are among the model's 10"],
        } | changes.get("manifest", {})
        campaign = PublishedCampaign(
            url="s3://bucket/made",
            hits=changes.get("hits", hits),
            manifest=manifest,
            plan={"objective": {"resolved": {"up": [], "down": ["STAT1", "IRF1"]}}, "panel_digest": "12" * 32},
            spec=spec | changes.get("spec", {}),
        )
        cards = changes.get("cards", {"results/model": CardFound(None, "the model had no card")})
        return ReportSource(campaign, changes.get("tables", evidence), "2026-11-22T03:40:00+00:00", cards)

    return make
