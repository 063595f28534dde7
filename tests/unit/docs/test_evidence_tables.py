import json
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import polars as pl
import pytest

from campaigns.evidence_spec import EvidenceSpec, NetworkSpec
from screening.following_up.comparison import COLUMNS
from screening.following_up.evidence_columns import CONDITION_COLUMNS, ITEM_COLUMNS, meanings
from screening.publishing.publication import Table

DOCS = Path(__file__).parents[3] / "docs"
TYPES = {"integer": pl.Int64, "number": pl.Float64, "text": pl.String, "true or false": pl.Boolean}
TABLES = [
    pytest.param("evidence.md", "conditions", CONDITION_COLUMNS, id="conditions"),
    pytest.param("evidence.md", "items", ITEM_COLUMNS, id="items"),
    pytest.param("comparing-campaigns.md", "comparison", COLUMNS, id="comparison"),
]
Columns = Mapping[str, tuple[Any, str]]


def documented(page: str, mark: str) -> dict[str, tuple[object, str, str]]:
    text = (DOCS / page).read_text(encoding="utf-8")
    table = text.partition(f"<!-- {mark}: begin -->")[2].partition(f"<!-- {mark}: end -->")[0]
    lines = re.findall(r"^\| `(\w+)` \| ([\w ]+) \| ([^|]+) \| (.+) \|$", table, re.MULTILINE)
    return {name: (TYPES[kind], unit.strip(), meaning.strip()) for name, kind, unit, meaning in lines}


@pytest.mark.parametrize(("page", "mark", "columns"), TABLES)
def test_every_measured_number_has_a_unit(page: str, mark: str, columns: Columns) -> None:
    plain = {"rank", "place", "rank_a", "rank_b"}  # counts of nothing
    numbers = {name for name, (kind, _) in columns.items() if kind in (pl.Int64, pl.Float64)}
    assert not {name for name in numbers - plain if documented(page, mark)[name][1] == "–"}


@pytest.mark.parametrize(("page", "mark", "columns"), TABLES)
def test_the_parquet_file_carries_the_same_words(page: str, mark: str, columns: Columns, tmp_path: Path) -> None:
    empty = pl.DataFrame(schema={name: kind for name, (kind, _) in columns.items()})
    file = tmp_path / "table.parquet"
    file.write_bytes(Table(empty, meanings(columns)).to_parquet())
    told = json.loads(pl.read_parquet_metadata(file)["lingshu.columns"])
    assert told == {name: meaning for name, (_, _, meaning) in documented(page, mark).items()}


def test_every_field_of_evidence_is_explained() -> None:
    explained = (DOCS / "evidence.md").read_text(encoding="utf-8")
    assert not {name for name in EvidenceSpec.model_fields if f"| `{name}` |" not in explained}
    assert not {name for name in NetworkSpec.model_fields if f"| `network.{name}` |" not in explained}
