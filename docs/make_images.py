"""Draw the pictures of the documentation from a results folder: ``python docs/make_images.py [FOLDER]``.

The SVG is self-contained: rich's own template fetches a font from the network, ours asks for none.
"""

from __future__ import annotations

import io
import json
import sys
from pathlib import Path

import polars as pl
from rich.console import Console

from screening.console import hit_view
from screening.publishing.publication import HITS, MANIFEST

IMAGES = Path(__file__).parent / "images"
ROWS, WIDTH = 15, 86

# The fields are those that rich fills in; {{ and }} are braces of CSS.
SVG = """<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}" role="img" aria-label="Hit table">
<style>
.{unique_id}-matrix {{
  font-family: ui-monospace, SFMono-Regular, Menlo, Consolas, "DejaVu Sans Mono", monospace;
  font-size: {char_height}px; line-height: {line_height}px; font-variant-east-asian: full-width;
}}
.{unique_id}-title {{ font-family: system-ui, sans-serif; font-size: 18px; font-weight: bold; }}
{styles}
</style>
<defs>
<clipPath id="{unique_id}-clip-terminal">
  <rect x="0" y="0" width="{terminal_width}" height="{terminal_height}"/>
</clipPath>
{lines}
</defs>
{chrome}
<g transform="translate({terminal_x}, {terminal_y})" clip-path="url(#{unique_id}-clip-terminal)">
{backgrounds}
<g class="{unique_id}-matrix">
{matrix}
</g>
</g>
</svg>
"""


def draw_hits(results: Path) -> str:
    """Return the first rows of a hit table as SVG, with the command that shows them.

    Parameters
    ----------
    results
        A local results folder of ``lingshu run``.
    """
    hits = pl.read_parquet(results / HITS).head(ROWS)
    manifest = json.loads((results / MANIFEST).read_text(encoding="utf-8"))
    console = Console(record=True, width=WIDTH, file=io.StringIO(), force_terminal=True, highlight=False)
    console.print(f"$ lingshu hits {results.as_posix()} --top {ROWS}", style="bold")
    console.print(hit_view(hits))
    console.print()
    title = f"{manifest['campaign']}: {manifest['question']}, {manifest['conditions']} conditions"
    return console.export_svg(title=title, code_format=SVG, unique_id="hits")


def main(arguments: list[str]) -> None:
    """Write ``docs/images/<campaign>.svg``."""
    results = Path(arguments[0] if arguments else "results/quickstart/screen")
    target = IMAGES / "quickstart.svg"
    target.write_text(draw_hits(results), encoding="utf-8")
    print(f"{target} ({target.stat().st_size / 1024:.0f} KB)")


if __name__ == "__main__":
    main(sys.argv[1:])
