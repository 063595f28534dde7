import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import polars as pl
import pytest

from screening.answers import dose_response, interactions, scaffolds

DOCS = Path(__file__).parents[3] / "docs"
TYPES = {"integer": pl.Int64, "number": pl.Float64, "text": pl.String, "true or false": pl.Boolean}
TABLES = [
    pytest.param("doses", "doses.md", dose_response.COLUMNS, id="doses"),
    pytest.param("scaffolds", "doses.md", scaffolds.COLUMNS, id="scaffolds"),
    pytest.param("interactions", "combinations.md", interactions.COLUMNS, id="interactions"),
]


@pytest.mark.parametrize(("mark", "page", "columns"), TABLES)
def test_the_page_has_the_columns_of_the_code(mark: str, page: str, columns: Mapping[str, tuple[Any, str]]) -> None:
    text = (DOCS / page).read_text(encoding="utf-8")
    _, _, rest = text.partition(f"<!-- {mark}: begin -->")
    lines = re.findall(r"^\| `(\w+)` \| ([\w ]+) \| (.+) \|$", rest.partition("<!-- ")[0], re.MULTILINE)
    told = [(name, TYPES[kind], meaning) for name, kind, meaning in lines]
    assert told == [(name, kind, meaning) for name, (kind, meaning) in columns.items()], (
        "run `python docs/make_dose_tables.py` to write the tables anew"
    )


@pytest.mark.parametrize("columns", [dose_response.COLUMNS, interactions.COLUMNS, scaffolds.COLUMNS])
def test_every_measured_number_says_its_unit(columns: Mapping[str, tuple[Any, str]]) -> None:
    plain = {"slope", "monotone_p", "flat_p", "hit_share", "odds_ratio", "p_fisher", "q_value"}
    plain |= {"expected_bliss", "interaction_bliss"}  # shares, or empty
    numbers = {name for name, (kind, _) in columns.items() if kind is pl.Float64}
    measured = {
        re.sub("_(low|high|se|sd)$", "", name) for name in numbers
    } - plain  # an interval has the unit of its mean
    units = ("`score_unit`", "units of the training data")
    assert not {name for name in measured if not any(unit in columns[name][1] for unit in units)}
