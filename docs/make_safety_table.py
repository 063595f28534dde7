"""Write the tables of ``docs/safety.md`` from ``screening.answers.safety``: ``python docs/make_safety_table.py``."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import polars as pl

from screening.answers.safety import COLUMNS, PENALTY_COLUMNS

PAGE = Path(__file__).parent / "safety.md"
BEGIN, END = "<!-- columns: begin -->", "<!-- columns: end -->"
TYPES = {pl.Int64: "integer", pl.Float64: "number", pl.String: "text", pl.Boolean: "true or false"}


def rows(columns: Mapping[str, tuple[Any, str]], ending: str = "") -> Iterator[str]:
    """Yield the lines of a table."""
    for name, (kind, meaning) in columns.items():
        yield f"| `{name}{ending}` | {TYPES[kind]} | {meaning} |"


def main() -> None:
    """Replace what stands between the two marks of the page."""
    page = PAGE.read_text(encoding="utf-8")
    before, _, rest = page.partition(BEGIN)
    _, _, after = rest.partition(END)
    head = ("| Column | Type | Meaning |", "|---|---|---|")
    lines = [*head, *rows(COLUMNS), *rows(PENALTY_COLUMNS, "[NAME]")]
    PAGE.write_text(f"{before}{BEGIN}\n" + "\n".join(lines) + f"\n{END}{after}", encoding="utf-8")


if __name__ == "__main__":
    main()
