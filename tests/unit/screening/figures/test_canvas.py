import re
from pathlib import Path
from xml.etree import ElementTree

import polars as pl

from screening import figures
from screening.figures import as_png, as_svg, rank_plot
from screening.figures.canvas import plain, short

Decided = tuple[pl.DataFrame, pl.DataFrame]


def test_the_same_table_is_the_same_picture(decided: Decided) -> None:
    one, other = (rank_plot(decided[0], objective="of $\\frac{1}{$ and <b>") for _ in range(2))
    drawn = as_svg(one)
    assert drawn == as_svg(other)
    assert as_png(one, 40) == as_png(other, 40)
    assert ElementTree.fromstring(drawn).tag.endswith("svg")


def test_a_notebook_shows_a_figure_by_itself(decided: Decided) -> None:
    assert rank_plot(decided[0])._repr_png_().startswith(b"\x89PNG")  # type: ignore[attr-defined]


def test_dollars_are_no_formulas_and_long_names_are_cut() -> None:
    assert plain("a$b$") == r"a\$b\$"
    assert short("x" * 50) == "x" * 35 + "…"
    assert len(short("x" * 36)) == 36


def test_no_plot_brings_pyplot() -> None:
    """It would keep every figure, choose a screen, and not be safe in threads."""
    sources = list(Path(figures.__file__).parent.glob("*.py"))
    assert len(sources) > 8
    imports = re.compile(r"^\s*(from|import) .*pyplot", re.MULTILINE)
    assert not [source.name for source in sources if imports.search(source.read_text(encoding="utf-8"))]
