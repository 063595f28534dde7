from __future__ import annotations

from pathlib import Path

import pytest

import campaigns
from campaigns import (
    ChaosSpec,
    EvaluateSpec,
    GenerateSpec,
    ScreenSpec,
    TrainSpec,
    load_any,
    load_evaluation,
    load_generation,
    load_screen,
    load_training,
)

EXAMPLES = Path(campaigns.__file__).parent / "examples"
FOLDERS = sorted(path for path in EXAMPLES.iterdir() if path.is_dir())


def test_there_are_four_examples() -> None:
    assert [folder.name for folder in FOLDERS] == ["kang", "papalexi", "pbmc3k", "quickstart"]


@pytest.mark.parametrize("path", sorted(EXAMPLES.rglob("*.yaml")), ids=lambda path: f"{path.parent.name}/{path.name}")
def test_every_yaml_file_is_a_campaign(path: Path) -> None:
    assert isinstance(load_any(path, {}).spec, (TrainSpec, ScreenSpec, GenerateSpec, EvaluateSpec, ChaosSpec))


@pytest.mark.parametrize("folder", FOLDERS, ids=lambda folder: folder.name)
def test_the_model_is_the_one_that_the_training_writes(folder: Path) -> None:
    trained = load_training(folder / "train.yaml", {}).spec.output
    if (folder / "generate.yaml").exists():
        assert load_generation(folder / "generate.yaml", {}).spec.model == trained
    else:
        assert load_screen(folder / "screen.yaml", {}).spec.model == trained


@pytest.mark.parametrize("path", sorted(EXAMPLES.rglob("evaluate.yaml")), ids=lambda path: path.parent.name)
def test_an_evaluation_is_of_the_cells_that_the_model_is_trained_on(path: Path) -> None:
    judged, trained = load_evaluation(path, {}).spec, load_training(path.parent / "train.yaml", {}).spec
    assert judged.data.path == trained.data.path
    assert judged.data.factors == trained.data.factors
    assert (judged.models[0].model, judged.models[0].training.epochs) == (trained.model, trained.training.epochs)
    assert "scvi" not in judged.chosen_baselines


@pytest.mark.parametrize("path", sorted(EXAMPLES.rglob("evaluate-*.yaml")), ids=lambda path: path.stem)
def test_a_further_evaluation_asks_the_same_cells_and_has_a_place_of_its_own(path: Path) -> None:
    judged, first = load_evaluation(path, {}).spec, load_evaluation(path.parent / "evaluate.yaml", {}).spec
    assert judged.data.path == first.data.path
    assert judged.output == f"{first.output}-{path.stem.removeprefix('evaluate-')}"
    assert judged.models[0].model == first.models[0].model


def test_the_kang_batch_is_no_part_of_the_context() -> None:
    data = load_training(EXAMPLES / "kang" / "train.yaml", {}).spec.data
    assert data.factors == ("cell_type", "donor")
    assert "batch" not in data.columns.named


def test_the_data_folder_comes_from_the_environment() -> None:
    spec = load_training(EXAMPLES / "papalexi" / "train.yaml", {"LINGSHU_DATA": "/data"}).spec
    assert spec.data.path == "/data/papalexi2021_thp1_crispr_299.h5ad"
