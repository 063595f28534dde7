"""What has struck, written down in a store, so that it counts in every process and after every crash."""

import hashlib
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import suppress
from typing import TypeVar

from actors.blobs import Blobs
from actors.errors import BlobExists

FaultT = TypeVar("FaultT", bound=str)
SPARED = " spared"
"""Follows the name of a fault that was not allowed to strike."""


class Strikes:
    """Hands out the faults that strike something, each once, whoever asks.

    Parameters
    ----------
    blobs
        Where a mark is left before each strike.
    """

    def __init__(self, blobs: Blobs) -> None:
        self._blobs = blobs
        self._struck: Counter[str] = Counter()

    def next(
        self, what: str, faults: Iterator[FaultT], may: Callable[[FaultT], bool] = lambda fault: True
    ) -> FaultT | None:
        """Return the first of the faults that has not struck yet; None if all have, or if it may not strike here.

        Parameters
        ----------
        what
            Name of what is struck.
        faults
            What strikes it, one after the other; always the same.
        may
            Whether a fault may strike here and now. One that may not is counted as spared.
        """
        name = hashlib.sha256(what.encode()).hexdigest()[:32]
        for number, fault in enumerate(faults):
            if number < self._struck[name]:
                continue
            if not may(fault):
                with suppress(BlobExists):
                    self._blobs.create(_mark(fault + SPARED, name, number), b"")
                return None
            self._struck[name] = number + 1
            try:
                self._blobs.create(_mark(fault, name, number), b"")
            except BlobExists:
                continue  # it has struck in another process, or in one before
            return fault
        return None

    def count(self) -> Counter[str]:
        """Return how often each fault has struck, or was spared, in all processes."""
        return Counter(key.partition("/")[0].replace("-", " ") for key, _ in self._blobs.list())

    def forget(self) -> None:
        """Remove the marks."""
        for key, _ in list(self._blobs.list()):
            self._blobs.delete(key)


def _mark(fault: str, name: str, number: int) -> str:
    return f"{fault.replace(' ', '-')}/{name}-{number}"
