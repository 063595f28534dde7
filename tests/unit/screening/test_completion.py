"""Completion in the shell: what it offers for campaigns, cells and choices; and the script that asks for it."""

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
import typer
import typer.completion
from typer.testing import CliRunner

from screening import completion
from screening.cli import app
from screening.completion import KINDS_OF, campaign_files, cell_files

ROOT = Path(__file__).parents[3]
COMMANDS = typer.main.get_command(app).commands  # type: ignore[attr-defined]


@pytest.fixture
def offered(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[str, str], list[str]]:
    """What is offered for a command in a folder with campaigns and cells."""
    for name, kind in {"a/train.yaml": "train", "a/screen.yaml": "screen", "b/c/judge.yml": "evaluate"}.items():
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(f"# a comment\nkind: {kind}\n")
    (tmp_path / "mkdocs.yml").write_text("site_name: x\n")
    (tmp_path / ".hidden").mkdir()
    (tmp_path / ".hidden" / "screen.yaml").write_text("kind: screen\n")
    (tmp_path / "a" / "cells.h5ad").touch()
    (tmp_path / "store.zarr" / "X").mkdir(parents=True)
    monkeypatch.chdir(tmp_path)

    def offer(command: str, incomplete: str) -> list[str]:
        return campaign_files(typer.Context(COMMANDS[command], info_name=command), incomplete)

    return offer


@pytest.mark.parametrize(
    ("command", "incomplete", "files"),
    [
        ("run", "", ["a/screen.yaml"]),
        ("train", "a/", ["a/train.yaml"]),
        ("train", "./a/t", ["./a/train.yaml"]),
        ("evaluate", "b", ["b/c/judge.yml"]),
        ("validate", "", ["a/screen.yaml", "a/train.yaml", "b/c/judge.yml"]),
        ("run", "nothing", []),
        ("run", "no/such/folder/", []),
    ],
)
def test_campaigns_of_the_kind_are_offered(
    offered: Callable[[str, str], list[str]], command: str, incomplete: str, files: list[str]
) -> None:
    assert offered(command, incomplete) == files


def test_absolute_paths_stay_absolute(offered: Callable[[str, str], list[str]], tmp_path: Path) -> None:
    assert offered("run", f"{tmp_path}/a/s") == [f"{tmp_path}/a/screen.yaml"]


@pytest.mark.usefixtures("offered")
def test_cells_are_offered() -> None:
    assert cell_files("") == ["a/cells.h5ad", "store.zarr"]


def test_a_huge_tree_is_left_to_the_shell(
    offered: Callable[[str, str], list[str]], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(completion, "MOST_LOOKED_AT", 1)
    assert offered("run", "") == []


def test_every_command_that_takes_a_campaign_completes_it() -> None:
    taking = {name for name, command in COMMANDS.items() if any(p.name in ("campaign", "run") for p in command.params)}
    assert taking == set(KINDS_OF)


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_the_script_of_the_shell_is_shown(shell: str, monkeypatch: pytest.MonkeyPatch) -> None:
    # Typer looks at the processes above this one, and here there may be no shell among them.
    monkeypatch.setattr(typer.completion, "_get_shell_name", lambda: shell)
    shown = CliRunner().invoke(app, ["--show-completion", shell], prog_name="lingshu")
    assert shown.exit_code == 0
    assert f"_LINGSHU_COMPLETE=complete_{shell}" in shown.output


@pytest.mark.usefixtures("offered")
@pytest.mark.parametrize(
    ("asked", "answer"),
    [
        ({"_LINGSHU_COMPLETE": "source_zsh"}, "#compdef lingshu"),
        ({"COMP_WORDS": "lingshu run --backend ", "COMP_CWORD": "3"}, "ray\nin_process\n"),
        ({"COMP_WORDS": "lingshu run a", "COMP_CWORD": "2"}, "a/screen.yaml\n"),
    ],
    ids=["script", "choices", "files"],
)
def test_the_shell_is_answered(asked: dict[str, str], answer: str) -> None:
    code = "import sys\nsys.argv = ['lingshu']\nfrom screening.cli import main\nmain()"
    environment = {**os.environ, "_LINGSHU_COMPLETE": "complete_bash", **asked}
    environment["PYTHONPATH"] = os.pathsep.join(filter(None, (str(ROOT), environment.get("PYTHONPATH"))))
    done = subprocess.run([sys.executable, "-c", code], env=environment, capture_output=True, text=True, check=True)
    assert answer in done.stdout
    assert done.stderr == ""
