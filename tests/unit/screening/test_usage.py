import subprocess
import sys

import pytest
import typer
from typer.testing import CliRunner

from screening.usage import DEBUG, Commands, UsageError, is_debugging, usage_message

app = typer.Typer(cls=Commands)


@app.callback()
def options(debug: bool = False) -> None:
    print(f"debug {debug}")


@app.command()
def hello(name: str) -> None:
    print(f"hello {name}")


@app.command()
def other() -> None:
    print("nothing else")


@pytest.mark.parametrize(
    "arguments", [["--debug", "hello", "you"], ["hello", "--debug", "you"], ["hello", "you", "--debug"]]
)
def test_debug_may_stand_anywhere(arguments: list[str]) -> None:
    assert CliRunner().invoke(app, arguments).output == "debug True\nhello you\n"


def test_without_debug() -> None:
    assert CliRunner().invoke(app, ["hello", "you"]).output == "debug False\nhello you\n"


def test_behind_two_dashes_everything_is_an_argument() -> None:
    assert CliRunner().invoke(app, ["hello", "--", "--debug"]).output == "debug False\nhello --debug\n"


@pytest.mark.parametrize(("value", "on"), [("", False), ("0", False), ("1", True), ("yes", True)])
def test_the_variable(monkeypatch: pytest.MonkeyPatch, value: str, on: bool) -> None:
    monkeypatch.setenv(DEBUG, value)
    assert is_debugging() == on


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["hell"], "lingshu: no such command 'hell'; did you mean 'hello'; `lingshu --help` shows what there is"),
        (["hello"], "lingshu hello: missing argument 'name'; `lingshu hello --help` shows what there is"),
        (["other", "--x"], "lingshu other: no such option: --x; `lingshu other --help` shows what there is"),
    ],
)
def test_a_mistake_is_told_in_one_line(arguments: list[str], message: str) -> None:
    with pytest.raises(UsageError) as raised:
        app(arguments, standalone_mode=False, prog_name="lingshu")
    assert usage_message(raised.value) == message


def test_a_mistake_without_its_command() -> None:
    said = usage_message(typer.BadParameter("--column 'a' must be NAME=VALUE"))
    assert said == "lingshu: invalid value: --column 'a' must be NAME=VALUE; `lingshu --help` shows what there is"


def test_the_command_itself_draws_no_box() -> None:
    """The tests call `main`; this is the process that people start."""
    done = subprocess.run([sys.executable, "-m", "screening.cli", "runn"], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr.startswith("error: ")
    assert done.stderr.count("\n") == 1
