"""Write the table of docs/suggest.md from the columns of `screening.following_up.suggestions`."""

from __future__ import annotations

from pathlib import Path

import polars as pl

from screening.following_up.suggestions import COLUMNS

PAGE = Path(__file__).parent / "suggest.md"
BEGIN, END = "<!-- columns: begin -->", "<!-- columns: end -->"
TYPES = {pl.Int64: "integer", pl.Float64: "number", pl.String: "text"}


def main() -> None:
    """Replace what stands between the two marks of the page."""
    page = PAGE.read_text(encoding="utf-8")
    before, _, rest = page.partition(BEGIN)
    _, _, after = rest.partition(END)
    lines = ["| Column | Type | Meaning |", "|---|---|---|"]
    lines += [f"| `{name}` | {TYPES[kind]} | {meaning} |" for name, (kind, meaning) in COLUMNS.items()]
    PAGE.write_text(f"{before}{BEGIN}\n" + "\n".join(lines) + f"\n{END}{after}", encoding="utf-8")


if __name__ == "__main__":
    main()
