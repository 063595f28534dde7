from __future__ import annotations

import errno
import json
import os
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from fsspec.implementations.local import LocalFileSystem

from lingshu_core import training
from lingshu_core.denoiser import Denoiser, DenoiserConfig
from lingshu_core.errors import DiskFull, TrainingError
from lingshu_core.preparation import TrainingSet
from lingshu_core.resume import STATE, load_state, remove_state, save_state, tensors_name
from lingshu_core.training import Trainer, TrainingConfig

NewTrainer = Callable[..., Trainer]


class Interruption(Exception):
    """The machine goes away."""


@pytest.fixture
def new_trainer(
    make_denoiser: Callable[..., Denoiser],
    learning_set: TrainingSet,
    quick_training: TrainingConfig,
    small_config: DenoiserConfig,
) -> NewTrainer:
    def make(config: DenoiserConfig = small_config, **changes: object) -> Trainer:
        cells = torch.arange(len(learning_set)).numpy()
        validation = learning_set.select(cells[::9])
        return Trainer(make_denoiser(config), learning_set, validation, replace(quick_training, **changes))

    return make


def _interrupted_after(trainer: Trainer, epochs: int, folder: str, identity: str = "this") -> None:
    def save(running: Trainer) -> None:
        save_state(folder, identity, running)
        if len(running.state.history) == epochs:
            raise Interruption

    with pytest.raises(Interruption):
        trainer.run(on_epoch=save)


def _assert_same(found: Trainer, expected: Trainer) -> None:
    assert found.state.history == expected.state.history
    assert found.state.finished == expected.state.finished
    for kind in ("denoiser", "averaged"):
        states = [getattr(trainer, kind).state_dict() for trainer in (found, expected)]
        assert all(torch.equal(states[0][name], states[1][name]) for name in states[1]), kind


@pytest.mark.parametrize("epochs", [1, 3, 4])
def test_a_resumed_training_is_the_one_that_was_not_interrupted(
    new_trainer: NewTrainer, tmp_path: Path, epochs: int
) -> None:
    calm = new_trainer()
    calm.run()
    _interrupted_after(new_trainer(), epochs, str(tmp_path))
    resumed = new_trainer()
    torch.manual_seed(7)
    steps = load_state(str(tmp_path), "this", resumed)
    assert steps == epochs * calm.steps_per_epoch
    resumed.run()
    _assert_same(resumed, calm)


def test_the_backbone_resumes_too(new_trainer: NewTrainer, backbone_config: DenoiserConfig, tmp_path: Path) -> None:
    calm = new_trainer(backbone_config, epochs=2)
    calm.run()
    _interrupted_after(new_trainer(backbone_config, epochs=2), 1, str(tmp_path))
    resumed = new_trainer(backbone_config, epochs=2)
    load_state(str(tmp_path), "this", resumed)
    resumed.run()
    _assert_same(resumed, calm)


def test_a_training_whose_patience_ended_is_not_taken_up_again(
    new_trainer: NewTrainer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(training, "validation_loss", lambda *_: 1.0)
    trainer, resumed = (new_trainer(epochs=6, patience=1) for _ in range(2))
    trainer.run(on_epoch=lambda running: save_state(str(tmp_path), "this", running))
    assert trainer.state.finished == "no better validation loss for 1 epochs"
    load_state(str(tmp_path), "this", resumed)
    resumed.run()
    _assert_same(resumed, trainer)


def test_a_training_that_ran_out_of_time_is_given_time_anew(new_trainer: NewTrainer, tmp_path: Path) -> None:
    trainer = new_trainer(minutes=1e-9)
    trainer.run(on_epoch=lambda running: save_state(str(tmp_path), "this", running))
    resumed = new_trainer()
    assert load_state(str(tmp_path), "this", resumed) == 1
    assert resumed.state.seconds == 0.0
    resumed.run()
    assert resumed.state.step == resumed.steps
    calm = new_trainer()
    calm.run()
    assert torch.equal(resumed.denoiser.tilt, calm.denoiser.tilt)


def test_another_training_is_not_resumed(new_trainer: NewTrainer, tmp_path: Path) -> None:
    _interrupted_after(new_trainer(), 1, str(tmp_path), "another")
    trainer = new_trainer()
    before = trainer.denoiser.tilt.clone()
    assert load_state(str(tmp_path), "this", trainer) == 0
    assert trainer.state.step == 0
    assert torch.equal(trainer.denoiser.tilt, before)


def test_a_full_disk_leaves_the_state_that_was_saved_before(
    new_trainer: NewTrainer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    _interrupted_after(new_trainer(), 1, str(tmp_path))
    before = {path.name: path.read_bytes() for path in tmp_path.iterdir()}
    trainer = new_trainer()
    load_state(str(tmp_path), "this", trainer)
    write = LocalFileSystem.pipe_file

    def cut_off(self: LocalFileSystem, path: str, value: bytes) -> None:
        write(self, path, value[:1000])
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(LocalFileSystem, "pipe_file", cut_off)
    with pytest.raises(DiskFull, match="The state saved before is whole, and the training goes on from it"):
        trainer.run(on_epoch=lambda running: save_state(str(tmp_path), "this", running))
    assert {path.name: path.read_bytes() for path in tmp_path.iterdir()} == before


def test_the_same_steps_tensors_of_another_training_are_refused(new_trainer: NewTrainer, tmp_path: Path) -> None:
    """As when another training in the same folder is killed between its tensors and its JSON."""
    _interrupted_after(new_trainer(), 1, str(tmp_path))
    own = (tmp_path / STATE).read_bytes()
    _interrupted_after(new_trainer(learning_rate=1e-4), 1, str(tmp_path), "another")
    (tmp_path / STATE).write_bytes(own)
    with pytest.raises(TrainingError, match="those of another training"):
        load_state(str(tmp_path), "this", new_trainer())


@pytest.mark.parametrize("steps", [1, 3, 9, 23])
def test_a_training_interrupted_within_an_epoch_is_the_one_that_was_not(
    new_trainer: NewTrainer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, steps: int
) -> None:
    calm = new_trainer()
    calm.run()
    monkeypatch.setattr(training, "SAVE_SECONDS", 0.0)
    saved: list[int] = []

    def save(running: Trainer) -> None:
        save_state(str(tmp_path), "this", running)
        saved.append(running.state.step)
        if running.state.step == steps:
            raise Interruption

    with pytest.raises(Interruption):
        new_trainer().run(on_epoch=save)
    assert saved == list(range(1, steps + 1))  # every step once
    monkeypatch.undo()
    resumed = new_trainer()
    assert load_state(str(tmp_path), "this", resumed) == steps
    resumed.run()
    _assert_same(resumed, calm)


def test_a_short_epoch_is_saved_at_its_end_only(new_trainer: NewTrainer) -> None:
    saved: list[int] = []
    trainer = new_trainer(epochs=2)
    trainer.run(on_epoch=lambda running: saved.append(running.state.step))
    assert saved == [trainer.steps_per_epoch, 2 * trainer.steps_per_epoch]


def test_nothing_is_resumed_where_nothing_is(new_trainer: NewTrainer, tmp_path: Path) -> None:
    assert load_state(str(tmp_path / "nowhere"), "this", new_trainer()) == 0


def test_the_state_may_be_at_a_url_and_is_removed(new_trainer: NewTrainer, memory_url: str) -> None:
    _interrupted_after(new_trainer(), 2, memory_url)
    resumed = new_trainer()
    assert load_state(memory_url, "this", resumed) == 2 * resumed.steps_per_epoch
    remove_state(memory_url)
    assert load_state(memory_url, "this", new_trainer()) == 0
    remove_state(memory_url)  # a second time does no harm


@pytest.mark.parametrize("name", [STATE, tensors_name(8)])
@pytest.mark.parametrize("keep", [0, 5, 200])
def test_a_damaged_state_is_refused_with_a_cure(new_trainer: NewTrainer, tmp_path: Path, name: str, keep: int) -> None:
    _interrupted_after(new_trainer(), 1, str(tmp_path))
    os.truncate(tmp_path / name, min(keep, (tmp_path / name).stat().st_size - 1))
    with pytest.raises(TrainingError, match=rf"can't be read .*remove {STATE} to start again, or set training\.resume"):
        load_state(str(tmp_path), "this", new_trainer())


@pytest.mark.parametrize("name", ["../elsewhere.safetensors", "/etc/passwd", "training_state-1.safetensors/../x"])
def test_a_state_names_tensors_of_its_own_folder_only(new_trainer: NewTrainer, tmp_path: Path, name: str) -> None:
    trainer = new_trainer()
    save_state(str(tmp_path), "mine", trainer)
    content = json.loads((tmp_path / "training_state.json").read_text())
    (tmp_path / "training_state.json").write_text(json.dumps(content | {"tensors": name}))
    with pytest.raises(TrainingError, match="is no name of its tensors"):
        load_state(str(tmp_path), "mine", trainer)


def test_a_kill_between_the_two_files_leaves_the_state_before(new_trainer: NewTrainer, tmp_path: Path) -> None:
    _interrupted_after(new_trainer(), 1, str(tmp_path))
    # The tensors of epoch 2 are being written when the process dies: the JSON still names those of epoch 1.
    (tmp_path / tensors_name(16)).write_bytes(b"half of a file")
    (tmp_path / f"{STATE}.new").write_bytes(b"{")
    assert load_state(str(tmp_path), "this", new_trainer()) == 8
    _interrupted_after(new_trainer(), 2, str(tmp_path))
    assert {path.name for path in tmp_path.iterdir()} == {STATE, tensors_name(16)}
    assert load_state(str(tmp_path), "this", new_trainer()) == 16


def test_a_state_of_another_shape_is_refused(
    new_trainer: NewTrainer, small_config: DenoiserConfig, tmp_path: Path
) -> None:
    _interrupted_after(new_trainer(), 1, str(tmp_path))
    with pytest.raises(TrainingError, match="can't be read"):
        load_state(str(tmp_path), "this", new_trainer(replace(small_config, condition_rank=7)))


def test_the_state_is_safetensors_and_json(new_trainer: NewTrainer, tmp_path: Path) -> None:
    _interrupted_after(new_trainer(), 1, str(tmp_path))
    assert {path.name for path in tmp_path.iterdir()} == {STATE, tensors_name(8)}
    assert json.loads((tmp_path / STATE).read_text())["state"]["step"] == 8
    header = (tmp_path / tensors_name(8)).read_bytes()
    assert header[8:9] == b"{"
