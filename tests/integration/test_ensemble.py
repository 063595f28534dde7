"""An ensemble of two screened whole: reuse between it and its members, a failed block, cells, Ray."""

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import anndata
import numpy as np
import polars as pl
import pytest

from actors.cluster import RaySession
from screening.run import RunResult, run_campaign

WriteScreen = Callable[..., Path]
FEW = {"contexts": {"cell_type": "type_1"}, "perturbations": {"genetic": ["REG04", "REG05"], "drug": ["DRUG01"]}}


@pytest.fixture
def screen(write_screen: WriteScreen, quiet: Any) -> Callable[..., RunResult]:
    return lambda **changes: run_campaign(write_screen(**(FEW | changes)), quiet)


def by_condition(hits: pl.DataFrame) -> dict[str, dict[str, Any]]:
    return {row["perturbation"]: row for row in hits.iter_rows(named=True)}


def test_an_ensemble_and_its_members_reuse_each_others_blocks(
    screen: Callable[..., RunResult], tiny_ensemble: Path
) -> None:
    members = [str(tiny_ensemble / "member-0"), str(tiny_ensemble / "member-1")]
    first = screen(model=members[0])
    ensemble = screen(model=str(tiny_ensemble))
    second = screen(model=members[1])
    assert [(result.computed, result.reused) for result in (first, ensemble, second)] == [(10, 0), (10, 10), (0, 10)]
    assert screen(model=members[0]).hits.equals(first.hits, null_equal=True)
    assert screen(model=members[::-1]).hits.equals(ensemble.hits, null_equal=True)


def test_scores_of_an_ensemble_are_means_and_their_spread_stands_beside(
    screen: Callable[..., RunResult], tiny_ensemble: Path, tmp_path: Path
) -> None:
    tables, effects = {}, {}
    for name in ("member-0", "member-1", "."):
        output = str(tmp_path / f"of {name}")
        tables[name] = by_condition(screen(model=str(tiny_ensemble / name), output=output).hits)
        effects[name] = anndata.read_h5ad(f"{output}/effects.h5ad")
    for label, row in tables["."].items():
        alone = [tables[name][label] for name in ("member-0", "member-1")]
        assert row["score"] == pytest.approx(np.mean([each["score"] for each in alone]))
        assert row["score_sd"] == pytest.approx(np.std([each["score"] for each in alone], ddof=1))
        assert row["effect"] == pytest.approx(np.mean([each["effect"] for each in alone]))
        assert row["score_se"] <= max(each["score_se"] for each in alone) + 1e-12
        assert (row["members"], alone[0]["members"], alone[0]["score_sd"]) == (2, 1, None)
        assert (row["cells"], row["shards"]) == (2 * alone[0]["cells"], alone[0]["shards"])
    members = [effects[name].X for name in ("member-0", "member-1")]
    np.testing.assert_allclose(effects["."].X, np.mean(members, axis=0), atol=1e-6)
    np.testing.assert_allclose(effects["."].layers["effect_sd"], np.std(members, axis=0, ddof=1), atol=1e-6)
    assert "effect_sd" not in effects["member-0"].layers
    manifest = json.loads((tmp_path / "of ." / "manifest.json").read_text())
    assert {member["name"] for member in manifest["members"]} == {"member-0", "member-1"}
    assert "members" not in json.loads((tmp_path / "of member-0" / "manifest.json").read_text())


def test_a_member_that_fails_fails_its_conditions_by_name(
    screen: Callable[..., RunResult], tiny_ensemble: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from screening.running.ensemble_worker import EnsembleWorker

    compute = EnsembleWorker.run
    bad = json.loads((tiny_ensemble / "ensemble.json").read_text())["members"][1]["digest"]

    def fail(worker: EnsembleWorker, payload: bytes) -> bytes:
        request = json.loads(payload)
        if request["model"] == bad and [part["name"] for part in request["perturbation"]] == ["REG05"]:
            raise ValueError("out of luck")
        return compute(worker, payload)

    monkeypatch.setattr(EnsembleWorker, "run", fail)
    result = screen(model=str(tiny_ensemble))
    rows = by_condition(result.hits)
    assert (result.failed, rows["REG05"]["status"], rows["REG05"]["score"]) == (1, "failed", None)
    assert rows["REG05"]["reason"].startswith("member member-1: ")
    assert "out of luck" in rows["REG05"]["reason"]
    assert all(rows[label]["status"] == "done" for label in rows if label != "REG05")
    monkeypatch.undo()
    again = screen(model=str(tiny_ensemble))
    assert (again.computed, again.failed) == (2, 0)


def test_cells_say_which_member_drew_them(
    screen: Callable[..., RunResult], tiny_ensemble: Path, tmp_path: Path
) -> None:
    estimator = {"kind": "sampled", "store_cells": True, "shards": 8, "depth_strata": 2, "steps": 2}
    screen(model=str(tiny_ensemble), estimator=estimator)
    cells = anndata.read_zarr(tmp_path / "screen" / "cells.zarr")
    assert cells.n_obs == 2 * 5 * 16
    assert cells.obs_names.is_unique
    assert cells.obs.groupby(["member", "perturbation"], observed=True).size().eq(16).all()
    assert set(cells.obs["member"]) == {"member-0", "member-1"}
    # Members draw from the same random numbers, so depths are pairs across members.
    depths = [cells.obs.loc[cells.obs["member"] == name, "depth"].to_numpy() for name in ("member-0", "member-1")]
    np.testing.assert_array_equal(*depths)


def test_the_command_line_knows_ensembles(
    lingshu: Callable[..., tuple[int, str, str]], write_screen: WriteScreen, tiny_ensemble: Path, tmp_path: Path
) -> None:
    path = write_screen(**FEW, model=str(tiny_ensemble))
    assert "2 members × 16 shards" in lingshu("plan", path)[1]
    assert lingshu("run", path)[0] == 0
    assert ", 2 members): 20 of 20 blocks committed (100 %), 5 of 5 conditions complete" in lingshu("status", path)[1]
    assert "members ±" in lingshu("hits", tmp_path / "screen")[1]
    assert json.loads(lingshu("plan", path, "--json")[1])["members"]


@pytest.mark.ray
def test_replicas_on_ray_give_the_same_table(
    ray_cluster: RaySession, screen: Callable[..., RunResult], tiny_ensemble: Path, tmp_path: Path
) -> None:
    model = Path(shutil.copytree(tiny_ensemble, tmp_path / "with a space"))
    here = screen(model=str(model), output=str(tmp_path / "here"))
    compute = {"backend": "ray", "replicas": 2, "lease_seconds": 0.05}
    ray = screen(model=str(model), output=str(tmp_path / "ray"), compute=compute)
    assert (ray.computed, ray.failed) == (20, 0)
    assert ray.hits.equals(here.hits, null_equal=True)
