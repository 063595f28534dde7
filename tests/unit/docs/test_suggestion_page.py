"""The page of suggestions names every column and option, with the words of the code."""

import re
from pathlib import Path

import typer

from screening.cli import app
from screening.following_up.suggestions import COLUMNS

PAGE = (Path(__file__).parents[3] / "docs" / "suggest.md").read_text(encoding="utf-8")
CURE = "run `python docs/make_suggestion_table.py` to write the table anew"


def test_columns_and_meanings_are_those_of_the_code() -> None:
    told = dict(re.findall(r"^\| `(\w+)` \| \w+ \| (.+) \|$", PAGE, re.MULTILINE))
    assert told == {name: meaning for name, (_, meaning) in COLUMNS.items()}, CURE


def test_every_option_is_explained() -> None:
    command = typer.main.get_command(app).commands["suggest"]  # type: ignore[attr-defined]
    options = {option for parameter in command.params for option in parameter.opts if option.startswith("--")}
    assert len(options) > 4
    assert not {option for option in options if option not in PAGE}
