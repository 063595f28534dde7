import io
import json
import os
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import anndata
import polars as pl
import pytest
import safetensors.torch
import torch
from typer.testing import CliRunner

from screening.cli import app

Lingshu = Callable[..., tuple[int, str, str]]
WriteScreen = Callable[..., Path]
COMMANDS = (
    *("simulate", "train", "validate", "plan", "run", "status", "hits", "describe", "generate", "embed", "doctor"),
    "evaluate",
)
QUIET_SECONDS = 0.06
FEW = {"contexts": {"cell_type": "type_1"}, "perturbations": {"genetic": ["REG04", "REG05"]}}


@pytest.fixture
def results(lingshu: Lingshu, write_screen: WriteScreen, tmp_path: Path) -> Path:
    """A screen that ran over two cell types."""
    assert lingshu("run", write_screen(perturbations={"genetic": ["REG04", "REG05"]}))[0] == 0
    return tmp_path / "screen"


@pytest.fixture
def poisoned(tiny: Path, tmp_path: Path) -> Path:
    """The model, with NaN in the embedding of REG05."""
    from lingshu_core.checkpoint import MANIFEST, WEIGHTS, load_checkpoint

    folder = tmp_path / "poisoned"
    folder.mkdir()
    checkpoint = load_checkpoint(str(tiny / "model"))
    for each in (tiny / "model").iterdir():
        (folder / each.name).write_bytes(each.read_bytes())
    state = safetensors.torch.load((folder / WEIGHTS).read_bytes())
    row = checkpoint.vocabulary.index("perturbation", "REG05")
    state["conditions.perturbation.weight"][row] = torch.nan
    data = safetensors.torch.save(state)
    (folder / WEIGHTS).write_bytes(data)
    manifest = json.loads((folder / MANIFEST).read_text())
    import hashlib

    manifest["files"][WEIGHTS] = {"size": len(data), "sha256": hashlib.sha256(data).hexdigest()}
    (folder / MANIFEST).write_text(json.dumps(manifest))
    return folder


def seconds_of_cpu(*arguments: str) -> float:
    """User and system time of one call in a process of its own."""
    before = os.times()
    subprocess.run([sys.executable, "-m", "screening.cli", *arguments], check=True, stdout=subprocess.DEVNULL)
    after = os.times()
    return after.children_user - before.children_user + after.children_system - before.children_system


@pytest.mark.parametrize("command", COMMANDS)
def test_every_command_explains_itself_by_an_example(command: str) -> None:
    shown = CliRunner().invoke(app, [command, "--help"])
    assert shown.exit_code == 0
    assert f"Example: lingshu {command}" in " ".join(shown.output.split())


def test_the_help_lists_every_command() -> None:
    shown = CliRunner().invoke(app, ["-h"])
    assert shown.exit_code == 0
    assert all(command in shown.output for command in COMMANDS)


def pace() -> float:
    """CPU seconds that a fixed piece of Python takes, by those it takes on the quiet core that limits are made for."""
    begun = time.process_time()
    sum(number * number % 7 for number in range(1_000_000))
    return max((time.process_time() - begun) / QUIET_SECONDS, 1.0)


def test_help_and_validate_answer_at_once(write_screen: WriteScreen) -> None:
    path = str(write_screen())
    for arguments in (("--help",), ("run", "--help"), ("validate", path)):
        # The best of three, by the pace of the core: what else runs on it makes the same instructions twice as dear.
        assert min(seconds_of_cpu(*arguments) / pace() for _ in range(3)) < 0.5, arguments


@pytest.mark.parametrize(
    "arguments",
    [["--help"], ["run", "--help"], ["validate", "SCREEN"], ["evaluate", "--help"], ["validate", "EVALUATION"]],
)
def test_help_and_validate_load_nothing_heavy(
    write_screen: WriteScreen, write_evaluation: WriteScreen, arguments: list[str]
) -> None:
    files = {"SCREEN": write_screen, "EVALUATION": write_evaluation}
    arguments = [str(files[each]()) if each in files else each for each in arguments]
    code = (
        "import sys, json\nfrom screening.cli import main\n"
        f"sys.argv = {['lingshu', *arguments]!r}\n"
        "try:\n    main()\nexcept SystemExit as ended:\n    assert not ended.code, ended.code\n"
        "print(json.dumps(sorted({name.partition('.')[0] for name in sys.modules})))\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    loaded = set(json.loads(done.stdout.splitlines()[-1]))
    assert "typer" in loaded
    assert not loaded & {
        "torch",
        "ray",
        "numpy",
        "scipy",
        "pandas",
        "polars",
        "anndata",
        "obstore",
        "botocore",
        "fsspec",
    }


def test_without_a_command_the_help_is_shown(lingshu: Lingshu) -> None:
    code, out, err = lingshu()
    assert code == 2
    assert "simulate" in out + err


def test_an_unknown_option_is_bad_input(lingshu: Lingshu, tmp_path: Path) -> None:
    code, _, err = lingshu("run", tmp_path / "x.yaml", "--no-such-option")
    assert code == 2
    assert err == "error: lingshu run: no such option: --no-such-option; `lingshu run --help` shows what there is\n"


def test_simulate_writes_cells_and_truth(lingshu: Lingshu, tmp_path: Path) -> None:
    code, out, _ = lingshu("simulate", tmp_path / "sim", "--seed", 3)
    assert code == 0
    assert "planted hits" in out
    assert anndata.read_h5ad(tmp_path / "sim" / "cells.h5ad").n_obs > 1000
    assert json.loads((tmp_path / "sim" / "simulation.json").read_text())
    assert (tmp_path / "sim" / "program.gmt").read_text().startswith("SIMULATED_PROGRAM")


def test_train_writes_a_checkpoint(lingshu: Lingshu, write_train: Callable[..., Path], tmp_path: Path) -> None:
    code, out, err = lingshu("train", write_train(), "--output", tmp_path / "other", "--seed", 4)
    assert (code, err) == (0, "")
    assert "trained on 432 cells" in out
    assert json.loads((tmp_path / "other" / "model.json").read_text())["training"]["seed"] == 4
    assert not (tmp_path / "model").exists()


def test_validate_says_what_is_right(lingshu: Lingshu, write_screen: WriteScreen) -> None:
    code, out, err = lingshu("validate", write_screen())
    assert (code, err) == (0, "")
    assert "24 conditions, 2 of them controls" in out


def test_plan_computes_nothing(lingshu: Lingshu, write_screen: WriteScreen, tmp_path: Path) -> None:
    code, out, _ = lingshu("plan", write_screen(**FEW))
    assert code == 0
    assert "6 blocks, 0 of them" in " ".join(out.split())
    assert not (tmp_path / "screen" / "hits.parquet").exists()


def test_plan_prints_json_for_other_programs(lingshu: Lingshu, write_screen: WriteScreen) -> None:
    code, out, _ = lingshu("plan", write_screen(**FEW), "--json")
    assert code == 0
    assert len(json.loads(out)["blocks"]) == 6


def test_run_shows_stages_and_hits(lingshu: Lingshu, write_screen: WriteScreen, tmp_path: Path) -> None:
    code, out, err = lingshu("run", write_screen(**FEW), "--output", tmp_path / "elsewhere", "--top", 1)
    assert (code, err) == (0, "")
    assert "1/8 load" in out
    assert "8/8 publish" in out
    assert "6 blocks computed, 0 reused, 0 conditions failed" in out
    assert sum("type_1" in line for line in out.splitlines()) == 1
    assert (tmp_path / "elsewhere" / "hits.csv").exists()


def test_status_before_and_after(lingshu: Lingshu, write_screen: WriteScreen) -> None:
    path = write_screen(**FEW)
    assert "0 of 6 blocks committed" in " ".join(lingshu("status", path)[1].split())
    lingshu("run", path)
    code, out, _ = lingshu("status", path)
    assert code == 0
    assert "6 of 6 blocks committed (100 %), 3 of 3 conditions complete; all computed" in " ".join(out.split())


def test_a_condition_that_fails_is_a_partial_failure(
    lingshu: Lingshu, write_screen: WriteScreen, poisoned: Path, tmp_path: Path
) -> None:
    path = write_screen(**FEW, model=str(poisoned))
    code, out, err = lingshu("run", path)
    assert code == 3
    assert err.startswith("error: 1 of ")
    assert "conditions failed, such as: " in err
    assert err.endswith("; `status` and `reason` of the table say which and why\n")
    assert "1 conditions failed" in out
    hits = pl.read_parquet(tmp_path / "screen" / "hits.parquet")
    assert hits["perturbation"].to_list() == ["REG04", "REG05"]
    assert hits["status"].to_list() == ["done", "failed"]
    assert "NonFiniteResult: the model gave non-finite values for" in hits["reason"][1]
    assert hits["score"].is_finite().to_list() == [True, None]
    assert "4 of 6 blocks committed" in " ".join(lingshu("status", path)[1].split())
    code, out, _ = lingshu("hits", tmp_path / "screen")
    assert code == 0
    assert "REG05 in cell_type=type_1: NonFiniteResult" in out


def test_bad_input_is_one_message_without_a_trace(lingshu: Lingshu, write_screen: WriteScreen) -> None:
    code, out, err = lingshu("run", write_screen(perturbations={"genetic": ["REG40"]}))
    assert code == 2
    assert err.startswith("error: ")
    assert "screen.yaml:" in err
    assert "nearest: REG10" in err
    assert "Traceback" not in out + err
    assert len(err.splitlines()) == 1


@pytest.mark.parametrize("arguments", [["--debug", "run", "SCREEN"], ["run", "--debug", "SCREEN"], ["run", "SCREEN"]])
def test_debug_shows_the_trace_and_the_message(
    lingshu: Lingshu, write_screen: WriteScreen, monkeypatch: pytest.MonkeyPatch, arguments: list[str]
) -> None:
    path = str(write_screen(perturbations={"genetic": ["REG40"]}))
    shortly = lingshu("run", path)[2]
    if "--debug" not in arguments:
        arguments = [*arguments, "--debug"]
    code, _, err = lingshu(*(path if each == "SCREEN" else each for each in arguments))
    assert code == 2
    assert err.startswith("Traceback (most recent call last)")
    assert "campaigns.errors.VocabularyError" in err
    assert err.endswith(shortly)


def test_a_crash_of_ours_is_told_apart(
    lingshu: Lingshu, write_screen: WriteScreen, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(*arguments: object) -> None:
        raise ZeroDivisionError("by\nnought")

    monkeypatch.setattr("screening.planning.validation.validate_campaign", broken)
    code, _, err = lingshu("validate", write_screen())
    assert code == 1
    assert err == "error: ZeroDivisionError: by nought (a bug: `lingshu --debug …` shows the trace)\n"


def test_an_interrupt_says_how_to_go_on(
    lingshu: Lingshu, write_screen: WriteScreen, monkeypatch: pytest.MonkeyPatch
) -> None:
    def interrupted(*arguments: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("screening.watching.attachment.run_loaded", interrupted)
    code, _, err = lingshu("run", write_screen())
    assert code == 130
    assert "run the same command again" in err


def test_options_that_do_not_fit_the_file_are_bad_input(lingshu: Lingshu, write_screen: WriteScreen) -> None:
    code, _, err = lingshu("run", write_screen(), "--replicas", 3)
    assert code == 2
    assert "command line (--replicas): compute.replicas: `backend: in_process` has one replica" in err


def test_hits_as_a_table(lingshu: Lingshu, results: Path) -> None:
    code, out, _ = lingshu("hits", results, "--top", 3)
    assert code == 0
    assert [line.split()[0] for line in out.splitlines()] == ["rank", "1", "2", "3"]


@pytest.mark.parametrize("form", ["csv", "json"])
def test_hits_as_text_for_other_programs(lingshu: Lingshu, results: Path, form: str) -> None:
    code, out, _ = lingshu("hits", results, "--format", form)
    assert code == 0
    found = pl.read_csv(out.encode()) if form == "csv" else pl.DataFrame(json.loads(out))
    stored = pl.read_parquet(results / "hits.parquet")
    assert found["perturbation"].to_list() == stored["perturbation"].to_list()
    assert found["score"].to_list() == pytest.approx(stored["score"].to_list())
    assert found.columns == stored.columns


def test_hits_as_an_object_a_line(lingshu: Lingshu, results: Path) -> None:
    code, out, err = lingshu("hits", results, "--json", "--sort", "-score", "--top", 2)
    assert (code, err) == (0, "")
    stored = pl.read_parquet(results / "hits.parquet").sort("score", descending=True, nulls_last=True)
    rows = [json.loads(line) for line in out.splitlines()]
    assert [list(row) for row in rows] == [stored.columns] * 2
    assert [row["score"] for row in rows] == pytest.approx(stored["score"][:2].to_list())
    code, out, err = lingshu("hits", results, "--json", "--format", "csv")
    assert (code, out) == (2, "")
    assert "--json and --format are two ways to print" in err


def test_hits_as_parquet_are_the_table_of_the_file(results: Path) -> None:
    command = [sys.executable, "-m", "screening.cli", "hits", str(results), "--format", "parquet"]
    done = subprocess.run(command, capture_output=True, check=True)
    assert pl.read_parquet(done.stdout).equals(pl.read_parquet(results / "hits.parquet"), null_equal=True)
    assert "lingshu.columns" in pl.read_parquet_metadata(io.BytesIO(done.stdout))


def test_hits_of_one_context(lingshu: Lingshu, results: Path) -> None:
    _, out, _ = lingshu("hits", results, "--context", "type_2", "--format", "csv")
    assert set(pl.read_csv(out.encode())["cell_type"]) == {"type_2"}
    code, _, err = lingshu("hits", results, "--context", "type_9")
    assert code == 2
    assert "there are: cell_type=type_1, cell_type=type_2" in err


def test_hits_of_a_folder_that_is_not_there(lingshu: Lingshu, tmp_path: Path) -> None:
    code, out, err = lingshu("hits", tmp_path / "typo")
    assert (code, out) == (2, "")
    assert err.startswith("error: ")
    assert "no such folder" in err
    assert not (tmp_path / "typo").exists()
    code, _, err = lingshu("hits", tmp_path)
    assert code == 2
    assert "no hits.parquet here" in err


def test_hits_into_a_pipe_that_closes_is_no_error(results: Path) -> None:
    # `true` is gone long before the table is there.
    command = f"{sys.executable} -m screening.cli hits {results} --format csv | true; exit ${{PIPESTATUS[0]}}"
    done = subprocess.run(["bash", "-c", command], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")


def test_doctor_ends_with_bad_input_where_something_is_bad(
    lingshu: Lingshu, write_screen: WriteScreen, tmp_path: Path
) -> None:
    code, out, _ = lingshu("doctor", write_screen())
    assert code == 0
    assert "knows who was first" in " ".join(out.split())
    code, out, err = lingshu("doctor", write_screen(model=str(tmp_path / "none")))
    assert (code, err) == (2, "error: not all is well: see model above\n")
    assert "no checkpoint here" in " ".join(out.split())
