"""A training that is asked for by a YAML file: read, checked, and started where it says, here or on a cluster."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any

from campaigns.errors import EnsembleError, SpecError, Where
from campaigns.source import load_training
from campaigns.training_spec import TrainSpec
from campaigns.validation import validate
from campaigns.yaml_source import Source
from lingshu_core.errors import NoSuchDevice, OutOfMemory
from lingshu_core.training import BATCH_SIZE, TrainingConfig, TrainingProgress
from screening.planning.ensemble_file import read_ensemble
from screening.planning.placed_errors import placing
from screening.training.training_run import TrainingResult, check_output, check_settings, train_here, training_config


def train_model(
    path: str | os.PathLike[str],
    on_progress: Callable[[TrainingProgress], None] | None = None,
    overrides: Mapping[str, Any] | None = None,
) -> TrainingResult:
    """Train the model that a ``kind: train`` file describes and write its checkpoint.

    Raises
    ------
    CampaignError, DataError, ConfigurationError, TrainingError
        When the file, the cells or the settings don't allow it.
    """
    spec, config, source = training_of(path, overrides or {})
    if spec.training.seeds is not None:
        text = "describes an ensemble; train it with screening.training.ensemble_training.train_file, or leave this out"
        raise EnsembleError([source.where(("training", "seeds")).problem(text)])
    with placed(source):
        return train_spec(spec, config, on_progress)


@contextmanager
def placed(source: Source) -> Iterator[None]:
    """Put file, line and field before what is said of cells, settings, the device and its memory."""
    try:
        with placing(source):
            yield
    except NoSuchDevice as error:
        raise NoSuchDevice(str(source.where(("training", "device")).problem(str(error)))) from error
    except OutOfMemory as error:
        text = str(error).removeprefix(f"{BATCH_SIZE}: ")
        raise OutOfMemory(str(source.where(("training", "batch_size")).problem(text))) from error


def training_of(path: str | os.PathLike[str], overrides: Mapping[str, Any]) -> tuple[TrainSpec, TrainingConfig, Source]:
    """Read a ``kind: train`` file; ``output``, ``seed`` and other settings that are given stand in for its own."""
    loaded = load_training(path)
    given = {name: value for name, value in overrides.items() if value is not None}
    spec, content = loaded.spec, loaded.spec.model_dump(by_alias=True)
    options = [name for name in ("output", "workers", "epochs") if name in given]
    for name in options:
        (content if name in content else content["training"])[name] = given.pop(name)
    if options:
        place = f"command line ({', '.join(f'--{name}' for name in options)})"
        spec = validate(TrainSpec, Source(place, content))
    return spec, training_config(spec, given), loaded.source


def train_spec(
    spec: TrainSpec, config: TrainingConfig, on_progress: Callable[[TrainingProgress], None] | None = None
) -> TrainingResult:
    """Train from a spec that is read already; errors as in :func:`train_model`."""
    if spec.model.is_baseline:
        text = f"{spec.model.kind} is a baseline; fit it with screening.training.baseline_training.train_baseline"
        raise SpecError([Where(spec.name, None, "model.kind").problem(text)])
    check_settings(spec, config)
    check_output(spec.output)
    if read_ensemble(spec.output) is not None:
        text = "is the folder of an ensemble; give the model one of its own"
        raise EnsembleError([Where(spec.output).problem(text)])
    if spec.training.workers:
        from screening.training.training_launch import train_on_cluster  # Ray, which nothing else here needs

        return train_on_cluster(spec, config, on_progress)
    return train_here(spec, config, on_progress)
