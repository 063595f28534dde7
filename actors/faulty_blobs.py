"""A store that fails on cue: to try what the engine makes of refusals, overload, lost answers and cut or slow bodies.

Each fault does what a real store does to a caller, after the client's own retries:

- `403`: refused, nothing done.
- `409`: of two writers at once neither won; nothing done. Clients tell it like a lost race.
- `412`: the answer to a conditional write was lost, the client sent it again, and met its own first one.
- `429`, `503`: overload, nothing done. `500`: done or not, by the toss of a coin.
- `lost answer`: done, and the caller is not told.
- `truncated body`: a read gives the first part only; a write is not done.
- `slow body`: the answer comes late, and never if that is later than the client waits.
"""

import builtins
import random
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from typing import Literal, TypeVar, get_args

from actors.blob_info import BlobInfo, Versioned
from actors.blobs import Blobs
from actors.errors import BlobChanged, BlobExists, StoreRefused, StoreUnavailable
from actors.size_limits import LARGEST_OBJECT

T = TypeVar("T")
Fault = Literal["403", "409", "412", "429", "500", "503", "lost answer", "truncated body", "slow body"]
FAULTS: tuple[Fault, ...] = get_args(Fault)
_ONLY_CONDITIONAL = {"409", "412"}
_CONDITIONAL = {"create", "swap"}
_READS = {"get", "load", "exists", "list"}


def strikes(fault: Fault, operation: str) -> bool:
    """Tell whether an operation can meet a fault: races are lost by conditional writes only."""
    return operation in _CONDITIONAL or fault not in _ONLY_CONDITIONAL


class SeededFaults:
    """Draws the fault of each operation.

    Parameters
    ----------
    rates
        Fault → share of the operations that it may strike.
    seed
        Same seed, same operations in the same order: same faults.

    Attributes
    ----------
    struck
        How often each has struck.
    """

    def __init__(self, rates: Mapping[Fault, float], seed: int = 0) -> None:
        self.struck: Counter[str] = Counter()
        self._rates = dict(rates)
        self._random = random.Random(seed)
        self._lock = threading.Lock()

    def __call__(self, operation: str, key: str = "") -> Fault | None:
        """Return the fault that strikes this operation, whatever it is on, if any does."""
        with self._lock:
            point = self._random.random()
            for fault, rate in self._rates.items():
                point -= rate
                if point < 0:
                    return self._strike(fault, operation)
        return None

    def _strike(self, fault: Fault, operation: str) -> Fault | None:
        if not strikes(fault, operation):
            return None
        self.struck[fault] += 1
        return fault


class FaultyBlobs:
    """`Blobs` over others, struck by faults.

    Parameters
    ----------
    next_fault
        Name of the operation, key → the fault that strikes it, or None; `SeededFaults` is one, and
        `actors.injector.Injector` makes others.
    slow_seconds
        How late a slow body comes.
    timeout_seconds
        How long the client waits for it.
    coin
        Decides whether a 500 was done.
    """

    def __init__(
        self,
        blobs: Blobs,
        next_fault: Callable[[str, str], Fault | None],
        *,
        slow_seconds: float = 0.05,
        timeout_seconds: float = 60.0,
        sleep: Callable[[float], None] = time.sleep,
        coin: random.Random | None = None,
    ) -> None:
        self._blobs = blobs
        self._next_fault = next_fault
        self._slow_seconds = slow_seconds
        self._timeout_seconds = timeout_seconds
        self._sleep = sleep
        self._coin = coin or random.Random(0)

    @property
    def url(self) -> str:
        """Where the objects lie."""
        return self._blobs.url

    def get(self, key: str, most: int = LARGEST_OBJECT) -> bytes:
        """Return the object's bytes, or the first part of them."""
        fault = self._next_fault("get", key)
        data = self._struck(fault, "get", key, lambda: self._blobs.get(key, most))
        return data[: len(data) // 2] if fault == "truncated body" else data

    def load(self, key: str, most: int = LARGEST_OBJECT) -> Versioned:
        """Return the object's bytes, or the first part of them, with its version."""
        fault = self._next_fault("load", key)
        data, version = self._struck(fault, "load", key, lambda: self._blobs.load(key, most))
        return Versioned(data[: len(data) // 2] if fault == "truncated body" else data, version)

    def put(self, key: str, data: bytes) -> None:
        """Store the bytes, or don't."""
        self._struck(self._next_fault("put", key), "put", key, lambda: self._blobs.put(key, data))

    def create(self, key: str, data: bytes) -> None:
        """Store the bytes where nothing is stored yet, or don't."""
        self._struck(self._next_fault("create", key), "create", key, lambda: self._blobs.create(key, data))

    def swap(self, key: str, data: bytes, version: str | None) -> str:
        """Store the bytes where still this version is stored, or don't."""
        return self._struck(self._next_fault("swap", key), "swap", key, lambda: self._blobs.swap(key, data, version))

    def copy(self, source: str, target: str) -> None:
        """Copy, or don't."""
        self._struck(self._next_fault("copy", target), "copy", source, lambda: self._blobs.copy(source, target))

    def exists(self, key: str) -> bool:
        """Tell whether the object is there."""
        return self._struck(self._next_fault("exists", key), "exists", key, lambda: self._blobs.exists(key))

    def delete(self, key: str) -> None:
        """Remove the object, or don't."""
        self._struck(self._next_fault("delete", key), "delete", key, lambda: self._blobs.delete(key))

    def scan(self, prefix: str = "") -> Iterator[BlobInfo]:
        """Yield the objects; a fault comes in the middle."""
        fault = self._next_fault("list", prefix)
        found = list(self._blobs.scan(prefix))
        yield from found[: len(found) // 2]
        self._struck("503" if fault == "truncated body" else fault, "list", prefix, lambda: None)
        yield from found[len(found) // 2 :]

    def list(self, prefix: str = "") -> Iterator[tuple[str, int]]:
        """Yield key and size of the objects; a fault comes in the middle."""
        return ((found.key, found.size) for found in self.scan(prefix))

    def folders(self) -> builtins.list[str]:
        """Return the names of folders, or don't."""
        return self._struck(self._next_fault("list", ""), "list", "", self._blobs.folders)

    def _struck(self, fault: Fault | None, operation: str, key: str, act: Callable[[], T]) -> T:
        if fault is None or not strikes(fault, operation):
            return act()
        what = f"cannot {operation} '{key}' in {self.url}: injected {fault}"
        if fault == "403":
            raise StoreRefused(what)
        if fault == "409":
            raise _lost_race(operation, what)
        if self._is_done(fault, operation):
            answer = act()
            if fault == "412":
                raise _lost_race(operation, what)
            if fault in ("lost answer", "500") or (fault == "slow body" and self._is_too_slow()):
                raise StoreUnavailable(what)
            return answer
        raise StoreUnavailable(what)

    def _is_done(self, fault: Fault, operation: str) -> bool:
        if fault in ("429", "503"):
            return False
        if fault == "truncated body":
            return operation in _READS
        return fault != "500" or self._coin.random() < 0.5

    def _is_too_slow(self) -> bool:
        self._sleep(min(self._slow_seconds, self._timeout_seconds))
        return self._slow_seconds > self._timeout_seconds


def _lost_race(operation: str, what: str) -> BlobExists | BlobChanged:
    return BlobExists(what) if operation == "create" else BlobChanged(what)
