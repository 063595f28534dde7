import json
import re
from pathlib import Path

import polars as pl

from screening.deciding.hits import COLUMNS
from screening.publishing.publication import hits_to_parquet

PAGE = Path(__file__).parents[3] / "docs" / "hit-table.md"
TYPES = {"integer": pl.Int64, "number": pl.Float64, "text": pl.String}


def documented() -> dict[str, tuple[object, str, str]]:
    lines = re.findall(r"^\| `(\w+)` \| (\w+) \| ([^|]+) \| (.+) \|$", PAGE.read_text(encoding="utf-8"), re.MULTILINE)
    return {name: (TYPES[kind], unit.strip(), meaning.strip()) for name, kind, unit, meaning in lines}


def test_every_measured_number_has_a_unit() -> None:
    plain = {"rank", "rank_in_context", "rank_low", "rank_high", "guidance", "seed"}  # counts of nothing
    numbers = {name for name, (kind, _, _) in documented().items() if kind is not pl.String}
    without = {name for name in numbers - plain if documented()[name][1] == "–"}
    assert not without, f"docs/make_tables.py gives no unit for {without}"


def test_the_parquet_file_carries_the_same_words() -> None:
    empty = pl.DataFrame(schema={name: kind for name, (kind, _) in COLUMNS.items()})
    told = json.loads(pl.read_parquet_metadata(hits_to_parquet(empty))["lingshu.columns"])
    assert told == {name: meaning for name, (_, meaning) in COLUMNS.items()}
