"""Where the time of a run goes: seconds of its stages, of the model, and of the store."""

from __future__ import annotations

import functools
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from typing import Any
from unittest import mock

import lingshu_core.predictor
from actors.folder_blobs import FolderBlobs
from actors.obstore_blobs import ObstoreBlobs
from benchmarks.report import Silent

OPERATIONS = ("get", "load", "put", "create", "swap", "copy", "exists", "delete", "list", "scan", "folders")
WRITES = frozenset({"put", "create", "swap"})


@dataclass(frozen=True)
class Spent:
    """Seconds by the clock, and of the processor (all threads)."""

    wall: float = 0.0
    cpu: float = 0.0

    def __sub__(self, other: Spent) -> Spent:
        return Spent(self.wall - other.wall, self.cpu - other.cpu)

    def __add__(self, other: Spent) -> Spent:
        return Spent(self.wall + other.wall, self.cpu + other.cpu)

    @classmethod
    def by_now(cls) -> Spent:
        """Return what the clocks show."""
        return cls(time.perf_counter(), time.process_time())


@dataclass
class StageClock(Silent):
    """A listener that notes when each stage begins; what is done within `paused` doesn't count.

    Whatever else a run tells is not heard.
    """

    away: Spent = field(default_factory=Spent)
    began: dict[str, Spent] = field(default_factory=dict)

    def now(self) -> Spent:
        """Return what the clocks show, without the pauses."""
        return Spent.by_now() - self.away

    def stage(self, name: str, detail: str) -> None:
        """Note the beginning of a stage."""
        self.began.setdefault(name, self.now())

    @contextmanager
    def paused(self) -> Iterator[None]:
        """Leave out what is done meanwhile."""
        before = Spent.by_now()
        yield
        self.away += Spent.by_now() - before

    def stages(self) -> dict[str, Spent]:
        """Return what each stage took, if the last one ends now."""
        marks = [*self.began.values(), self.now()]
        return {name: after - before for name, before, after in zip(self.began, marks, marks[1:], strict=False)}


@dataclass
class Stopwatch:
    """Counts calls of some functions, and the seconds that they keep the main thread; one within another is its part.

    Calls of other threads are counted, too; their seconds are `seconds_aside`, because the run doesn't wait for them.
    """

    seconds: float = 0.0
    seconds_aside: float = 0.0
    calls: Counter[str] = field(default_factory=Counter)
    bytes_read: int = 0
    bytes_written: int = 0
    _inside: threading.local = field(default_factory=threading.local)

    def around(self, name: str, function: Callable[..., Any]) -> Callable[..., Any]:
        """Return a function that is measured."""

        @functools.wraps(function)
        def measured(*arguments: Any, **options: Any) -> Any:
            if getattr(self._inside, "now", False):
                return function(*arguments, **options)
            self._inside.now, started = True, time.perf_counter()
            try:
                found = function(*arguments, **options)
                found = iter(list(found)) if name in ("list", "scan") else found
            finally:
                self._inside.now = False
                self._add(time.perf_counter() - started)
                self.calls[name] += 1
            self._count_bytes(name, arguments, found)
            return found

        return measured

    def _add(self, seconds: float) -> None:
        if threading.current_thread() is threading.main_thread():
            self.seconds += seconds
        else:
            self.seconds_aside += seconds

    def _count_bytes(self, name: str, arguments: tuple[Any, ...], found: Any) -> None:
        if name in WRITES:
            self.bytes_written += len(arguments[2])  # of self, key, data
        elif name in ("get", "load"):
            self.bytes_read += len(found if name == "get" else found.data)


@contextmanager
def store_watched() -> Iterator[Stopwatch]:
    """Measure every operation of a store by this process: the run's own, and its replica's where that is here too."""
    watch = Stopwatch()
    with ExitStack() as patches:
        for kind in (ObstoreBlobs, FolderBlobs):
            for name in OPERATIONS:
                if name in vars(kind):
                    replaced = watch.around(name, vars(kind)[name])
                    patches.enter_context(mock.patch.object(kind, name, replaced))
        yield watch


@contextmanager
def model_watched() -> Iterator[Stopwatch]:
    """Measure the shards that the model computes in this process."""
    watch = Stopwatch()
    name = "estimate_shard"
    with mock.patch.object(lingshu_core.predictor, name, watch.around(name, vars(lingshu_core.predictor)[name])):
        yield watch
