from typing import Any

import polars as pl
from rich.console import Console

from screening.following_up.evidence_columns import ITEM_COLUMNS
from screening.following_up.evidence_page import EvidencePage, describe_evidence

HIT: dict[str, Any] = {
    "perturbation": "A",
    "context": "T",
    "rank": 2,
    "score": 0.4,
    "score_se": 0.01,
    "score_unit": "control standard deviations",
    "decision": "hit",
    "decision_reason": "q .01",
    "training_cells": 0,
    "training_cells_all": 30,
    "on_target_effect": -0.5,
}
SUMMARY: dict[str, Any] = {
    "perturbation": "A",
    "context": "T",
    "rank": 2,
    "seen": "elsewhere",
    "nearest_trained": None,
    "feature_distance": None,
    "on_target": "as expected",
    "on_target_low": -0.6,
    "on_target_high": -0.4,
    "on_target_control": 1.0,
    "direct_links": 1,
    "indirect_links": 0,
    "has_effects": True,
    "refutation": "This would refute it [not markup].",
}
ITEMS = [
    {"kind": "gene_up", "name": "G1", "value": 0.5, "low": 0.4, "high": 0.6, "sd": 0.1, "note": "in the objective"},
    {"kind": "gene_set", "name": "SET", "value": 0.9, "q": 0.01, "genes": 12, "note": "rises"},
    {"kind": "link", "name": "A → G1", "value": -1.0},
    {"kind": "alike_in_effect", "name": "B", "value": 0.8},
]


def shown(hit: dict[str, Any], summary: dict[str, Any], others: tuple[str, ...] = ()) -> str:
    rows = [{"perturbation": "A", "context": "T", "place": 1, **item} for item in ITEMS]
    schema = {name: kind for name, (kind, _) in ITEM_COLUMNS.items()}
    items = pl.DataFrame([{name: row.get(name) for name in schema} for row in rows], schema=schema)
    console = Console(width=120, markup=False, highlight=False)
    with console.capture() as captured:
        for part in describe_evidence(EvidencePage(hit, summary, items, others)):
            console.print(part)
    return captured.get()


def test_the_page_says_everything_there_is() -> None:
    text = shown(HIT, SUMMARY, ("cell_type=B",))
    for words in (
        "A in T",
        "rank 2, score +0.400 control standard deviations (Monte Carlo error 0.010)",
        "hit: q .01",
        "training: none here, 30 cells in other contexts; gate: not measured",
        "own target: as expected: -0.500 (-0.600 to -0.400) log1p counts per 10k, in controls 1.000",
        "genes of the objective in the network: 1 linked directly, 0 through one gene",
        "also in: cell_type=B (--context)",
        "+0.400 to +0.600",
        "A → G1",
        "This would refute it [not markup].",
    ):
        assert words in text
    assert "genes that fall most" not in text


def test_what_is_missing_is_said_or_left_out() -> None:
    bare = {"on_target": "", "direct_links": None, "has_effects": False, "nearest_trained": "B", "seen": "features"}
    text = shown(HIT | {"score_sd": 0.2}, SUMMARY | bare | {"feature_distance": 0.25})
    assert "between members 0.200" in text
    assert "own target" not in text
    assert "in the network" not in text
    assert "effects of its single genes were not kept" in text
    assert "nearest trained B (distance 0.25)" in text
