import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import anndata
import pytest

from campaigns.errors import EnsembleError, SpecError
from lingshu_core.checkpoint import load_header
from lingshu_core.training import TrainingProgress
from screening.planning.ensemble_file import ENSEMBLE, read_ensemble
from screening.training.ensemble_training import EnsembleResult, train_file
from screening.training.training_request import train_model
from screening.training.training_run import TrainingResult

WriteTrain = Callable[..., Path]
QUICK = {"epochs": 1, "warmup_steps": 2, "device": "cpu"}


def train(path: Path, **overrides: Any) -> EnsembleResult:
    found = train_file(path, overrides=overrides)
    assert isinstance(found, EnsembleResult)
    return found


def trained(result: EnsembleResult) -> list[bool]:
    return [member.result is not None for member in result.members]


def test_members_differ_in_nothing_but_the_seed(write_train: WriteTrain, tmp_path: Path) -> None:
    told: list[tuple[int, int, int]] = []
    path = write_train(training=QUICK | {"seed": 3})
    result = train_file(path, overrides={"seeds": 2}, on_member=lambda *member: told.append(member))
    assert isinstance(result, EnsembleResult)
    assert told == [(0, 2, 3), (1, 2, 4)]
    assert [(member.folder, member.seed) for member in result.members] == [("member-0", 3), ("member-1", 4)]
    headers = [load_header(str(tmp_path / "model" / member.folder)) for member in result.members]
    assert [header.digest for header in headers] == [member.digest for member in result.members]
    assert headers[0].digest != headers[1].digest
    first, second = ({**header.card, "identity": "", "history": []} for header in headers)
    assert first["training"] | {"seed": 4} == second["training"]
    assert first | {"training": None} == second | {"training": None}
    assert headers[0].vocabulary == headers[1].vocabulary
    assert {each.name for each in (tmp_path / "model").iterdir()} == {"member-0", "member-1", ENSEMBLE}


def test_a_member_is_the_model_that_its_seed_gives(write_train: WriteTrain, tmp_path: Path) -> None:
    path = write_train(training=QUICK | {"seeds": [5, 9]})
    train(path)
    train_model(write_train(training=QUICK), overrides={"output": str(tmp_path / "alone"), "seed": 9})
    weights = [tmp_path / folder / "weights.safetensors" for folder in ("model/member-1", "alone")]
    assert weights[0].read_bytes() == weights[1].read_bytes()


def test_without_seeds_a_single_model_is_trained(write_train: WriteTrain, tmp_path: Path) -> None:
    assert isinstance(train_file(write_train(training=QUICK)), TrainingResult)
    assert (tmp_path / "model" / "manifest.json").exists()


def test_members_that_are_done_are_not_trained_again(write_train: WriteTrain) -> None:
    path = write_train(training=QUICK)
    first = train(path, seeds=2)
    again, more = train(path, seeds=2), train(path, seeds=3)
    assert (trained(first), trained(again), trained(more)) == ([True, True], [False, False], [False, False, True])
    assert again.digest == first.digest != more.digest
    assert [member.digest for member in more.members][:2] == [member.digest for member in first.members]


@pytest.mark.parametrize("change", [{"learning_rate": 0.01}, {"seed": 1}, {"minutes": 5.0}])
def test_members_of_another_training_are_no_members(write_train: WriteTrain, change: dict[str, Any]) -> None:
    train(write_train(training=QUICK), seeds=2)
    assert trained(train(write_train(training=QUICK | change), seeds=2)) == [True, True]


def test_a_member_that_was_damaged_is_trained_again(write_train: WriteTrain, tmp_path: Path) -> None:
    path = write_train(training=QUICK)
    train(path, seeds=2)
    (tmp_path / "model" / "member-1" / "vocabulary.json").write_text("{}")
    assert trained(train(path, seeds=2)) == [False, True]


def test_an_interrupted_ensemble_goes_on_and_ends_as_a_calm_one(write_train: WriteTrain, tmp_path: Path) -> None:
    class Interrupted(Exception):
        pass

    def stop(progress: TrainingProgress) -> None:
        if (tmp_path / "model" / "member-0" / "manifest.json").exists() and progress.epoch == 1:
            raise Interrupted

    path = write_train(training=QUICK | {"epochs": 2, "seeds": 2})
    calm = train(path, output=str(tmp_path / "calm"))
    with pytest.raises(Interrupted):
        train_file(path, stop)
    assert read_ensemble(str(tmp_path / "model")) is None
    result = train(path)
    assert trained(result) == [False, True]
    assert result.members[1].result is not None
    assert result.members[1].result.resumed_at > 0
    weights = [tmp_path / folder / "member-1" / "weights.safetensors" for folder in ("calm", "model")]
    assert weights[0].read_bytes() == weights[1].read_bytes()
    assert len(calm.members) == 2


def test_cells_that_change_meanwhile_are_refused(write_train: WriteTrain, tiny: Path, tmp_path: Path) -> None:
    cells = tmp_path / "cells.h5ad"
    shutil.copy(tiny / "cells.h5ad", cells)
    data = {"path": str(cells), "columns": {"perturbation": "perturbation", "cell_type": "cell_type"}}

    def exchange(number: int, members: int, seed: int) -> None:
        if number == 1:
            anndata.read_h5ad(cells)[:-1].copy().write_h5ad(cells)

    with pytest.raises(EnsembleError, match="the cells changed while member-1 was trained"):
        train_file(write_train(training=QUICK | {"seeds": 2}, data=data), on_member=exchange)
    assert read_ensemble(str(tmp_path / "model")) is None


def test_a_single_model_and_an_ensemble_share_no_folder(write_train: WriteTrain, tmp_path: Path) -> None:
    path = write_train(training=QUICK)
    train_file(path)
    with pytest.raises(EnsembleError, match="is the folder of a single model; give the ensemble one of its own"):
        train(path, seeds=2)
    train(path, seeds=2, output=str(tmp_path / "ensemble"))
    with pytest.raises(EnsembleError, match="is the folder of an ensemble; give the model one of its own"):
        train_file(path, overrides={"output": str(tmp_path / "ensemble")})


def test_numbers_of_seeds_that_make_no_ensemble_are_refused(write_train: WriteTrain) -> None:
    with pytest.raises(SpecError, match=r"command line \(--seeds\): .*must be greater than or"):
        train_file(write_train(), overrides={"seeds": 1})
    with pytest.raises(SpecError, match="leave --seed out"):
        train_file(write_train(training=QUICK | {"seeds": [1, 2]}), overrides={"seed": 3})


def test_an_ensembles_file_is_not_trained_as_one_model(write_train: WriteTrain) -> None:
    with pytest.raises(EnsembleError, match=r"train.yaml:\d+: training.seeds: describes an ensemble"):
        train_model(write_train(training=QUICK | {"seeds": 2}))


def test_the_command_line_trains_an_ensemble(
    lingshu: Callable[..., tuple[int, str, str]], write_train: WriteTrain, tmp_path: Path
) -> None:
    path = write_train(training=QUICK)
    code, out, _ = lingshu("train", path, "--seeds", 2, "--seed", 4)
    assert code == 0
    assert "member 2 of 2, seed 5" in out
    listed = json.loads((tmp_path / "model" / ENSEMBLE).read_text())
    assert f"ensemble of 2 members {tmp_path / 'model'}" in out.replace("\n", " ")
    assert [member["seed"] for member in listed["members"]] == [4, 5]
    assert "member-1, seed 5: was there already" in lingshu("train", path, "--seeds", 2, "--seed", 4)[1]
