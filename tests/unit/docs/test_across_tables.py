import re
import runpy
from pathlib import Path

import polars as pl
import pytest

from screening.answers import pan_context, patients, selective

DOCS = Path(__file__).parents[3] / "docs"
MODULES = {"pan_context": pan_context, "selective": selective, "patients": patients}
TYPES = {"integer": pl.Int64, "number": pl.Float64, "text": pl.String}
CURE = "run `python docs/make_across_tables.py` to write the tables anew"


@pytest.mark.parametrize("name", MODULES)
def test_the_page_has_the_columns_of_the_code(name: str) -> None:
    page = (DOCS / "across-contexts.md").read_text(encoding="utf-8")
    part = page.partition(f"<!-- {name}: begin -->")[2].partition(f"<!-- {name}: end -->")[0]
    found = re.findall(r"^\| `(\w+)` \| (\w+) \| (.+) \|$", part, re.MULTILINE)
    told = {column: (TYPES[kind], meaning) for column, kind, meaning in found}
    assert told == dict(MODULES[name].COLUMNS), CURE
    assert list(told) == list(MODULES[name].COLUMNS), CURE


def test_the_script_writes_the_page_that_is_there() -> None:
    page = (DOCS / "across-contexts.md").read_text(encoding="utf-8")
    assert runpy.run_path(str(DOCS / "make_across_tables.py"))["written"](page) == page, CURE


@pytest.mark.parametrize("name", MODULES)
def test_every_measured_number_has_a_unit(name: str) -> None:
    counts = (
        "contexts",
        "donors",
        "rank",
        "_q",
        "_p",
        "_z",
        "squared",
        "p_",
        "q_value",
        "rho",
        "correlation",
        "trained",
    )
    numbers = {column: text for column, (kind, text) in MODULES[name].COLUMNS.items() if kind == pl.Float64}
    assert not [c for c, text in numbers.items() if "score_unit" not in text and not any(word in c for word in counts)]
