"""Trainings shared by real Ray workers: the same result as one process, and as if no worker had been lost."""

import os
import signal
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import safetensors.numpy

from actors.cluster import RaySession
from actors.errors import NotEnoughResources
from lingshu_core.training import TrainingProgress
from screening.training.training_request import train_model
from screening.training.training_run import TrainingResult

# Ray warns itself of settings of its own that are out of date.
pytestmark = [pytest.mark.ray, pytest.mark.filterwarnings("ignore::DeprecationWarning:ray")]

WriteTrain = Callable[..., Path]
SETTINGS = {"epochs": 30, "batch_size": 16, "warmup_steps": 5, "learning_rate": 0.002, "device": "cpu", "patience": 30}
# Workers draw dropout each for its own cells; without it they compute what one process does.
MODEL = {"overrides": {"dropout": 0.0}}


def weights(folder: Path) -> dict[str, np.ndarray]:
    return safetensors.numpy.load_file(folder / "weights.safetensors")


@pytest.fixture
def alone(write_train: WriteTrain, tmp_path: Path) -> TrainingResult:
    """The training that the workers are compared with, in one process."""
    return train_model(write_train(training=SETTINGS, model=MODEL, output=str(tmp_path / "alone")))


def test_a_training_that_loses_a_worker_ends_as_one_process_does(
    ray_cluster: RaySession, write_train: WriteTrain, tmp_path: Path, alone: TrainingResult
) -> None:
    """SIGKILL to a worker in mid-training; the others end, all start again and go on from the last state."""
    import ray._private.state

    killed: list[int] = []

    def kill_one(progress: TrainingProgress) -> None:
        if progress.epoch >= 2 and not killed:
            found = ray._private.state.actors().values()
            workers = [
                each for each in found if "RayTrainWorker" in each["ActorClassName"] and each["State"] == "ALIVE"
            ]
            assert len(workers) == 2
            killed.append(workers[-1]["Pid"])
            os.kill(killed[0], signal.SIGKILL)

    path = write_train(training=SETTINGS | {"workers": 2}, model=MODEL)
    result = train_model(path, kill_one)
    assert killed
    assert result.resumed_at > 0
    assert (result.epochs, result.stopped_by) == (alone.epochs, alone.stopped_by) == (30, "30 epochs")
    assert result.validation_loss == pytest.approx(alone.validation_loss, rel=1e-3)
    expected, found = weights(tmp_path / "alone"), weights(tmp_path / "model")
    assert all(np.allclose(found[name], expected[name], rtol=1e-2, atol=2e-3) for name in expected)
    assert not [each.name for each in (tmp_path / "model").iterdir() if each.name.startswith((".", "training_state"))]


def test_more_workers_than_fit_are_refused_at_once(ray_cluster: RaySession, write_train: WriteTrain) -> None:
    path = write_train(training={"workers": 2, "device": "cpu"})
    with pytest.raises(NotEnoughResources, match=r"9 workers need 9 CPU, the cluster has 4; lower training.workers"):
        train_model(path, overrides={"workers": 9})
