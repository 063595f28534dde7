"""The one thing a replica runs: bytes in, bytes out, opened by name in the replica's own process."""

import importlib
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Protocol, runtime_checkable

from actors.errors import UnknownWorker


@runtime_checkable
class Worker(Protocol):
    """Loads once, then runs payload after payload in one thread.

    An exception from `run` fails its task. If the exception has an attribute `poisons_replica` that is true (a CUDA
    error, a NaN in the weights), the process is killed and never used again. An attribute `after_failure` says what
    another attempt would bring: `"set aside"`, the same failure, so the task is not tried again; `"stop"`, the same
    failure for every task, so the run ends with the message.
    """

    def run(self, payload: bytes) -> bytes:
        """Compute the result of one task."""
        ...


@dataclass(frozen=True, slots=True)
class WorkerSpec:
    """A worker by name and plain options, so that no code or object travels to the replica.

    Attributes
    ----------
    target
        `package.module:callable`; the callable takes the options as keywords and returns a `Worker`.
    options
        JSON values only.

    Raises
    ------
    UnknownWorker
        The target is not of that form, or the options are no JSON.
    """

    target: str
    options: Mapping[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        check_target(self.target, self.options)

    def open(self) -> Worker:
        """Import the target and call it with the options; this is where weights are loaded.

        Raises
        ------
        UnknownWorker
            The target cannot be imported here, or what it returns cannot run.
        """
        worker = load_target(self.target)(**self.options)
        if not isinstance(worker, Worker):
            raise UnknownWorker(f"worker {self.target} opened a {type(worker).__name__}, which has no run(payload)")
        return worker


def check_target(target: str, options: Mapping[str, Any]) -> None:
    """Refuse what can't be opened by name in another process.

    Raises
    ------
    UnknownWorker
        The target is not `package.module:callable`, or the options are no JSON.
    """
    module, _, name = target.partition(":")
    if not module or not name:
        raise UnknownWorker(f"worker target {target!r}: write package.module:callable")
    try:
        json.dumps(dict(options))
    except (TypeError, ValueError) as error:
        raise UnknownWorker(f"options of worker {target} have to be plain JSON: {error}") from error


def load_target(target: str) -> Any:
    """Import what a target names.

    Raises
    ------
    UnknownWorker
        It can't be imported here.
    """
    module, _, name = target.partition(":")
    try:
        return getattr(importlib.import_module(module), name)
    except (ImportError, AttributeError) as error:
        raise UnknownWorker(
            f"worker {target} cannot be imported ({error}): is the package installed where the replica runs?"
        ) from error
