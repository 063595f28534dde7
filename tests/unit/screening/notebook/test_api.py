import pkgutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

import screening
from campaigns.errors import SpecError, VocabularyError


def test_import_is_light_and_lists_the_names() -> None:
    code = (
        "import sys, screening; assert 'screen' in dir(screening)\n"
        "heavy = {'torch', 'ray', 'matplotlib', 'polars', 'anndata'} & set(sys.modules); assert not heavy, heavy\n"
        "screening.screen, screening.Screen, screening.plan\n"
        "heavy = {'torch', 'ray', 'matplotlib', 'anndata'} & set(sys.modules); assert not heavy, heavy"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


def test_no_name_hides_a_module() -> None:
    modules = {each.name for each in pkgutil.iter_modules(screening.__path__)}
    assert not modules & set(screening.__all__)
    assert all(callable(getattr(screening, name)) for name in screening.__all__)


def test_a_name_that_is_not_there_names_those_that_are() -> None:
    with pytest.raises(AttributeError, match="no attribute 'run_screen'; it has ProgressLines, Screen"):
        _ = screening.run_screen


def test_plan_tells_conditions_without_computing(write_screen: Callable[..., Path], tmp_path: Path) -> None:
    found = screening.plan(write_screen(), output=tmp_path / "elsewhere")
    assert set(found.conditions["perturbation"]) >= {"REG04", "DRUG01@0.1", "DRUG01@1"}
    assert "control" not in set(found.conditions["perturbation"])
    assert str(found).startswith("tiny: ")
    assert str(tmp_path / "elsewhere") in found._repr_html_()
    assert not (tmp_path / "elsewhere").exists()


def test_options_are_checked_like_those_of_the_command_line(write_screen: Callable[..., Path]) -> None:
    with pytest.raises(SpecError, match="must be 'ray' or 'in_process'"):
        screening.screen(write_screen(), backend="spark")


def test_cells_are_drawn_into_memory(tiny: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    heard: list[tuple[int, int]] = []
    cells = screening.draw_cells(
        tiny / "model",
        "REG04",
        {"cell_type": "type_1"},
        cells=6,
        sampler={"steps": 2},
        listener=lambda done, total: heard.append((done, total)),
    )
    assert cells.shape == (6, 40)
    assert set(cells.obs["perturbation"]) == {"REG04"}
    assert set(cells.obs["cell_type"]) == {"type_1"}
    assert heard[-1] == (6, 6)
    assert cells.uns["lingshu"]["steps"] == 2
    again = screening.draw_cells(tiny / "model", "REG04", {"cell_type": "type_1"}, cells=6, sampler={"steps": 2})
    assert (cells.X != again.X).nnz == 0
    assert not list(tmp_path.iterdir())


def test_a_training_is_quiet_and_tells_its_listener(
    write_train: Callable[..., Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    heard: list[int] = []
    file = write_train(training={"epochs": 1, "warmup_steps": 5, "device": "cpu"})
    result = screening.train(file, output=tmp_path / "other", listener=lambda now: heard.append(now.step))
    assert result.output == str(tmp_path / "other")
    assert heard
    assert capsys.readouterr() == ("", "")


@pytest.mark.parametrize(
    ("asked", "error", "told"),
    [
        ({"perturbation": "REG99"}, VocabularyError, "unknown perturbation 'REG99'; nearest: REG0"),
        ({"cells": 0}, SpecError, "cells: must be greater than or equal to 1, not 0"),
        ({"contxt": {}}, SpecError, "contxt"),
    ],
)
def test_a_wrong_request_for_cells_says_what_is_right(
    tiny: Path, asked: dict[str, object], error: type[Exception], told: str
) -> None:
    with pytest.raises(error, match=told):
        screening.draw_cells(tiny / "model", **asked)  # type: ignore[arg-type]
