"""How a batch of suggestions is shown and written."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import polars as pl
from rich.table import Table

from screening.following_up.suggestions import COLUMNS, SuggestionRequest, Suggestions


def suggestion_table(found: Suggestions) -> Table:
    """Lay a batch out for the terminal."""
    table = Table(box=None, pad_edge=False)
    for name in ("#", "perturbation", "context", "expected", "±", "cells per arm", "why"):
        table.add_column(name, justify="right" if name in ("#", "expected", "±", "cells per arm") else "left")
    for row in found.batch.iter_rows(named=True):
        table.add_row(
            str(row["order"]),
            row["perturbation"],
            row["context"],
            f"{row['expected']:+.3f}",
            f"{(row['expected_high'] - row['expected_low']) / 2:.3f}",
            _cells(row),
            row["why"],
        )
    return table


def _cells(row: dict[str, Any]) -> str:
    least, most = row["cells_per_arm_least"], row["cells_per_arm"]
    if least is None:
        return "–"
    return f"{least:,} or more" if most is None else f"{least:,} to {most:,}"


def suggestion_json(found: Suggestions, request: SuggestionRequest) -> str:
    """Write a batch as JSON: ``results``, ``notices``, ``columns`` (meanings) and ``batch``, a mapping each."""
    content = {
        "results": request.results,
        "notices": list(found.notices),
        "columns": {name: meaning for name, (_, meaning) in COLUMNS.items()},
        "batch": found.batch.to_dicts(),
    }
    return json.dumps(content, indent=1, allow_nan=False)


def write_suggestions(batch: pl.DataFrame, path: Path) -> None:
    """Write a batch as CSV for the lab, folders included."""
    path.parent.mkdir(parents=True, exist_ok=True)
    batch.write_csv(path)
