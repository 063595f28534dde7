"""Write the tables of columns in ``docs/evidence.md`` and ``docs/comparing-campaigns.md``.

``python docs/make_evidence_tables.py``
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import polars as pl

from screening.following_up.comparison import COLUMNS
from screening.following_up.evidence_columns import CONDITION_COLUMNS, ITEM_COLUMNS

FOLDER = Path(__file__).parent
TABLES: Mapping[str, tuple[str, Mapping[str, tuple[Any, str]]]] = {
    "conditions": ("evidence.md", CONDITION_COLUMNS),
    "items": ("evidence.md", ITEM_COLUMNS),
    "comparison": ("comparing-campaigns.md", COLUMNS),
}
"""Mark in a page → page and columns."""
TYPES = {pl.Int64: "integer", pl.Float64: "number", pl.String: "text", pl.Boolean: "truth"}

LOG, EFFECT, SCORE, NULL_SD = "log1p counts per 10k", "as `effect`", "as `score_unit` says", "null standard deviations"
UNITS = {
    "feature_distance": "1 − cosine",
    **dict.fromkeys(("on_target_low", "on_target_high", "on_target_control"), LOG),
    **dict.fromkeys(("direct_links", "indirect_links", "genes"), "genes"),
    **dict.fromkeys(("claim", "claim_low", "claim_high", "claim_least"), EFFECT),
    **dict.fromkeys(("cells_least", "cells_most"), "cells"),
    "value": "as `unit`",
    **dict.fromkeys(("low", "high", "sd"), LOG),
    "p": "probability",
    "q": "share of the sets",
    "rank_gain": "ranks",
    **dict.fromkeys(("score_a", "score_b", "score_change", "noise"), SCORE),
    **dict.fromkeys(("minimum_effect_a", "minimum_effect_b"), SCORE),
    "change_in_noise": "joint standard deviations",
    **dict.fromkeys(("q_value_a", "q_value_b"), "share of the hits"),
    **dict.fromkeys(("standing_a", "standing_b", "by_score", "by_null_centre", "by_null_sd"), NULL_SD),
}


def rows(columns: Mapping[str, tuple[Any, str]]) -> Iterator[str]:
    """Yield the lines of a table."""
    yield "| Column | Type | Unit | Meaning |"
    yield "|---|---|---|---|"
    for name, (kind, meaning) in columns.items():
        text = meaning.replace("|", "\\|")
        yield f"| `{name}` | {TYPES[kind]} | {UNITS.get(name, '–')} | {text} |"


def main() -> None:
    """Replace what stands between the marks of the pages."""
    for mark, (name, columns) in TABLES.items():
        page, begin, end = FOLDER / name, f"<!-- {mark}: begin -->", f"<!-- {mark}: end -->"
        before, _, rest = page.read_text(encoding="utf-8").partition(begin)
        _, _, after = rest.partition(end)
        page.write_text(f"{before}{begin}\n" + "\n".join(rows(columns)) + f"\n{end}{after}", encoding="utf-8")


if __name__ == "__main__":
    main()
