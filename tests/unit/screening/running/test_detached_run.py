import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from actors.job import Board
from actors.progress import Progress
from screening.errors import ResultsError
from screening.planning.campaign import load_campaign, plan_campaign
from screening.run import STAGES, run_campaign
from screening.running.detached_run import RunEnd, about_screen, end_of, job_name, run_screen, screen_job

WriteScreen = Callable[..., Path]
FEW: dict[str, Any] = {"contexts": {"cell_type": "type_1"}, "perturbations": {"genetic": ["REG04"]}}


def sent(path: Path) -> dict[str, Any]:
    """The options as they arrive: plain JSON."""
    return json.loads(json.dumps(dict(screen_job(load_campaign(path)).options)))


def cancelled_at(stage: str) -> Board:
    """A board on which somebody asks for the end as soon as a stage has begun."""
    board = Board()
    note = board.stage

    def begun(name: str, detail: str) -> None:
        note(name, detail)
        if name == stage:
            board.cancel("cancelled by her")

    board.stage = begun  # type: ignore[method-assign]
    return board


def test_a_campaign_that_was_sent_gives_the_table_of_one_that_was_not(
    write_screen: WriteScreen, listener: Any, tmp_path: Path
) -> None:
    calm = run_campaign(write_screen("calm.yaml", output=str(tmp_path / "calm"), **FEW), listener)
    path = write_screen(**FEW)
    options, board = sent(path), Board()
    path.unlink()
    ending = run_screen(board, **options)
    end = end_of(ending, str(tmp_path / "screen"))
    assert end.result is not None
    assert end.result.hits.equals(calm.hits, null_equal=True)
    assert (end.code, end.line, end.result.run_id, end.result.computed) == (0, "", calm.run_id, calm.computed)
    assert list(end.result.files) == list(calm.files)
    assert tuple(name for name, _ in board.look({}, None).stages) == STAGES
    published = ("hits.parquet", "plan.json")
    assert all((tmp_path / "calm" / n).read_bytes() == (tmp_path / "screen" / n).read_bytes() for n in published)


def test_what_stands_in_the_way_is_how_it_ended(write_screen: WriteScreen) -> None:
    options = sent(write_screen(**FEW))
    options["campaign"]["model"] = "/no/such/model"
    ending = run_screen(Board(), **options)
    assert ending.code == 2
    assert "/no/such/model" in ending.line
    assert "Traceback" in ending.trace
    assert end_of(ending, "/nowhere") == RunEnd(2, ending.line, None, ending.trace)


def test_a_cancelled_run_publishes_what_is_complete(write_screen: WriteScreen, tmp_path: Path) -> None:
    board = Board()
    tell = board.progress

    def progress(told: Progress) -> None:
        if told.done >= 4:  # the control and REG04
            board.cancel("cancelled by her")
        tell(told)

    board.progress = progress  # type: ignore[method-assign]
    names = {"genetic": ["REG04", "REG05", "REG08"]}
    fine = {"backend": "in_process", "lease_seconds": 0.001}
    options = sent(write_screen(**{**FEW, "perturbations": names, "compute": fine}))
    ending = run_screen(board, **options)
    end = end_of(ending, str(tmp_path / "screen"))
    assert end.result is not None
    rows = {row["perturbation"]: row for row in end.result.hits.iter_rows(named=True)}
    assert (end.code, end.result.cancelled) == (3, "cancelled by her")
    assert end.line.startswith("cancelled by her: ")
    assert {name: row["status"] for name, row in rows.items()} == {
        "REG04": "done",
        "REG05": "failed",
        "REG08": "failed",
    }
    assert {rows[name]["reason"] for name in ("REG05", "REG08")} == {"cancelled by her"}
    assert (end.result.failed, end.result.computed) == (2, 4)


@pytest.mark.parametrize("stage", ["load", "plan", "open"])
def test_a_run_that_is_cancelled_before_it_opens_its_store_leaves_it_as_it_was(
    stage: str, write_screen: WriteScreen, tmp_path: Path
) -> None:
    board = cancelled_at(stage)
    ending = run_screen(board, **sent(write_screen(**FEW)))
    assert (ending.code, ending.facts) == (3, {})
    assert ending.line.startswith("cancelled by her, before anything was computed: the store is as it was")
    assert board.look({}, None).stages[-1][0] == stage
    assert not (tmp_path / "screen").exists()


def test_a_run_that_is_cancelled_before_it_predicts_publishes_what_is_complete(
    write_screen: WriteScreen, listener: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert run_campaign(write_screen(**FEW), listener).complete
    monkeypatch.setattr("screening.run.open_pool", lambda *_: pytest.fail("a replica was started"))
    options = sent(write_screen(**{**FEW, "perturbations": {"genetic": ["REG04", "REG05"]}}))
    end = end_of(run_screen(cancelled_at("predict"), **options), str(tmp_path / "screen"))
    assert end.result is not None
    assert (end.code, end.result.cancelled, end.result.computed, end.result.failed) == (3, "cancelled by her", 0, 1)
    rows = {row["perturbation"]: row for row in end.result.hits.iter_rows(named=True)}
    assert {name: row["status"] for name, row in rows.items()} == {"REG04": "done", "REG05": "failed"}
    assert rows["REG05"]["reason"] == "cancelled by her"


@pytest.mark.parametrize("stage", ["commit", "aggregate", "score", "publish"])
def test_what_is_on_its_way_when_all_is_computed_is_not_cut_short(
    stage: str, write_screen: WriteScreen, tmp_path: Path
) -> None:
    ending = run_screen(cancelled_at(stage), **sent(write_screen(**FEW)))
    assert (ending.code, ending.line) == (0, "")
    assert (tmp_path / "screen" / "hits.parquet").is_file()


def test_relative_paths_mean_what_they_meant_to_the_command(
    write_screen: WriteScreen, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    options = sent(write_screen(output="relative", **FEW))
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    monkeypatch.chdir(elsewhere)
    assert run_screen(Board(), **options).code == 0
    assert (tmp_path / "relative" / "hits.parquet").is_file()


def test_a_node_without_the_folder_refuses_what_is_relative_to_it(write_screen: WriteScreen) -> None:
    options = sent(write_screen(output="relative", **FEW)) | {"folder": "/no/such/folder"}
    ending = run_screen(Board(), **options)
    assert ending.code == 2
    assert "relative: relative to /no/such/folder" in ending.line
    assert run_screen(Board(), **sent(write_screen(**FEW)) | {"folder": "/no/such/folder"}).code == 0


def test_a_job_is_named_by_its_place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    assert job_name("out") == job_name(f"{tmp_path}/out") == job_name((tmp_path / "out").as_uri())
    assert job_name("out") != job_name("other")


def test_others_are_told_what_runs(write_screen: WriteScreen) -> None:
    planned = plan_campaign(load_campaign(write_screen(**FEW)))
    about = about_screen(planned)
    assert (about["name"], about["run_id"]) == ("tiny", planned.plan.run_id)
    assert about["place"].startswith("file:///")


def test_a_table_that_is_out_of_reach_is_told(tmp_path: Path, write_screen: WriteScreen) -> None:
    ending = run_screen(Board(), **sent(write_screen(**FEW)))
    with pytest.raises(ResultsError):
        end_of(ending, str(tmp_path / "nowhere"))
