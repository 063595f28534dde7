"""A campaign file, read and validated: the way in for everybody else."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Generic, TypeVar

from campaigns.chaos_spec import ChaosSpec
from campaigns.errors import SpecError
from campaigns.evaluation_spec import EvaluateSpec
from campaigns.generation_spec import GenerateSpec
from campaigns.nearest import hint
from campaigns.plugin_names import check_plugins
from campaigns.screen_spec import ScreenSpec
from campaigns.spec import Spec
from campaigns.training_spec import TrainSpec
from campaigns.validation import validate
from campaigns.yaml_source import Source, dump_yaml, read_yaml

SpecT = TypeVar("SpecT", bound=Spec, covariant=True)
ReadT = TypeVar("ReadT", bound=Spec)

KINDS: Mapping[str, type[TrainSpec | ScreenSpec | GenerateSpec | EvaluateSpec | ChaosSpec]] = {
    "train": TrainSpec,
    "screen": ScreenSpec,
    "generate": GenerateSpec,
    "evaluate": EvaluateSpec,
    "chaos": ChaosSpec,
}

_COMMANDS = {"train": "train", "screen": "run", "generate": "generate", "evaluate": "evaluate", "chaos": "run --chaos"}


@dataclass(frozen=True, slots=True)
class Loaded(Generic[SpecT]):
    """A spec and the file that it came from.

    Parameters
    ----------
    spec : Spec
        What the file says.
    source : Source
        The file's name and the line of every field, for problems that are found later.
    """

    spec: SpecT
    source: Source


def load_training(path: str | os.PathLike[str], environment: Mapping[str, str] | None = None) -> Loaded[TrainSpec]:
    """Read a ``kind: train`` file; parameters and errors as in `load_any`."""
    source = read_yaml(path, environment)
    _check_kind(source, ["train"])
    return _loaded(TrainSpec, source)


def load_screen(path: str | os.PathLike[str], environment: Mapping[str, str] | None = None) -> Loaded[ScreenSpec]:
    """Read a ``kind: screen`` file; parameters and errors as in `load_any`."""
    source = read_yaml(path, environment)
    _check_kind(source, ["screen"])
    return _loaded(ScreenSpec, source)


def load_generation(path: str | os.PathLike[str], environment: Mapping[str, str] | None = None) -> Loaded[GenerateSpec]:
    """Read a ``kind: generate`` file; parameters and errors as in `load_any`."""
    source = read_yaml(path, environment)
    _check_kind(source, ["generate"])
    return _loaded(GenerateSpec, source)


def load_evaluation(path: str | os.PathLike[str], environment: Mapping[str, str] | None = None) -> Loaded[EvaluateSpec]:
    """Read a ``kind: evaluate`` file; parameters and errors as in `load_any`."""
    source = read_yaml(path, environment)
    _check_kind(source, ["evaluate"])
    return _loaded(EvaluateSpec, source)


def load_chaos(path: str | os.PathLike[str], environment: Mapping[str, str] | None = None) -> Loaded[ChaosSpec]:
    """Read a ``kind: chaos`` file; parameters and errors as in `load_any`."""
    source = read_yaml(path, environment)
    _check_kind(source, ["chaos"])
    return _loaded(ChaosSpec, source)


def load_any(
    path: str | os.PathLike[str], environment: Mapping[str, str] | None = None
) -> Loaded[TrainSpec] | Loaded[ScreenSpec] | Loaded[GenerateSpec] | Loaded[EvaluateSpec] | Loaded[ChaosSpec]:
    """Read a campaign file of the kind that it says it is.

    Parameters
    ----------
    path : path-like
        A local YAML file.
    environment : mapping, optional
        Variables that ``${LINGSHU_…}`` may name; the process's environment by default.

    Returns
    -------
    Loaded
        With a `TrainSpec`, a `ScreenSpec`, a `GenerateSpec`, an `EvaluateSpec` or a `ChaosSpec`.

    Raises
    ------
    YamlError
        The file can't be read as strict YAML.
    SpecError
        The YAML is no campaign, or not of the kind asked for.
    """
    source = read_yaml(path, environment)
    _check_kind(source, list(KINDS))
    if source.data["kind"] == "train":
        return _loaded(TrainSpec, source)
    if source.data["kind"] == "generate":
        return _loaded(GenerateSpec, source)
    if source.data["kind"] == "evaluate":
        return _loaded(EvaluateSpec, source)
    if source.data["kind"] == "chaos":
        return _loaded(ChaosSpec, source)
    return _loaded(ScreenSpec, source)


def _loaded(model: type[ReadT], source: Source) -> Loaded[ReadT]:
    spec = validate(model, source)
    check_plugins(source)
    return Loaded(spec, source)


def dump_spec(spec: Spec) -> str:
    """Write a spec as YAML with all defaults and variables resolved; reading it gives the same spec."""
    return dump_yaml(spec.as_data())


def _check_kind(source: Source, wanted: list[str]) -> None:
    kind = source.data.get("kind")
    if kind in wanted:
        return
    if "kind" not in source.data:
        text = f"missing field 'kind'; write `kind: {'` or `kind: '.join(wanted)}`"
    elif kind in list(KINDS):
        text = (
            f"this is a `kind: {kind}` file and a `kind: {wanted[0]}` file is wanted; use `lingshu {_COMMANDS[kind]}`"
        )
    else:
        text = f"unknown kind {str(kind)[:60]!r}; {hint(str(kind)[:60], KINDS)}"
    raise SpecError([source.where(("kind",)).problem(text)])
