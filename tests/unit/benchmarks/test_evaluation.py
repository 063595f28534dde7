from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from actors.tasks import Task
from benchmarks import evaluation, evaluation_sets
from benchmarks.evaluation import wanted
from benchmarks.evaluation_sets import Set
from screening.evaluating.evaluation_plan import Contender, Unit

Call = Callable[..., tuple[str, str]]


@pytest.fixture
def call(
    write_evaluation: Callable[..., Path],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> Call:
    """Run the benchmark on the small simulation: `stdout, stderr = call("--models", "baselines")`."""
    small = Set("small", "The small simulation", str(write_evaluation()), {}, "perturbation")
    monkeypatch.setattr(evaluation, "SETS", (small,))
    monkeypatch.setattr(evaluation, "DATA", tmp_path)
    monkeypatch.setattr(evaluation_sets, "METRICS", ("effects",))
    monkeypatch.setattr(evaluation_sets, "SEEDS", (0, 1))
    monkeypatch.setattr(evaluation_sets, "FOLDER", tmp_path / "results")
    monkeypatch.setattr(evaluation_sets, "baselines", lambda features, scvi: ("no_change", "additive"))

    def make(*arguments: str) -> tuple[str, str]:
        monkeypatch.setattr(sys, "argv", ["evaluation", *arguments])
        evaluation.main()
        found = capsys.readouterr()
        return found.out, found.err

    return make


def row(out: str, name: str) -> list[str]:
    """Return the first row of a contender."""
    line = next(line for line in out.splitlines() if name in [*line.split("|"), ""][1].strip().split(", "))
    return [cell.strip() for cell in line.strip("|").split("|")]


def test_the_runner_goes_on_where_it_was(call: Call) -> None:
    out, err = call("--table")
    assert (out.splitlines()[-1], err) == ("*not run*", "")
    out, err = call("--models", "baselines", "--minutes", "0")
    assert "the minutes are over; start again to go on" in err
    out, err = call("--models", "baselines")
    assert err.count("CPU s") == 6  # two folds of both baselines and the real cells, once for all seeds
    assert [row(out, name)[4] for name in ("**tilted**", "additive", "no_change")] == ["*not run*", "–", "–"]
    assert row(out, "scvi")[4] == "*not run*"  # nobody asked for it, and that is told
    assert "*not run*" in out.split("The model beside the baselines")[1]
    assert call("--models", "baselines") == (out, "")
    out, err = call("--seeds", "1")
    assert err.count("tilted") == 2
    assert row(out, "**tilted**")[1:5] == ["2", "0", "bias+tilt+pooled+depth+self", "1"]
    assert "| tilted | additive |" in out


def test_a_part_of_the_folds_is_named_as_such(call: Call, monkeypatch: pytest.MonkeyPatch) -> None:
    asked = evaluation.wanted
    monkeypatch.setattr(evaluation, "wanted", lambda *arguments: asked(*arguments)[:1])
    out, _ = call("--models", "additive")
    assert row(out, "additive")[4] == "– (1 of 2 folds)"


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["--models", "nobody"], "--models nobody: there are baselines, models, all, tilted, no_change, additive"),
        (["--set", "nothing"], "'nothing' is none of small"),
        (["--seeds", "7"], "'7' is no list of seeds; there are 0,1,2"),
    ],
)
def test_what_is_unknown_is_refused(
    call: Call, capsys: pytest.CaptureFixture[str], arguments: list[str], said: str
) -> None:
    with pytest.raises(SystemExit):
        call(*arguments)
    assert said in capsys.readouterr().err


def test_quick_ones_go_fold_by_fold_and_trainings_seed_by_seed() -> None:
    asked = [Contender("m", "model", {}, {}, (0, 1)), Contender("b", "baseline", {}, {}, (0,))]
    units = [
        Unit(each.name, fold, seed, Task("0" * 8, b""))
        for fold in ("x", "y")
        for each in reversed(asked)
        for seed in each.seeds
    ]
    planned: Any = SimpleNamespace(asked=asked, units=units)
    order = [(unit.contender, unit.fold, unit.seed) for unit in wanted(planned, ["all"], [0, 1])]
    assert order == [("b", "x", 0), ("b", "y", 0), ("m", "x", 0), ("m", "y", 0), ("m", "x", 1), ("m", "y", 1)]
    assert [unit.contender for unit in wanted(planned, ["b"], [0])] == ["b", "b"]
    assert [(unit.fold, unit.seed) for unit in wanted(planned, ["models"], [1])] == [("x", 1), ("y", 1)]
