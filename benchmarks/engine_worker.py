"""A worker that only waits, for measuring what is around it, on the pool and as a batch function of Ray Data."""

from __future__ import annotations

import hashlib
import json
import time
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from actors.blobs import open_blobs
from actors.lazy_tasks import LazyTasks
from actors.ledger import Ledger


class Waiter:
    """Waits as long as the payload says; the result is when it began and when it ended."""

    def run(self, payload: bytes) -> bytes:
        """Wait once."""
        began = time.time()
        time.sleep(float(payload.split()[0]))
        return json.dumps([began, time.time()]).encode()


class BatchWaiter:
    """The same for Ray Data: waits for every row of a batch, and commits each result to the same kind of ledger."""

    def __init__(self, store: str, seconds: float) -> None:
        self._waiter, self._seconds = Waiter(), seconds
        self._ledger = Ledger(open_blobs(store))

    def __call__(self, batch: dict[str, npt.NDArray[Any]]) -> dict[str, npt.NDArray[Any]]:
        """Run the rows of a batch; their results are in the ledger."""
        for place in batch["id"]:
            self._ledger.commit(task_id(int(place)), self._waiter.run(payload(self._seconds)), replica="ray data")
        return {"id": np.asarray(batch["id"])}


@dataclass(frozen=True)
class Waited:
    """What replicas did, by their own clocks."""

    seconds: float
    first: float
    last: float

    @property
    def span(self) -> float:
        """Seconds from the first beginning to the last end."""
        return self.last - self.first


def tasks(count: int, seconds: float) -> LazyTasks:
    """Give tasks that wait, each with a payload as long as that of a block."""
    return LazyTasks(count, task_id, lambda place: payload(seconds))


def task_id(place: int) -> str:
    return hashlib.sha256(str(place).encode()).hexdigest()


def payload(seconds: float) -> bytes:
    return f"{seconds} ".encode().ljust(680, b"x")


def waited(store: str) -> Waited:
    """Read from a ledger what was waited."""
    ledger = Ledger(open_blobs(store))
    times = np.array([json.loads(ledger.read(name)) for name in ledger.committed()])
    return Waited(float((times[:, 1] - times[:, 0]).sum()), float(times[:, 0].min()), float(times[:, 1].max()))
