"""The page of safety names every field and column, with the words of the code."""

import re
from pathlib import Path

import campaigns.safety_spec
from screening.answers.safety import COLUMNS, PENALTY_COLUMNS

PAGE = (Path(__file__).parents[3] / "docs" / "safety.md").read_text(encoding="utf-8")
CURE = "run `python docs/make_safety_table.py` to write the table anew"


def test_columns_and_meanings_are_those_of_the_code() -> None:
    told = dict(re.findall(r"^\| `([\w\[\]]+)` \| [\w ]+ \| (.+) \|$", PAGE, re.MULTILINE))
    own = {f"{name}[NAME]": meaning for name, (_, meaning) in PENALTY_COLUMNS.items()}
    assert told == {name: meaning for name, (_, meaning) in COLUMNS.items()} | own, CURE


def test_every_field_is_explained() -> None:
    blocks = [block for name, block in vars(campaigns.safety_spec).items() if name.endswith("Spec") and name != "Spec"]
    fields = {field for block in blocks for field in block.model_fields}
    assert len(fields) > 8
    assert not {name for name in fields if f"`{name}`" not in PAGE}
