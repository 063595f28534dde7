"""What has struck, written down in a store, so that it counts in every process and after every crash."""

import hashlib
from collections import Counter
from collections.abc import Iterator
from typing import TypeVar

from actors.blobs import Blobs
from actors.errors import BlobExists

FaultT = TypeVar("FaultT", bound=str)


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

    def next(self, what: str, faults: Iterator[FaultT]) -> FaultT | None:
        """Return the first of the faults that has not struck yet; None if all have.

        Parameters
        ----------
        what
            Name of what is struck.
        faults
            What strikes it, one after the other; always the same.
        """
        name = hashlib.sha256(what.encode()).hexdigest()[:32]
        for number, fault in enumerate(faults):
            if number < self._struck[name]:
                continue
            self._struck[name] = number + 1
            try:
                self._blobs.create(f"{fault.replace(' ', '-')}/{name}-{number}", b"")
            except BlobExists:
                continue  # it has struck in another process, or in one before
            return fault
        return None

    def count(self) -> Counter[str]:
        """Return how often each fault has struck, in all processes."""
        return Counter(key.partition("/")[0].replace("-", " ") for key, _ in self._blobs.list())

    def forget(self) -> None:
        """Remove the marks."""
        for key, _ in list(self._blobs.list()):
            self._blobs.delete(key)
