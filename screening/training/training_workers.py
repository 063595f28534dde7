"""The workers of a training on a Ray cluster: Ray Train starts them and starts them again, torch joins them.

Every worker runs what one process would run (:mod:`screening.training.training_run`), inside torch's process group; the
trainer finds the group by itself. State and checkpoint are written by rank 0, to the place that the YAML names. When
a worker is lost, Ray Train ends the others and starts all of them again, and they go on from the last state.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict
from typing import Any

import fsspec
import pyarrow.fs
import ray
import ray.train
import torch
import torch.distributed as dist
from ray.train import FailureConfig, RunConfig, ScalingConfig
from ray.train.torch import TorchTrainer, get_device
from ray.train.v2.api.exceptions import WorkerGroupError

import lingshu_core.errors
from actors.errors import NotEnoughResources
from campaigns.errors import CampaignError
from campaigns.training_spec import TrainSpec
from lingshu_core.cells import Cells
from lingshu_core.errors import LingshuCoreError, TrainingError
from lingshu_core.training import TrainingConfig, TrainingProgress
from screening.errors import TrainingLost
from screening.training.features import build_features
from screening.training.training_run import Prepared, TrainingResult, check_settings, finish, prepare, training_cells

RECORDS = ".ray_train"
"""Folder, beside the state, of what Ray Train notes for itself; removed at the end."""
POLL_SECONDS = 0.5


def train_with_workers(
    spec: TrainSpec, config: TrainingConfig, on_progress: Callable[[TrainingProgress], None] | None = None
) -> TrainingResult:
    """Train on the cluster that this process is connected to.

    Raises
    ------
    NotEnoughResources
        If the cluster has fewer CPUs or GPUs than the workers need.
    TrainingLost
        If workers were lost more often than ``restarts`` allows.
    LingshuCoreError
        As one process would raise it.
    """
    _check_room(spec)
    board = ray.remote(num_cpus=0)(Board).remote()
    with _watched(board, on_progress), _records(spec.output) as (filesystem, folder):
        trainer = TorchTrainer(
            _work,
            train_loop_config={"spec": spec, "config": config, "board": board},
            scaling_config=_scaling(spec),
            run_config=RunConfig(
                name=spec.name,
                storage_path=folder,
                storage_filesystem=filesystem,
                failure_config=FailureConfig(max_failures=spec.training.restarts),
            ),
        )
        try:
            trainer.fit()
        except WorkerGroupError as error:
            raise TrainingLost(_loss(spec, error)) from error
        result, refusal = ray.get(board.outcome.remote())
    if refusal is not None:
        raise _named_error(*refusal)
    return TrainingResult(**result)


class Board:
    """An actor on which rank 0 writes how far it is and what came of it, and the command line reads it."""

    def __init__(self) -> None:
        self._latest: dict[str, Any] | None = None
        self._outcome: tuple[dict[str, Any] | None, list[str] | None] = (None, None)

    def write(self, progress: dict[str, Any]) -> None:
        """Replace what is written."""
        self._latest = progress

    def read(self) -> dict[str, Any] | None:
        """Return what was written last."""
        return self._latest

    def conclude(self, result: dict[str, Any] | None, refusal: list[str] | None) -> None:
        """Write what came of the training, or the name and the message of the error that ended it."""
        self._outcome = (result, refusal)

    def outcome(self) -> tuple[dict[str, Any] | None, list[str] | None]:
        """Return what came of the training."""
        return self._outcome


def _scaling(spec: TrainSpec) -> ScalingConfig:
    gpus = spec.training.gpus_per_worker
    resources = {"CPU": float(spec.training.threads)} | ({"GPU": float(gpus)} if gpus else {})
    return ScalingConfig(num_workers=spec.training.workers, use_gpu=bool(gpus), resources_per_worker=resources)


def _check_room(spec: TrainSpec) -> None:
    """Refuse at once what would wait for ever."""
    has, training = ray.cluster_resources(), spec.training
    for kind, each in (("CPU", training.threads), ("GPU", training.gpus_per_worker)):
        wanted = each * training.workers
        if wanted > has.get(kind, 0):
            raise NotEnoughResources(
                f"{training.workers} workers need {wanted} {kind}, the cluster has {has.get(kind, 0):g};"
                f" lower training.workers or {'threads' if kind == 'CPU' else 'gpus_per_worker'}, or name a larger"
                " cluster in training.address"
            )


@contextmanager
def _watched(board: Any, on_progress: Callable[[TrainingProgress], None] | None) -> Iterator[None]:
    """Pass on what rank 0 writes, until the training ends."""
    done = threading.Event()

    def watch() -> None:
        shown = None
        while not done.wait(POLL_SECONDS):
            written = ray.get(board.read.remote())
            if written is not None and written != shown and on_progress is not None:
                on_progress(TrainingProgress(**written))
                shown = written

    thread = threading.Thread(target=watch, daemon=True)
    thread.start()
    try:
        yield
    finally:
        done.set()
        thread.join()


@contextmanager
def _records(output: str) -> Iterator[tuple[pyarrow.fs.FileSystem, str]]:
    filesystem, root = fsspec.core.url_to_fs(output)
    folder = f"{root}/{RECORDS}"
    filesystem.makedirs(folder, exist_ok=True)
    try:
        yield pyarrow.fs.PyFileSystem(pyarrow.fs.FSSpecHandler(filesystem)), folder
    finally:
        if filesystem.exists(folder):
            filesystem.rm(folder, recursive=True)


def _work(content: dict[str, Any]) -> None:
    """Train as one of the workers; what one process would refuse is told to the caller, not tried again."""
    spec, config, board = content["spec"], content["config"], content["board"]
    device = get_device()
    if device.type == "cuda":
        torch.cuda.set_device(device)
    due, first = 0.0, dist.get_rank() == 0

    def show(progress: TrainingProgress) -> None:
        nonlocal due
        if time.monotonic() >= due:
            board.write.remote(asdict(progress))
            due = time.monotonic() + POLL_SECONDS

    result, refusal = None, None
    try:
        result = asdict(finish(spec, config, _prepare_together(spec, config), show if first else None))
    except (CampaignError, LingshuCoreError) as error:
        # Raised by all of them, at the same place: to start them again would not help.
        refusal = [type(error).__name__, str(error)]
    if first:
        ray.get(board.conclude.remote(result, refusal))


def _prepare_together(spec: TrainSpec, config: TrainingConfig) -> Prepared:
    """Prepare in every worker, and make sure that all of them see the same cells and the same state.

    Rank 0 reads first, so that the others find the result of its pass over files on disk. If one of them is refused,
    all of them are.
    """
    read: tuple[Cells, int] | None = None
    refusal: Exception | None = None
    for turn in (True, False):
        if turn is (dist.get_rank() == 0):
            try:
                read = training_cells(spec)
            except (CampaignError, LingshuCoreError) as error:
                refusal = error
        dist.barrier()
    _refuse_together(refusal)
    try:
        # Whatever one worker can't have has to be found before `prepare`, in which they already wait for each other.
        check_settings(spec, config)
        if read is not None:
            build_features(spec, read[0].counted())
    except (CampaignError, LingshuCoreError) as error:
        refusal = error
    _refuse_together(refusal)
    prepared = prepare(spec, config, read)
    seen = _gathered([prepared.identity, prepared.resumed_at])
    if any(other != seen[0] for other in seen):
        raise TrainingError(
            f"the workers don't see the same data, or not the same state in {spec.output}; name places that all of them"
            " reach, such as s3:// URLs, in data.path and output"
        )
    return prepared


def _refuse_together(refusal: Exception | None) -> None:
    """Raise in every worker what was raised in one of them: who went on alone would wait for the others for ever."""
    for other in _gathered(None if refusal is None else [type(refusal).__name__, str(refusal)]):
        if other is not None:
            raise _named_error(*other)


def _gathered(answer: list[Any] | None) -> list[Any]:
    """Return the answers of all workers, in the order of their ranks."""
    answers: list[Any] = [None] * dist.get_world_size()
    dist.all_gather_object(answers, answer)
    return answers


def _named_error(name: str, message: str) -> LingshuCoreError:
    # Problems of a campaign file know their lines, which a message alone can't give back.
    error: LingshuCoreError = getattr(lingshu_core.errors, name, TrainingError)(message)
    return error


def _loss(spec: TrainSpec, error: WorkerGroupError) -> str:
    rank, reason = next(iter(sorted(error.worker_failures.items())))
    said = " ".join(str(reason).split())[-300:]
    return (
        f"workers were lost {spec.training.restarts + 1} times, the last time worker {rank}: {said};"
        " run the same command again to go on from the last state, or raise training.restarts"
    )
