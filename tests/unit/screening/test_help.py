"""Every command answers `--help` with an example, and the example is a command line that there is."""

import shlex

import pytest
import typer
from typer.testing import CliRunner

from screening.cli import app

COMMANDS = typer.main.get_command(app).commands  # type: ignore[attr-defined]
SHELL = (">", "|")


@pytest.mark.parametrize("name", COMMANDS)
def test_help_has_an_example_that_parses(name: str) -> None:
    shown = CliRunner().invoke(app, [name, "--help"], terminal_width=1000)
    assert shown.exit_code == 0
    command = COMMANDS[name]
    example = command.epilog.removeprefix("Example: ")
    assert " ".join(example.split()) in " ".join(shown.output.replace("│", " ").split())
    program, called, *arguments = shlex.split(example)
    assert (program, called) == ("lingshu", name)
    cut = next((place for place, word in enumerate(arguments) if word in SHELL), len(arguments))
    # Raises where an option isn't there, a value is of another type, or an argument is missing.
    with command.make_context(name, arguments[:cut]) as context:
        assert bool(context.params) == any(each.name != "help" for each in command.params)


@pytest.mark.parametrize("name", COMMANDS)
def test_every_option_is_explained(name: str) -> None:
    assert COMMANDS[name].help
    assert not [each.name for each in COMMANDS[name].params if not each.help and each.name != "help"]


@pytest.mark.parametrize("name", COMMANDS)
def test_nothing_in_an_explanation_is_taken_for_markup(name: str) -> None:
    """What stands in square brackets is markup to typer, and isn't shown."""
    assert not [each.name for each in COMMANDS[name].params if "[" in (each.help or "")]


def test_an_example_with_a_wrong_option_would_not_parse() -> None:
    with pytest.raises(typer.BadParameter.__bases__[0], match="--no-such"):
        COMMANDS["run"].make_context("run", ["screen.yaml", "--no-such"])
