"""The page of suggestions names every column and option, with the words of the code."""

from pathlib import Path

import typer

from screening.cli import app

PAGE = (Path(__file__).parents[3] / "docs" / "suggest.md").read_text(encoding="utf-8")


def test_every_option_is_explained() -> None:
    command = typer.main.get_command(app).commands["suggest"]  # type: ignore[attr-defined]
    options = {option for parameter in command.params for option in parameter.opts if option.startswith("--")}
    assert len(options) > 4
    assert not {option for option in options if option not in PAGE}
