"""The worker of a replica that screens an ensemble: each block goes to the member that its payload names."""

from __future__ import annotations

import json
from collections import OrderedDict
from collections.abc import Mapping

from screening.errors import BlockError
from screening.running.worker import ShardWorker, open_worker

LOADED_BYTES = 1 << 30
"""Members stay loaded while their weights together take no more than this; one always is. Blocks come member by
member, so that even with a single one loaded a replica seldom changes it."""


def open_ensemble_worker(members: Mapping[str, str], device: str = "auto", threads: int = 1) -> EnsembleWorker:
    """Open the members of an ensemble; called by name in the replica's own process.

    Parameters
    ----------
    members
        Digest of each member, as in the plan → folder or URL of its checkpoint.
    device, threads
        As in :func:`screening.running.worker.open_worker`.

    Raises
    ------
    CheckpointError, BlockError
        If the first member can't be used or isn't the one of the plan; the others are opened when they are needed.
    """
    worker = EnsembleWorker(members, device, threads)
    worker.member(next(iter(members)))
    return worker


class EnsembleWorker:
    """Computes blocks of several checkpoints; one at a time, in one thread."""

    def __init__(
        self, members: Mapping[str, str], device: str = "auto", threads: int = 1, loaded_bytes: int = LOADED_BYTES
    ) -> None:
        self._members = dict(members)
        self._device, self._threads, self._most = device, threads, loaded_bytes
        self._loaded: OrderedDict[str, ShardWorker] = OrderedDict()

    @property
    def loaded(self) -> tuple[str, ...]:
        """Digests of the members in memory, the one used last at the end."""
        return tuple(self._loaded)

    def run(self, payload: bytes) -> bytes:
        """Compute one block with the member that it names; errors as in `ShardWorker.run`."""
        return self.member(json.loads(payload)["model"]).run(payload)

    def member(self, digest: str) -> ShardWorker:
        """Return the worker of one member, loaded where it isn't yet.

        Raises
        ------
        BlockError
            If the ensemble has no such member, or its checkpoint changed since the plan was made.
        CheckpointError
            If its checkpoint can't be used.
        """
        if digest not in self._members:
            raise BlockError(f"the block is for model {digest[:12]}, which is no member here: run the campaign again")
        if digest not in self._loaded:
            self._make_room()
            self._loaded[digest] = open_worker(self._members[digest], digest, self._device, self._threads)
        self._loaded.move_to_end(digest)
        return self._loaded[digest]

    def _make_room(self) -> None:
        """Let go of the members used longest ago; the next one is taken to be as large as the largest so far."""
        sizes = {digest: worker.predictor.weight_bytes for digest, worker in self._loaded.items()}
        while self._loaded and sum(sizes.values()) + max(sizes.values()) > self._most:
            digest, _ = self._loaded.popitem(last=False)
            del sizes[digest]
