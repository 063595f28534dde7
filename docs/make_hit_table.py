"""Write the table of docs/hit-table.md from ``screening.deciding.hits.COLUMNS``: ``python docs/make_hit_table.py``."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import polars as pl

from screening.deciding.hits import COLUMNS

PAGE = Path(__file__).parent / "hit-table.md"
BEGIN, END = "<!-- columns: begin -->", "<!-- columns: end -->"
TYPES = {pl.Int64: "integer", pl.Float64: "number", pl.String: "text"}

LOG, STATED, TRAINED = "log1p counts per 10k", "as `score_unit` says", "as in training"
SCALED = f"{LOG}; for other objectives as its meaning says"
UNITS = {
    "dose": TRAINED,
    "p_null": "probability",
    "e_value": "ratio, 1 or less expected without an effect",
    "q_value": "share of the hits",
    "score": STATED,
    "posterior_mean": STATED,
    "low_50": STATED,
    "high_50": STATED,
    "low_90": STATED,
    "high_90": STATED,
    "null_blocks": "pseudo-perturbations",
    "null_centre": STATED,
    "null_sd": STATED,
    "minimum_effect": STATED,
    "score_se": STATED,
    "score_low": STATED,
    "score_high": STATED,
    "members": "models",
    "score_sd": STATED,
    "effect": SCALED,
    "effect_se": SCALED,
    "genes_used": "genes",
    "on_target_effect": LOG,
    "depth_ratio": "ratio",
    "training_cells": "cells",
    "training_cells_all": "cells",
    "top_up": LOG,
    "top_down": LOG,
    "cells": "cells",
    "shards": "shards",
    "shards_drawn": "shards",
    "allocation_low": STATED,
    "allocation_high": STATED,
    "prior_genes": "genes",
    "steps": "steps",
}


def rows() -> Iterator[str]:
    """Yield the lines of the table."""
    yield "| Column | Type | Unit | Meaning |"
    yield "|---|---|---|---|"
    for name, (kind, meaning) in COLUMNS.items():
        text = meaning.replace("|", "\\|")
        yield f"| `{name}` | {TYPES[kind]} | {UNITS.get(name, '–')} | {text} |"


def main() -> None:
    """Replace what stands between the two marks of the page."""
    page = PAGE.read_text(encoding="utf-8")
    before, _, rest = page.partition(BEGIN)
    _, _, after = rest.partition(END)
    PAGE.write_text(f"{before}{BEGIN}\n" + "\n".join(rows()) + f"\n{END}{after}", encoding="utf-8")


if __name__ == "__main__":
    main()
