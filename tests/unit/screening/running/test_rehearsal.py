import re
from collections.abc import Callable
from pathlib import Path

import polars as pl
import pytest

from campaigns.chaos_spec import ChaosSpec
from screening.running.rehearsal import describe_strikes, fault_plan

FAULTS = """
kind: chaos
name: rehearsed
workers: {nan: 0.2, raise: 0.1, out_of_memory: 0.1, slow: 0.05}
store: {"403": 0.1, "412": 0.2, "409": 0.1, truncated_body: 0.05, slow_body: 0.05, lost_answer: 0.01}
slow_seconds: 0.01
"""


@pytest.fixture
def chaos(tmp_path: Path) -> Path:
    path = tmp_path / "chaos.yaml"
    path.write_text(FAULTS)
    return path


def test_a_rehearsal_publishes_the_table_of_a_calm_run_and_leaves_no_trace(
    write_screen: Callable[..., Path], chaos: Path, lingshu: Callable[..., tuple[int, str, str]], tmp_path: Path
) -> None:
    path = write_screen()
    code, out, err = lingshu("run", path, "--chaos", chaos)
    assert (code, err) == (0, "")
    told = " ".join(out.split())
    assert f"a rehearsal: the faults of {chaos} strike" in told
    assert "faults have struck (" in told
    struck = told.partition("have struck (")[2]
    # Which faults strike goes by the ids of blocks, and these by where the model lies: not every one always does.
    assert sum(f"{fault} " in struck for fault in ("nan", "raise", "403", "412")) >= 2
    assert [path for path in (tmp_path / "screen" / "rehearsal").rglob("*") if path.is_file()] == []
    assert lingshu("verify", tmp_path / "screen")[0] == 0

    assert lingshu("run", path, "--output", tmp_path / "calm")[0] == 0
    one, other = (pl.read_parquet(tmp_path / name / "hits.parquet") for name in ("screen", "calm"))
    assert one.equals(other, null_equal=True)


def test_what_is_struck_always_fails_with_its_reason(
    write_screen: Callable[..., Path], chaos: Path, lingshu: Callable[..., tuple[int, str, str]], tmp_path: Path
) -> None:
    chaos.write_text("kind: chaos\nname: always\nworkers: {raise: 0.2}\nalways: true\n")
    code, _, err = lingshu("run", write_screen(), "--chaos", chaos)
    assert code == 3
    assert re.search(r"failed, such as: (control .*: )?RehearsedFailure: injected: raise; `status`", err)
    failed = pl.read_parquet(tmp_path / "screen" / "hits.parquet").filter(pl.col("status") != "done")
    assert 0 < failed.height < 40
    assert failed["reason"].str.contains("injected: raise").any()


def test_faults_that_would_end_the_run_itself_are_refused_before_anything_is_done(
    write_screen: Callable[..., Path], chaos: Path, lingshu: Callable[..., tuple[int, str, str]], tmp_path: Path
) -> None:
    chaos.write_text("kind: chaos\nname: deadly\nworkers: {kill: 0.2, hang: 0.1}\n")
    code, _, err = lingshu("run", write_screen(), "--chaos", chaos)
    assert (code, err.count("\n")) == (2, 1)
    assert "kill, hang would end the run itself" in err
    assert not (tmp_path / "screen").exists()


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("kind: screen\n", "a `kind: chaos` file is wanted"),
        ("kind: chaos\nname: a\nworkers: {kil: 1}\n", "chaos.yaml:3"),
    ],
)
def test_a_wrong_file_is_told_in_one_line(
    write_screen: Callable[..., Path], chaos: Path, lingshu: Callable[..., tuple[int, str, str]], text: str, said: str
) -> None:
    chaos.write_text(text)
    code, _, err = lingshu("run", write_screen(), "--chaos", chaos)
    assert (code, err.count("\n")) == (2, 1)
    assert said in err


def test_validate_and_doctor_know_the_file(chaos: Path, lingshu: Callable[..., tuple[int, str, str]]) -> None:
    code, out, _ = lingshu("validate", chaos)
    assert (code, out) == (0, f"{chaos}: a valid `kind: chaos` file, named 'rehearsed'\n")
    code, out, _ = lingshu("doctor", chaos)
    assert code == 0
    assert "rehearsed, kind: chaos" in out


def test_the_file_becomes_the_plan_of_the_engine() -> None:
    content = {
        "kind": "chaos",
        "name": "a",
        "workers": {"out_of_memory": 0.1},
        "store": {"lost_answer": 0.2},
        "seed": 7,
    }
    plan = fault_plan(ChaosSpec.model_validate(content))
    assert (plan.seed, plan.worker, plan.store) == (7, {"out of memory": 0.1}, {"lost answer": 0.2})
    assert plan.strikes == 2
    assert fault_plan(ChaosSpec.model_validate(content | {"always": True})).strikes is None


def test_raylets_of_a_cluster_that_the_run_starts_itself_are_refused_before_anything_is_done(
    write_screen: Callable[..., Path],
    chaos: Path,
    lingshu: Callable[..., tuple[int, str, str]],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.delenv("RAY_ADDRESS", raising=False)
    chaos.write_text("kind: chaos\nname: raylets\nworkers: {raylet_kill: 0.2}\n")
    code, _, err = lingshu("run", write_screen(), "--chaos", chaos)
    assert (code, "raylet_kill would end the run itself where the replica is in its process" in err) == (2, True)
    code, _, err = lingshu("run", write_screen(compute={"backend": "ray"}), "--chaos", chaos)
    assert (code, err.count("\n")) == (2, 1)
    assert "the cluster that it starts has one node, which is its own" in err
    assert not (tmp_path / "screen").exists()


def test_what_was_spared_is_told_apart_from_what_has_struck() -> None:
    assert describe_strikes({}) == ""
    assert describe_strikes({"kill": 2, "nan": 1}) == "a rehearsal: 3 faults have struck (kill 2, nan 1)\n"
    told = describe_strikes({"raylet kill": 1, "raylet kill spared": 3})
    assert told.startswith("a rehearsal: 1 faults have struck (raylet kill 1)\na rehearsal: spared, raylet kill 3: ")
    assert "(none)" in describe_strikes({"raylet kill spared": 1})
