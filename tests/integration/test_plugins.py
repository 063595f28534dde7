"""The example package of docs/plugins.md, from its entry points to a ranked table."""

from __future__ import annotations

import json
import os
import subprocess
import sysconfig
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest

from campaigns.errors import SpecError
from lingshu_core.baselines import real_effect
from lingshu_core.cells import CellSource, read_cells
from lingshu_core.conditioning import Condition
from lingshu_core.errors import CheckpointError
from lingshu_core.predictor import open_predictor
from screening.planning.campaign import load_campaign, plan_campaign
from screening.run import run_campaign
from screening.training.ensemble_training import train_file

ROOT = Path(__file__).parents[2]
OBJECTIVE = {"kind": "plugin", "plugin": "gene_family", "settings": {"prefix": "REG", "direction": "down"}}
MODEL = {"kind": "plugin", "plugin": "shrunken_mean", "settings": {"strength": 10}}
SCVI = os.environ.get("LINGSHU_SCVI_PYTHON", "")


def test_a_model_an_objective_and_features_of_another_package_are_screened(
    example_plugin: Path,
    tmp_path: Path,
    write_train: Callable[..., Path],
    write_screen: Callable[..., Path],
    quiet: Any,
) -> None:
    vectors = {f"REG{number:02}": np.random.default_rng(number).normal(size=3).tolist() for number in range(1, 11)}
    (tmp_path / "vectors.json").write_text(json.dumps(vectors))
    source = {"kind": "plugin", "plugin": "json_vectors", "settings": {"file": str(tmp_path / "vectors.json")}}
    features = {"genetic": [source | {"licence": "CC0"}]}
    trained = train_file(write_train(model=MODEL, training={"seed": 3}, features=features))
    assert trained.kind == "plugin shrunken_mean"
    assert trained.notices[0].startswith("plugin json_vectors (lingshu-example-plugin 0.1.0): describes 5 of the 5")

    card = json.loads((tmp_path / "model" / "model.json").read_text())
    assert card["plugin"]["package"] == "lingshu-example-plugin"
    assert card["features"][0]["licence"] == "CC0"
    screen = write_screen(
        model=str(tmp_path / "model"), objective=OBJECTIVE, perturbations={"genetic": "all_described"}
    )
    assert run_campaign(screen, quiet).complete
    table = pl.read_parquet(tmp_path / "screen" / "hits.parquet")
    assert set(table["paths"]) == {"plugin shrunken_mean"}
    assert table["score_se"].max() < 1e-12
    scores = table.group_by("perturbation").agg(pl.col("score").mean()).sort("score")
    assert set(scores["perturbation"]) >= set(vectors)
    unseen = scores.filter(pl.col("perturbation") == "REG01")["score"]
    assert unseen.abs().max() < 1e-12
    assert scores["score"].abs().max() > 0.01
    (question,) = {readout.question for readout in plan_campaign(load_campaign(screen)).readouts.values()}
    assert question == "genes REG… down [plugin gene_family (lingshu-example-plugin 0.1.0)]"


def test_what_is_screened_is_what_the_plugin_says(
    example_plugin: Path, tmp_path: Path, write_train: Callable[..., Path]
) -> None:
    train_file(write_train(model=MODEL, training={}))
    opened = open_predictor(str(tmp_path / "model"))
    asked = Condition({"cell_type": "type_1"}, (("REG04", None),))
    found = opened.baseline.moments(asked)[0] - opened.baseline.moments(asked.as_control())[0]  # type: ignore[union-attr]
    said = opened.baseline.fitted.plugin.model.effect({}, asked.parts)  # type: ignore[union-attr]
    possible = opened.baseline.moments(asked)[0] > 0  # type: ignore[union-attr]
    np.testing.assert_allclose(found[possible], said[possible], atol=1e-5)


def test_another_version_of_the_package_is_refused(
    example_plugin: Path, tmp_path: Path, write_train: Callable[..., Path], lingshu: Callable[..., Any]
) -> None:
    train_file(write_train(model=MODEL, training={}))
    metadata = next(example_plugin.glob("*.dist-info/METADATA"))
    metadata.write_text(metadata.read_text().replace("0.1.0", "0.2.0"))
    with pytest.raises(
        CheckpointError, match=r"0\.1\.0, and lingshu-example-plugin 0\.2\.0 is installed: install that"
    ):
        open_predictor(str(tmp_path / "model"))


def test_a_setting_that_the_plugin_refuses_is_told_in_one_line(
    example_plugin: Path, write_train: Callable[..., Path], lingshu: Callable[..., Any]
) -> None:
    wrong = MODEL | {"settings": {"strength": -1}}
    code, _, told = lingshu("train", write_train(model=wrong, training={}))
    assert code == 2
    assert told.count("\n") == 1
    assert "lingshu-example-plugin 0.1.0, entry point lingshu.models: shrunken_mean = " in told
    assert "ValueError: settings.strength is -1; it has to be 0 or more" in told


def test_the_plugins_are_listed(example_plugin: Path, lingshu: Callable[..., Any]) -> None:
    code, said, _ = lingshu("plugins")
    assert code == 0
    assert "lingshu.objectives  gene_family  (lingshu-example-plugin 0.1.0)" in said.splitlines()


def test_a_plugin_that_is_not_installed_is_found_without_importing_any(write_train: Callable[..., Path]) -> None:
    with pytest.raises(SpecError, match=r"model\.plugin: no plugin 'shrunken_mean' is installed"):
        train_file(write_train(model=MODEL, training={}))


def test_scvi_tools_is_wrapped_as_a_plugin(
    example_plugin: Path, tiny: Path, tmp_path: Path, write_train: Callable[..., Path]
) -> None:
    """In the environment of scvi-tools: trained, stored, opened, and nearer to the real effects than nothing is."""
    if not SCVI:
        pytest.skip("scvi-tools has an environment of its own: set LINGSHU_SCVI_PYTHON to its Python")
    model = {"kind": "plugin", "plugin": "scvi_counterfactual", "settings": {"epochs": 60}}
    file = write_train(model=model, training={"device": "cpu"})
    code = (
        "import sys; sys.path += sys.argv[2:]\n"
        "from screening.training.ensemble_training import train_file\n"
        "train_file(sys.argv[1])\n"
    )
    python_path = os.pathsep.join([str(ROOT), str(example_plugin)])
    done = subprocess.run(
        [SCVI, "-c", code, str(file), sysconfig.get_paths()["purelib"]],
        env=os.environ | {"PYTHONPATH": python_path, "PYTHONWARNINGS": "ignore"},
        capture_output=True,
        text=True,
        timeout=280,
    )
    assert done.returncode == 0, done.stderr[-2000:]
    opened = open_predictor(str(tmp_path / "model"))  # without scvi-tools
    asked = Condition({"cell_type": "type_1"}, (("REG05", None),))
    effect = opened.baseline.moments(asked)[0] - opened.baseline.moments(asked.as_control())[0]  # type: ignore[union-attr]
    cells = read_cells(CellSource(str(tiny / "cells.h5ad"), {"perturbation": "perturbation", "cell_type": "cell_type"}))
    here = cells.matching(asked.context)
    real = real_effect(cells, here & (cells.obs["perturbation"] == "REG05").to_numpy(), here & cells.is_control)
    assert np.corrcoef(effect, real)[0, 1] > 0.3  # 16 cells are few for scVI
