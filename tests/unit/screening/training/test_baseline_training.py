"""A baseline from its YAML to a checkpoint that every command takes, or refuses in a line."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest

from campaigns.errors import EnsembleError, SpecError
from campaigns.source import load_training
from lingshu_core.checkpoint import load_header
from lingshu_core.errors import FeatureError, UnusableCells
from screening.console import describe_training
from screening.training.baseline_training import BaselineResult, baseline_settings, train_baseline
from screening.training.ensemble_training import train_file
from screening.training.training_request import train_model
from screening.training.training_run import training_config

Write = Callable[..., Path]
Lingshu = Callable[..., tuple[int, str, str]]
ADDITIVE = {"model": {"kind": "additive", "min_cells": 3}, "training": {}}


@pytest.fixture
def table(tmp_path: Path) -> dict[str, Any]:
    """Features of all regulators, in a file."""
    numbers = np.arange(1, 11)
    path = tmp_path / "genes.npz"
    vectors = np.stack([numbers % 3, numbers % 4, numbers], axis=1).astype(float)
    np.savez(path, names=[f"REG{number:02}" for number in numbers], features=vectors)
    return {"genetic": [{"kind": "table", "file": str(path), "licence": "CC0"}]}


@pytest.fixture
def baseline(write_train: Write) -> BaselineResult:
    found = train_file(write_train(**ADDITIVE))
    assert isinstance(found, BaselineResult)
    return found


def test_a_baseline_is_written_as_a_checkpoint(baseline: BaselineResult, tmp_path: Path) -> None:
    header = load_header(str(tmp_path / "model"))
    assert header.digest == baseline.digest
    assert header.card["settings"] == {"weighting": "contexts", "min_cells": 3}
    assert (header.card["licence"], header.card["cells"]) == ("simulated", baseline.cells)
    assert describe_training(baseline).startswith("baseline additive, fitted to ")
    assert (tmp_path / "model" / "manifest.json").exists()


def test_what_was_held_out_is_left_out(write_train: Write, tmp_path: Path) -> None:
    found = train_file(write_train(**ADDITIVE, hold_out=[{"perturbation": "REG04"}]))
    assert isinstance(found, BaselineResult)
    assert found.held_out == 32
    assert json.loads(load_header(found.output).card["held_out"]) == [{"perturbation": ["REG04"]}]
    assert ", 32 held out in" in describe_training(found)
    assert "REG04" not in load_header(found.output).vocabulary.perturbations


def test_the_same_baseline_is_not_fitted_again(
    baseline: BaselineResult, write_train: Write, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fitted(*_: object, **__: object) -> None:
        raise AssertionError("fitted again")

    monkeypatch.setattr("screening.training.baseline_training.fit_baseline", fitted)
    again = train_file(write_train(**ADDITIVE))
    assert isinstance(again, BaselineResult)
    assert again.digest == baseline.digest
    with pytest.raises(AssertionError, match="fitted again"):
        train_file(write_train(**ADDITIVE, licence="another"))


@pytest.mark.parametrize("kind", ["ridge", "knn", "low_rank"])
def test_features_are_described_and_how_far_they_are_trusted(
    write_train: Write, table: dict[str, Any], kind: str, tmp_path: Path
) -> None:
    found = train_file(write_train(model={"kind": kind}, training={}, features=table))
    assert isinstance(found, BaselineResult)
    text = describe_training(found)
    assert "genes.npz: describes 5 of the 5 genetic perturbations" in text
    assert "leaving one perturbation out, a squared error of" in text
    assert load_header(str(tmp_path / "model")).card["features"][0]["licence"] == "CC0"


def test_cells_on_disk_give_the_same_baseline(baseline: BaselineResult, write_train: Write, tmp_path: Path) -> None:
    spec = load_training(write_train(**ADDITIVE)).spec
    stored = spec.model_copy(
        update={"data": spec.data.model_copy(update={"in_memory": False}), "output": str(tmp_path / "stored")}
    )
    found = train_baseline(stored, training_config(stored, {}))
    assert load_header(found.output).card["data_digest"] == load_header(baseline.output).card["data_digest"]
    assert found.digest == baseline.digest


@pytest.mark.parametrize(
    ("changes", "error", "said"),
    [
        ({"hold_out": [{"perturbation": "control"}]}, UnusableCells, "leaves no control cells"),
        ({"features": {"genetic": [{"kind": "table", "file": "none.csv"}]}}, FeatureError, "none.csv"),
    ],
)
def test_what_can_not_be_fitted_is_refused(
    write_train: Write, changes: dict[str, Any], error: type[Exception], said: str
) -> None:
    with pytest.raises(error, match=said):
        train_file(write_train(**{**ADDITIVE, **changes}))


def test_the_folder_of_an_ensemble_is_not_for_a_baseline(write_train: Write, tiny_ensemble: Path) -> None:
    with pytest.raises(EnsembleError, match="is the folder of an ensemble; give the baseline one of its own"):
        train_file(write_train(**ADDITIVE, output=str(tiny_ensemble)))


@pytest.mark.parametrize("option", ["seed", "seeds", "workers"])
def test_options_that_mean_nothing_are_refused(write_train: Write, option: str) -> None:
    with pytest.raises(SpecError, match=rf"command line \(--{option}\): additive is a baseline"):
        train_file(write_train(**ADDITIVE), overrides={option: 2})


def test_scvi_is_asked_for_before_any_cell_is_read(
    write_train: Write, lingshu: Lingshu, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "scvi", None)
    data = {"path": "nowhere.h5ad", "columns": {"perturbation": "perturbation"}}
    code, _, told = lingshu(
        "train", write_train(model={"kind": "scvi"}, training={"epochs": 2}, data=data), "--seed", 1
    )
    assert code == 2
    assert "pip install 'lingshu-screen[scvi]'" in told


def test_what_is_not_changed_is_left_to_scvi(write_train: Write) -> None:
    spec = load_training(write_train(model={"kind": "scvi"}, training={"epochs": 2, "seed": 4})).spec
    found = baseline_settings(spec, training_config(spec, {}))
    assert found == {"epochs": 2, "seed": 4, "device": "auto", "threads": 1}


def test_the_trainer_of_the_cell_model_does_not_take_it(write_train: Write) -> None:
    with pytest.raises(SpecError, match="additive is a baseline; fit it with"):
        train_model(write_train(**ADDITIVE))


def test_it_is_described(baseline: BaselineResult, lingshu: Lingshu) -> None:
    code, text, _ = lingshu("describe", baseline.output)
    assert code == 0
    assert "additive: means of real cells, no network" in text
    assert "min_cells 3" in text
    assert "licence     simulated" in text
    content = json.loads(lingshu("describe", baseline.output, "--json")[1])
    assert (content["baseline"], content["digest"]) == ("additive", baseline.digest)


def test_trust_in_features_is_described(write_train: Write, table: dict[str, Any], lingshu: Lingshu) -> None:
    train_file(write_train(model={"kind": "low_rank"}, training={}, features=table))
    text = lingshu("describe", load_training(write_train()).spec.output)[1]
    assert "ridge strength" in text
    assert "rank " in text


def test_the_doctor_knows_it(baseline: BaselineResult, write_screen: Write, lingshu: Lingshu) -> None:
    code, text, _ = lingshu("doctor", write_screen(model=baseline.output))
    assert code == 0
    assert "the baseline additive, 40 genes, 4 contexts" in text


def test_a_campaign_runs_without_monte_carlo_error(
    baseline: BaselineResult, write_screen: Write, lingshu: Lingshu, tmp_path: Path
) -> None:
    path = write_screen(model=baseline.output, estimator={"shards": 13, "depth_strata": 4, "steps": 3})
    assert lingshu("validate", path)[0] == 0
    assert "no pass: additive is a baseline (variance_reduced)" in lingshu("plan", path)[1]
    assert lingshu("run", path)[0] == 0
    hits = pl.read_parquet(tmp_path / "screen" / "hits.parquet")
    assert set(hits["status"]) == {"done"}
    assert hits["score_se"].max() < 1e-12
    assert hits["effect_se"].max() < 1e-12
    assert set(hits["paths"]) == {"additive"}
    assert set(hits["model_digest"]) == {baseline.digest}
    assert hits.select("steps", "schedule", "guidance").null_count().row(0) == (hits.height,) * 3


def test_its_cells_can_be_kept(baseline: BaselineResult, write_screen: Write, lingshu: Lingshu, tmp_path: Path) -> None:
    estimator = {"kind": "sampled", "store_cells": True, "shards": 8, "depth_strata": 4}
    path = write_screen(model=baseline.output, estimator=estimator, perturbations={"genetic": ["REG04"]})
    assert lingshu("run", path)[0] == 0
    assert (tmp_path / "screen" / "cells.zarr").exists()


def test_nothing_is_pre_filled(baseline: BaselineResult, write_screen: Write, lingshu: Lingshu) -> None:
    path = write_screen(model=baseline.output, estimator={"prior": "published"})
    code, _, told = lingshu("plan", path)
    assert code == 2
    assert "estimator.prior: additive is a baseline and can't pre-fill genes; set prior: none" in told


def test_it_is_no_member_of_an_ensemble(
    baseline: BaselineResult, write_screen: Write, tiny: Path, lingshu: Lingshu
) -> None:
    code, _, told = lingshu("plan", write_screen(model=[str(tiny / "model"), baseline.output]))
    assert code == 2
    assert "model[1]: " in told
    assert "is the baseline 'additive', whose predictions have no spread between members" in told


@pytest.mark.parametrize("command", ["generate", "embed", "adapt"])
def test_what_needs_a_network_refuses_it_in_one_line(
    baseline: BaselineResult, tiny: Path, tmp_path: Path, lingshu: Lingshu, command: str
) -> None:
    cells, output = str(tiny / "cells.h5ad"), ("--output", str(tmp_path / "out.h5ad"))
    asked = {"generate": (baseline.output,), "embed": (cells, baseline.output), "adapt": (baseline.output, cells)}
    code, _, told = lingshu(command, *asked[command], *output)
    assert code == 2
    assert told.startswith(f"error: {baseline.output}: is the baseline 'additive', which has no network")
    assert told.count("\n") == 1
