"""Runs whose planner is an actor of its own on a real cluster: detached, watched, cancelled, killed."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import polars as pl
import pytest

from actors.cluster import RaySession
from actors.detached import find_job
from actors.job import Look
from screening.running.detached_run import job_name

pytestmark = [pytest.mark.ray, pytest.mark.timeout(600)]

Lingshu = Callable[..., tuple[int, str, str]]
REPLICAS = {"backend": "ray", "replicas": 2, "lease_seconds": 0.2}
ONE = {"genetic": ["REG04"]}
TWO = {"genetic": ["REG04", "REG05"]}
WORK = {"shards": 48, "depth_strata": 32, "steps": 4}
"""18 blocks with two perturbations, the control among them."""


@pytest.fixture
def write(write_screen: Callable[..., Path], ray_cluster: RaySession, tmp_path: Path) -> Callable[..., Path]:
    """Write a screen of one cell type into `results/`, on the cluster of the tests."""
    fixed = {"contexts": {"cell_type": "type_1"}, "estimator": WORK, "output": str(tmp_path / "results")}
    compute = {**REPLICAS, "address": ray_cluster.address}
    return lambda name="detached.yaml", **changes: write_screen(name, **{**fixed, "compute": compute, **changes})


@pytest.fixture
def calm(write: Callable[..., Path], lingshu: Lingshu, tmp_path: Path) -> Callable[..., pl.DataFrame]:
    """The table of a calm run in this process."""

    def run(**changes: Any) -> pl.DataFrame:
        output = str(tmp_path / "calm")
        assert lingshu("run", write("calm.yaml", output=output, compute={"backend": "in_process"}, **changes))[0] == 0
        return pl.read_parquet(f"{output}/hits.parquet")

    return run


def table(tmp_path: Path) -> pl.DataFrame:
    return pl.read_parquet(tmp_path / "results" / "hits.parquet")


def looked_at(tmp_path: Path) -> Look:
    job = find_job(job_name(str(tmp_path / "results")))
    assert job is not None
    return job.look()


def wait_for(what: Callable[[], bool], seconds: float = 120) -> None:
    deadline = time.monotonic() + seconds
    while not what():
        assert time.monotonic() < deadline
        time.sleep(0.2)


def replicas() -> list[str]:
    import ray

    named = ray.util.list_named_actors(all_namespaces=True)
    return [each["name"] for each in named if each["namespace"].startswith("pool-")]


def test_a_run_outlives_its_command_and_others_find_it(
    write: Callable[..., Path],
    calm: Callable[..., pl.DataFrame],
    lingshu: Lingshu,
    ray_cluster: RaySession,
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
) -> None:
    expected = calm(perturbations=TWO)
    path = write(perturbations=TWO)
    command = [sys.executable, "-m", "screening.cli", "run", str(path), "--detach"]
    detached = subprocess.run(command, capture_output=True, text=True, timeout=300)
    assert (detached.returncode, detached.stderr) == (0, "")
    assert f"lingshu attach {path}" in detached.stdout
    assert "4/8 predict" in detached.stdout
    text = path.read_text()
    path.unlink()  # nothing of it is needed any more
    monkeypatch.setenv("RAY_ADDRESS", ray_cluster.address)
    code, said, _ = lingshu("attach", tmp_path / "results")
    assert code == 0
    assert "8/8 publish" in said
    assert "18 blocks computed, 0 reused, 0 conditions failed" in said
    assert table(tmp_path).equals(expected, null_equal=True)

    path.write_text(text)
    code, said, _ = lingshu("status", path)
    assert code == 0
    assert "18 of 18 blocks committed" in said
    assert "planner: since" in said
    assert "it has ended with exit code 0" in said
    code, said, _ = lingshu("run", path)  # the end of the other is no obstacle
    assert code == 0
    assert "0 blocks computed, 18 reused" in said


def test_a_second_run_watches_the_first_and_another_campaign_is_refused(
    write: Callable[..., Path], lingshu: Lingshu, tmp_path: Path
) -> None:
    path = write(perturbations=ONE, estimator={**WORK, "shards": 16_000})  # nobody waits for the end of it
    assert lingshu("run", path, "--detach")[0] == 0
    code, _, told = lingshu("run", write("other.yaml", perturbations=TWO))
    assert code == 2
    assert "another campaign, 'tiny' of" in told
    assert "--output" in told

    command = [sys.executable, "-u", "-m", "screening.cli", "run", str(path)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as second:
        assert second.stdout is not None
        said = next(line for line in second.stdout if "this campaign is running already, since" in line)
        assert "the replicas that it has" in " ".join((said, next(second.stdout)))
        assert lingshu("cancel", path)[0] == 0
        _, told = second.communicate(timeout=300)
    assert second.returncode == 3
    assert "cancelled by" in told


def test_a_cancelled_run_leaves_what_is_complete_and_can_be_run_again(
    write: Callable[..., Path], calm: Callable[..., pl.DataFrame], lingshu: Lingshu, tmp_path: Path
) -> None:
    expected = calm(perturbations=TWO)
    assert lingshu("run", write(perturbations=ONE))[0] == 0  # control and REG04 are complete
    path = write(perturbations=TWO)
    assert lingshu("run", path, "--detach")[0] == 0
    assert "cancelled; what is complete is published" in lingshu("cancel", path)[1]
    code, _, told = lingshu("attach", path)
    assert code == 3
    assert "cancelled by" in told
    partial = {row["perturbation"]: row for row in table(tmp_path).iter_rows(named=True)}
    assert {name: row["status"] for name, row in partial.items()} == {"REG04": "done", "REG05": "failed"}
    assert partial["REG05"]["reason"].startswith("cancelled by")
    assert partial["REG04"]["score"] == expected.filter(pl.col("perturbation") == "REG04")["score"].item()

    code, _, told = lingshu("cancel", path)
    assert code == 2
    assert "has ended already" in told
    assert lingshu("run", path)[0] == 0
    assert table(tmp_path).equals(expected, null_equal=True)


def test_a_planner_that_is_killed_takes_its_replicas_along_and_loses_nothing(
    write: Callable[..., Path], calm: Callable[..., pl.DataFrame], lingshu: Lingshu, tmp_path: Path
) -> None:
    expected = calm(perturbations=TWO)
    path = write(perturbations=TWO)
    assert lingshu("run", path, "--detach")[0] == 0
    wait_for(lambda: bool(replicas()))
    os.kill(looked_at(tmp_path).about["process"], signal.SIGKILL)
    wait_for(lambda: find_job(job_name(str(tmp_path / "results"))) is None)
    wait_for(lambda: not replicas())
    code, said, _ = lingshu("status", path)
    assert code == 0
    assert "planner: none on the cluster" in said
    for command in ("attach", "cancel"):
        code, _, told = lingshu(command, path)
        assert (code, "no run into" in told) == (2, True)
    assert lingshu("run", path)[0] == 0
    assert table(tmp_path).equals(expected, null_equal=True)
