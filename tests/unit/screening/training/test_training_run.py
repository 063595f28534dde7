import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from campaigns.errors import SpecError, VocabularyError
from campaigns.source import load_training
from lingshu_core.checkpoint import load_checkpoint
from lingshu_core.errors import ConfigurationError, UnusableCells
from lingshu_core.training import TrainingProgress
from screening.errors import ResultsError
from screening.models.generate import generate, read_request
from screening.planning.campaign import load_campaign, plan_campaign
from screening.training.training_request import train_model
from screening.training.training_run import check_output, training_cells, training_config

WriteTrain = Callable[..., Path]
QUICK = {"epochs": 2, "warmup_steps": 2, "learning_rate": 0.002, "device": "cpu"}


def weights(folder: Path) -> bytes:
    return (folder / "weights.safetensors").read_bytes()


def test_a_training_ends_with_a_checkpoint(write_train: WriteTrain, tmp_path: Path) -> None:
    seen: list[TrainingProgress] = []
    result = train_model(write_train(training=QUICK), seen.append)
    checkpoint = load_checkpoint(str(tmp_path / "model"))
    assert checkpoint.digest == result.digest
    assert (result.cells, result.held_out, result.epochs, result.resumed_at) == (432, 0, 2, 0)
    assert np.isfinite(result.validation_loss)
    assert result.parameters == sum(each.numel() for each in checkpoint.denoiser.parameters())
    assert seen[-1].step == seen[-1].steps
    assert checkpoint.card["licence"] == "simulated"
    assert checkpoint.card["training"]["epochs"] == 2
    assert len(checkpoint.card["history"]) == 2
    assert {each.name for each in (tmp_path / "model").iterdir()} == {
        "weights.safetensors",
        "controls.safetensors",
        "vocabulary.json",
        "model.json",
        "priors.json",
        "manifest.json",
    }


def test_the_same_training_gives_the_same_weights_and_another_seed_others(
    write_train: WriteTrain, tmp_path: Path
) -> None:
    folders = [tmp_path / name for name in ("one", "two", "three")]
    for folder, seed in zip(folders, (None, None, 7), strict=True):
        train_model(write_train(training=QUICK), overrides={"output": str(folder), "seed": seed})
    assert weights(folders[0]) == weights(folders[1])
    assert weights(folders[0]) != weights(folders[2])


def test_cells_held_out_are_never_trained_on(write_train: WriteTrain) -> None:
    path = write_train(hold_out=[{"cell_type": "type_1", "perturbation": "REG04"}, {"donor": "donor_2"}])
    kept, held = training_cells(load_training(path).spec)
    assert held > 0
    assert len(kept) + held == 432
    assert set(kept.obs["donor"]) == {"donor_1"}
    assert not ((kept.obs["cell_type"] == "type_1") & (kept.obs["perturbation"] == "REG04")).any()
    assert (kept.obs["perturbation"] == "REG04").any()


def test_what_was_held_out_stands_in_the_checkpoint(write_train: WriteTrain, tmp_path: Path) -> None:
    result = train_model(write_train(training=QUICK, hold_out=[{"perturbation": "REG04"}]))
    card = json.loads((tmp_path / "model" / "model.json").read_text())
    assert json.loads(card["held_out"]) == [{"perturbation": ["REG04"]}]
    assert result.held_out > 0
    assert "REG04" not in json.loads((tmp_path / "model" / "vocabulary.json").read_text())["perturbations"]


def test_holding_out_all_controls_is_refused(write_train: WriteTrain) -> None:
    with pytest.raises(UnusableCells, match="hold_out leaves no control cells"):
        train_model(write_train(hold_out=[{"perturbation": "control"}]))


def test_the_command_line_comes_before_the_file(write_train: WriteTrain) -> None:
    spec = load_training(write_train()).spec
    config = training_config(spec, {"seed": 9})
    assert (config.seed, config.epochs, config.warmup_steps) == (9, 3, 5)
    assert training_config(spec, {}).seed == 0


def test_an_interrupted_training_goes_on_and_ends_as_a_calm_one(write_train: WriteTrain, tmp_path: Path) -> None:
    class Interrupted(Exception):
        pass

    def stop_in_the_second_epoch(progress: TrainingProgress) -> None:
        if progress.epoch == 1:
            raise Interrupted

    path = write_train(training=QUICK)
    train_model(path, overrides={"output": str(tmp_path / "calm")})
    with pytest.raises(Interrupted):
        train_model(path, stop_in_the_second_epoch)
    assert not (tmp_path / "model" / "manifest.json").exists()
    assert train_model(path).resumed_at > 0
    assert weights(tmp_path / "model") == weights(tmp_path / "calm")


def test_resuming_can_be_switched_off(write_train: WriteTrain) -> None:
    def stop(progress: TrainingProgress) -> None:
        if progress.epoch == 1:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        train_model(write_train(training=QUICK), stop)
    assert train_model(write_train(training=QUICK | {"resume": False})).resumed_at == 0


@pytest.mark.parametrize(
    ("changes", "error", "fragment"),
    [
        ({"model": {"overrides": {"no_such_setting": 1}}}, ConfigurationError, "has no setting 'no_such_setting'"),
        ({"kind": "screen"}, SpecError, "use `lingshu run`"),
        ({"training": {"epochs": 0}}, SpecError, "training.epochs"),
    ],
)
def test_a_training_that_cannot_be_is_refused(
    write_train: WriteTrain, changes: dict[str, Any], error: type[Exception], fragment: str
) -> None:
    with pytest.raises(error, match=fragment):
        train_model(write_train(**changes))


def test_a_place_that_cannot_be_written_is_told_before_the_training(write_train: WriteTrain, tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    seen: list[TrainingProgress] = []
    with pytest.raises(ResultsError, match="can't be written there"):
        train_model(write_train(), seen.append, {"output": str(tmp_path / "file" / "model")})
    assert seen == []


def test_looking_whether_a_place_can_be_written_leaves_nothing(tmp_path: Path) -> None:
    check_output(str(tmp_path / "new"))
    assert list((tmp_path / "new").iterdir()) == []


def test_the_backbone_can_be_trained_too(write_train: WriteTrain) -> None:
    shape = {"configuration": "tiny", "overrides": {"blocks": 1, "width": 16, "feed_forward": 32, "patch_size": 8}}
    result = train_model(write_train(training=QUICK | {"epochs": 1}, model=shape))
    assert result.paths == "bias+tilt+pooled+depth+self+backbone"


def test_an_atlas_can_be_trained_on_generated_from_and_not_screened(
    write_train: WriteTrain, write_screen: Callable[..., Path], tiny: Path, tmp_path: Path
) -> None:
    columns = {"perturbation": None, "cell_type": "cell_type"}
    data = {"path": str(tiny / "cells.h5ad"), "columns": columns}
    trained = train_model(write_train(data=data, training=QUICK))
    spec, _ = read_request(None, {("model",): trained.output, ("output",): str(tmp_path / "a.h5ad"), ("cells",): 3})
    assert generate(spec).condition == "control in all cells"
    with pytest.raises(VocabularyError, match="it can generate and embed"):
        plan_campaign(load_campaign(write_screen(model=trained.output)))
