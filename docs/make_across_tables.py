"""Write the tables of columns in ``docs/across-contexts.md``: ``python docs/make_across_tables.py``."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import polars as pl

from screening.answers import pan_context, patients, selective

PAGE = Path(__file__).parent / "across-contexts.md"
TYPES = {pl.Int64: "integer", pl.Float64: "number", pl.String: "text"}
TABLES = {"pan_context": pan_context.COLUMNS, "selective": selective.COLUMNS, "patients": patients.COLUMNS}


def rows(columns: Mapping[str, tuple[Any, str]]) -> Iterator[str]:
    """Yield the lines of a table; meanings say the unit."""
    yield "| Column | Type | Meaning |"
    yield "|---|---|---|"
    for name, (kind, meaning) in columns.items():
        text = meaning.replace("|", "\\|")
        yield f"| `{name}` | {TYPES[kind]} | {text} |"


def written(page: str) -> str:
    """Return the page with the tables of today between their marks."""
    for name, columns in TABLES.items():
        begin, end = f"<!-- {name}: begin -->", f"<!-- {name}: end -->"
        before, _, rest = page.partition(begin)
        _, _, after = rest.partition(end)
        page = f"{before}{begin}\n" + "\n".join(rows(columns)) + f"\n{end}{after}"
    return page


if __name__ == "__main__":
    PAGE.write_text(written(PAGE.read_text(encoding="utf-8")), encoding="utf-8")
