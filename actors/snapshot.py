"""The results that are committed, as they were at one moment."""

from functools import cached_property

from actors.ledger import Ledger


class Snapshot:
    """A ledger that does not grow while it is folded, and remembers what was read of it.

    Attributes
    ----------
    digests
        Task → SHA-256 of its data, of each result that was read.
    """

    def __init__(self, ledger: Ledger) -> None:
        self.digests: dict[str, str] = {}
        self._ledger = ledger

    def committed(self) -> frozenset[str]:
        """Return the ids of the tasks that were committed when this was first asked."""
        return self._committed

    def read(self, task_id: str) -> bytes:
        """Return the committed data of a task, verified; raises as `Ledger.read`."""
        record = self._ledger.record(task_id)
        data = self._ledger.read_data(record)
        self.digests[task_id] = record.sha256
        return data

    @cached_property
    def _committed(self) -> frozenset[str]:
        return self._ledger.committed()
