"""The state of an interrupted training: safetensors and JSON beside the checkpoint, removed when it is done."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import asdict
from typing import Any

import fsspec
import safetensors
import safetensors.torch
import torch

from lingshu_core.errors import TrainingError
from lingshu_core.exhaustion import telling_full_disk
from lingshu_core.training import Trainer, TrainingState

STATE = "training_state.json"
LARGEST_STATE = 1 << 24
"""Bytes of the JSON; a longer one is cut, and is none then."""
_TENSORS_NAME = re.compile(r"training_state-[0-9]{1,18}\.safetensors")


def save_state(folder: str, identity: str, trainer: Trainer) -> None:
    """Write everything that a resumed training needs; the JSON is written last and names the step.

    Parameters
    ----------
    folder
        Folder or fsspec URL of the checkpoint.
    identity
        Digest of data and settings: only the same training is resumed.
    trainer
        At the end of an epoch, or between two steps of one.

    Raises
    ------
    DiskFull
        If no space is left. The state that was saved before stays.
    """
    filesystem, root = fsspec.core.url_to_fs(folder)
    filesystem.makedirs(root, exist_ok=True)
    tensors, step = tensors_name(trainer.state.step), trainer.state.step
    content = {"identity": identity, "tensors": tensors, "state": asdict(trainer.state)}
    new = {tensors: safetensors.torch.save(_tensors(trainer), {"identity": identity})}
    new[f"{STATE}.new"] = json.dumps(content).encode()
    # The JSON says which tensors count, and replaces the one before at once: whenever a training is killed, one
    # whole state is there. (On an object store a put is whole; a local file is written beside and moved.)
    with telling_full_disk(folder, f"the state of the training at step {step}", _what_stays(filesystem, root)):
        _write_all(filesystem, root, new)
        filesystem.mv(f"{root}/{STATE}.new", f"{root}/{STATE}")
    for name in _tensor_files(filesystem, root):
        if name != tensors:
            filesystem.rm(f"{root}/{name}")


def _write_all(filesystem: Any, root: str, files: Mapping[str, bytes]) -> None:
    """Write files, or leave none of them: what is cut off would only take the space that is missing."""
    try:
        for name, data in files.items():
            filesystem.pipe_file(f"{root}/{name}", data)
    except OSError:
        with suppress(OSError):
            for name in files:
                filesystem.rm_file(f"{root}/{name}")
        raise


def _what_stays(filesystem: Any, root: str) -> str:
    if filesystem.exists(f"{root}/{STATE}"):
        return "The state saved before is whole, and the training goes on from it"
    return "Nothing was saved before, and the training begins again"


def tensors_name(step: int) -> str:
    """Return the name of the tensors of a step."""
    return f"training_state-{step}.safetensors"


def _tensor_files(filesystem: Any, root: str) -> list[str]:
    names = (str(path).rsplit("/", 1)[-1] for path in filesystem.ls(root, detail=False))
    return [name for name in names if name.startswith("training_state-") and name.endswith(".safetensors")]


def load_state(folder: str, identity: str, trainer: Trainer) -> int:
    """Bring a trainer to where the same training stopped.

    Returns
    -------
    The step at which it goes on; 0 when there is nothing to resume.

    Raises
    ------
    TrainingError
        If there is a state of this training that can't be read.
    """
    filesystem, root = fsspec.core.url_to_fs(folder)
    if not filesystem.exists(f"{root}/{STATE}"):
        return 0
    try:
        content = json.loads(filesystem.cat_file(f"{root}/{STATE}", 0, LARGEST_STATE + 1))
        if content["identity"] != identity:
            return 0
        state = TrainingState(**content["state"])
        if not _TENSORS_NAME.fullmatch(content["tensors"]):
            raise ValueError(f"{content['tensors']!r:.80} is no name of its tensors")
        data = filesystem.cat_file(f"{root}/{content['tensors']}")
        _check_identity(data, identity)
        _restore(trainer, safetensors.torch.load(data))
        trainer.resume(state)
    except (ValueError, KeyError, TypeError, OSError, RuntimeError, MemoryError, safetensors.SafetensorError) as error:
        raise TrainingError(
            f"{folder}: the state of an interrupted training can't be read ({error});"
            f" remove {STATE} to start again, or set training.resume: false"
        ) from error
    return trainer.state.step


def remove_state(folder: str) -> None:
    """Remove the state of a training that is done."""
    filesystem, root = fsspec.core.url_to_fs(folder)
    if not filesystem.exists(root):
        return
    for name in (STATE, f"{STATE}.new", *_tensor_files(filesystem, root)):
        if filesystem.exists(f"{root}/{name}"):
            filesystem.rm(f"{root}/{name}")


def _tensors(trainer: Trainer) -> dict[str, torch.Tensor]:
    tensors: dict[str, torch.Tensor] = {}
    for kind, state in (
        ("model", trainer.denoiser.state_dict()),
        ("averaged", trainer.averaged.state_dict()),
        ("best", trainer.best),
    ):
        tensors |= {f"{kind}/{name}": value.detach().cpu().contiguous().clone() for name, value in state.items()}
    for index, moments in trainer.optimiser.state_dict()["state"].items():
        tensors |= {f"optimiser/{index}/{name}": value.detach().cpu().clone() for name, value in moments.items()}
    return tensors


def _check_identity(data: bytes, identity: str) -> None:
    """Refuse another training's tensors of the same step, killed before it could write its own JSON."""
    length = int.from_bytes(data[:8], "little")
    if json.loads(data[8 : 8 + length])["__metadata__"]["identity"] != identity:
        raise ValueError("the tensors are those of another training")


def _restore(trainer: Trainer, tensors: dict[str, torch.Tensor]) -> None:
    parts: dict[str, dict[str, Any]] = {"model": {}, "averaged": {}, "best": {}, "optimiser": {}}
    for name, value in tensors.items():
        kind, rest = name.split("/", 1)
        parts[kind][rest] = value
    trainer.denoiser.load_state_dict(parts["model"])
    trainer.averaged.load_state_dict(parts["averaged"])
    trainer.best = parts["best"]
    moments: dict[int, dict[str, torch.Tensor]] = {}
    for name, value in parts["optimiser"].items():
        index, moment = name.split("/", 1)
        moments.setdefault(int(index), {})[moment] = value
    optimiser = trainer.optimiser.state_dict()
    trainer.optimiser.load_state_dict({**optimiser, "state": moments})
