import re
from pathlib import Path

import polars as pl
import pytest

from campaigns.cell_objectives import ConnectivitySpec, PopulationSpec
from screening.answers.connectivity_table import COLUMNS as CONNECTIVITY_COLUMNS
from screening.deciding.hits import COLUMNS as HIT_COLUMNS
from screening.objective.population_readout import COLUMNS as POPULATION_COLUMNS

DOCS = Path(__file__).parents[3] / "docs"


def rows_after(page: str, heading: str) -> dict[str, str]:
    section = (DOCS / page).read_text(encoding="utf-8").split(f"{heading}\n", 1)[1].split("\n#", 1)[0]
    return dict(re.findall(r"^\| `(\w+)` \| (.+) \|$", section, re.MULTILINE))


def test_the_columns_of_a_population_have_the_words_of_the_code() -> None:
    assert rows_after("hit-table.md", "## Columns of a population") == POPULATION_COLUMNS
    assert not POPULATION_COLUMNS.keys() & HIT_COLUMNS.keys()


def test_the_table_of_connectivity_has_the_words_of_the_code() -> None:
    told = rows_after("objectives.md", "### `connectivity.parquet`")
    assert told == {name: meaning for name, (_, meaning) in CONNECTIVITY_COLUMNS.items()}
    assert all(kind in (pl.Int64, pl.Float64, pl.String) for kind, _ in CONNECTIVITY_COLUMNS.values())


@pytest.mark.parametrize("block", [PopulationSpec, ConnectivitySpec])
def test_every_field_of_these_objectives_is_explained(block: type) -> None:
    explained = (DOCS / "objectives.md").read_text(encoding="utf-8")
    listed = (DOCS / "campaigns.md").read_text(encoding="utf-8")
    fields = set(block.model_fields) - {"kind"}  # type: ignore[attr-defined]
    assert not {name for name in fields if f"`{name}`" not in explained or f"`{name}`" not in listed}
