"""Write the tables of columns of ``doses.md`` and ``combinations.md``: ``python docs/make_dose_tables.py``."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import polars as pl

from screening.answers import dose_response, interactions, scaffolds

PAGES: Mapping[str, tuple[str, Mapping[str, tuple[Any, str]]]] = {
    "doses": ("doses.md", dose_response.COLUMNS),
    "scaffolds": ("doses.md", scaffolds.COLUMNS),
    "interactions": ("combinations.md", interactions.COLUMNS),
}
"""Name of the marks → page and columns."""
TYPES = {pl.Int64: "integer", pl.Float64: "number", pl.String: "text", pl.Boolean: "true or false"}


def rows(columns: Mapping[str, tuple[Any, str]]) -> Iterator[str]:
    """Yield the lines of a table; a unit stands in the meaning."""
    yield "| Column | Type | Meaning |"
    yield "|---|---|---|"
    for name, (kind, meaning) in columns.items():
        text = meaning.replace("|", "\\|")
        yield f"| `{name}` | {TYPES[kind]} | {text} |"


def filled(text: str, mark: str, columns: Mapping[str, tuple[Any, str]]) -> str:
    """Replace what stands between the two marks of a page."""
    begin, end = f"<!-- {mark}: begin -->", f"<!-- {mark}: end -->"
    before, _, rest = text.partition(begin)
    _, _, after = rest.partition(end)
    return f"{before}{begin}\n" + "\n".join(rows(columns)) + f"\n{end}{after}"


def main() -> None:
    """Fill all pages."""
    for mark, (page, columns) in PAGES.items():
        path = Path(__file__).parent / page
        path.write_text(filled(path.read_text(encoding="utf-8"), mark, columns), encoding="utf-8")


if __name__ == "__main__":
    main()
