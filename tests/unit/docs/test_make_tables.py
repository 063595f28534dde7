"""Tables of the docs say what the code says, of every column, field and metric."""

import re
import runpy
from pathlib import Path

import pytest

DOCS = Path(__file__).parents[3] / "docs"
MAKE = runpy.run_path(str(DOCS / "make_tables.py"))
CURE = "run `python docs/make_tables.py` to write the tables anew"


@pytest.mark.parametrize(("page", "name"), MAKE["TABLES"])
def test_a_page_has_the_table_of_today(page: str, name: str) -> None:
    text = (DOCS / page).read_text(encoding="utf-8")
    assert f"<!-- {name}: begin -->" in text
    assert text == MAKE["written"](text, name, MAKE["TABLES"][page, name]()), CURE


def test_every_mark_has_a_table() -> None:
    found = {
        (path.name, name)
        for path in DOCS.glob("*.md")
        for name in re.findall(r"<!-- (\w+): begin -->", path.read_text(encoding="utf-8"))
    }
    assert found == set(MAKE["TABLES"])
