"""The commit protocol: a result exists if and only if its commit record exists.

1. The data go to `data/<task>/<attempt>`, a name that no other attempt uses.
2. `commits/<task>.json` is created if absent: that is the moment of commit.
3. Whoever finds it taken has lost the race, deletes its own data and reports a duplicate.
4. An answer that never came is settled by reading the record and comparing the attempt's id.

Readers believe commit records only. Data without a record are orphans of a crash, and harmless until `actors.orphans`
removes them. Commits need no fencing: a task's id is the digest of all that decides its result, so whoever computed it,
for whichever planner, computed the right thing.
"""

import contextlib
import hashlib
import json
import time
import uuid
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from typing import Literal, TypeVar

from actors.blob_keys import UNSAFE_SEGMENT
from actors.blobs import Blobs
from actors.errors import (
    BlobExists,
    BlobNotFound,
    BlobTooLarge,
    CommitUnknown,
    CorruptBlob,
    StoreRefused,
    StoreUnavailable,
)
from actors.meter import Meter, NoMeter
from actors.patience import Patience, until_readable
from actors.size_limits import LARGEST_OBJECT, LARGEST_RECORD, check_size
from actors.strict_json import Fields, read_object
from actors.tasks import check_task_id

T = TypeVar("T")
COMMITS = "commits"
DATA = "data"
SLEPT_SECONDS = 1800.0
"""A commit that took longer slept, and whoever collects orphans may have taken its data for one."""
_FIELDS: Fields = {
    "task": str,
    "attempt": str,
    "data": str,
    "size": int,
    "sha256": str,
    "seconds": float,
    "replica": str,
    "created": str,
}


@dataclass(frozen=True, slots=True)
class CommitRecord:
    """What `commits/<task>.json` holds.

    Attributes
    ----------
    data
        Key of the data.
    size, sha256
        Of the data, in bytes and as a hex digest.
    seconds
        Time in the worker.
    created
        UTC, ISO 8601.
    """

    task: str
    attempt: str
    data: str
    size: int
    sha256: str
    seconds: float
    replica: str
    created: str

    def to_json(self) -> bytes:
        """Write the record as canonical JSON."""
        return json.dumps(asdict(self), sort_keys=True, separators=(",", ":")).encode()

    @classmethod
    def from_json(cls, text: bytes, key: str) -> "CommitRecord":
        """Read a record.

        Raises
        ------
        CorruptBlob
            It is no JSON object with exactly these fields.
        """
        try:
            return cls(**read_object(text, _FIELDS, key))
        except CorruptBlob as error:
            raise CorruptBlob(f"{error}: no commit record. Delete it to have the task computed again") from error


@dataclass(frozen=True, slots=True)
class Commit:
    """The settled answer to one commit: ours (`committed`) or another attempt's (`duplicate`)."""

    status: Literal["committed", "duplicate"]
    record: CommitRecord


class Ledger:
    """Commits of one store.

    Parameters
    ----------
    blobs
        The store; it has to honour put-if-absent (`actors.blobs.probe_conditional_writes`).
    patience_seconds
        How long a step is tried again while the store does not answer: a computed result is worth the wait.
    clock
        Seconds since some moment, those of a suspended machine included.
    meter
        Hears how long commits take, and of steps that are tried again.
    """

    def __init__(
        self,
        blobs: Blobs,
        patience_seconds: float = 60.0,
        sleep: Callable[[float], None] = time.sleep,
        clock: Callable[[], float] = time.time,
        meter: Meter | None = None,
    ) -> None:
        self._blobs = blobs
        self._meter = meter or NoMeter()
        self._patience = Patience(patience_seconds, sleep, self._meter)
        self._clock = clock

    @property
    def blobs(self) -> Blobs:
        """The store that holds the commits."""
        return self._blobs

    def commit(
        self, task_id: str, data: bytes, *, replica: str, seconds: float = 0.0, attempt: str | None = None
    ) -> Commit:
        """Store the data and make them the task's result, unless another attempt was first.

        Raises
        ------
        UnsafeTaskId
            The id is no hex digest.
        BlobTooLarge
            The data are more than would be read again.
        StoreRefused
            The store will not take it (credentials, bucket).
        CommitUnknown
            The store stayed silent for longer than the ledger's patience.
        """
        check_task_id(task_id)
        check_size(f"the result of task {task_id}", len(data), LARGEST_OBJECT)
        record = _record_of(task_id, data, replica, seconds, attempt or uuid.uuid4().hex)
        began = self._clock()
        self._answered(lambda: self._blobs.put(record.data, data), f"data of task {task_id}")
        winner = self._answered(lambda: self._settle(record), f"commit of task {task_id}")
        taken = self._clock() - began
        self._measure(taken)
        if winner.attempt == record.attempt:
            if taken > SLEPT_SECONDS:
                self._answered(lambda: self._restore(record, data), f"data of task {task_id}")
            return Commit("committed", winner)
        self._discard(record)
        return Commit("duplicate", winner)

    def committed(self) -> frozenset[str]:
        """Return the ids of all committed tasks, from one listing."""
        return self._patience.wait_for(lambda: frozenset(map(task_of, self._commit_keys())))

    def is_committed(self, task_id: str) -> bool:
        """Tell whether one task is committed, without a listing."""
        return self._patience.wait_for(lambda: self._blobs.exists(commit_key(task_id)))

    def record(self, task_id: str) -> CommitRecord:
        """Return the commit record of a task.

        Raises
        ------
        BlobNotFound
            The task is not committed.
        CorruptBlob
            What lies there is no record of this task.
        """
        return self._patience.wait_for(lambda: until_readable(lambda: self._record(task_id)))

    def read(self, task_id: str) -> bytes:
        """Return the committed data of a task, verified.

        Raises
        ------
        BlobNotFound
            The task is not committed.
        CorruptBlob
            The data are missing, or differ from the record in size or digest.
        """
        return self.read_data(self.record(task_id))

    def read_data(self, record: CommitRecord) -> bytes:
        """Return the data that a record names, verified.

        Raises
        ------
        CorruptBlob
            The data are missing, or differ from the record in size or digest.
        """
        return self._patience.wait_for(lambda: until_readable(lambda: self._data(record)))

    def _record(self, task_id: str) -> CommitRecord:
        key = commit_key(task_id)
        try:
            text = self._blobs.get(key, LARGEST_RECORD)
        except BlobTooLarge as error:
            raise CorruptBlob(f"{error}. {_cure(task_id)}") from error
        record = CommitRecord.from_json(text, key)
        if record.task != task_id:
            raise CorruptBlob(f"{key} speaks of task {record.task}: delete it to have the task computed again")
        if record.data != data_key(task_id, record.attempt) or not is_attempt(record.attempt):
            raise CorruptBlob(f"{key} names data of another task or attempt ({record.data!r:.120}). {_cure(task_id)}")
        return record

    def _data(self, record: CommitRecord) -> bytes:
        try:
            data = self._blobs.get(record.data, min(record.size, LARGEST_OBJECT))
        except BlobNotFound as error:
            raise CorruptBlob(f"{record.data} is missing. {_cure(record.task)}") from error
        except BlobTooLarge as error:
            raise CorruptBlob(f"{error}. {_cure(record.task)}") from error
        if len(data) != record.size or hashlib.sha256(data).hexdigest() != record.sha256:
            raise CorruptBlob(
                f"{record.data} holds {len(data)} bytes that differ from the {record.size} committed."
                f" {_cure(record.task)}"
            )
        return data

    def _commit_keys(self) -> Iterator[str]:
        return (key for key, _ in self._blobs.list(COMMITS) if key.endswith(".json"))

    def _restore(self, record: CommitRecord, data: bytes) -> None:
        if not self._blobs.exists(record.data):
            self._blobs.put(record.data, data)

    def _settle(self, record: CommitRecord) -> CommitRecord:
        """Create the record and return the one that stands, ours or the winner's."""
        try:
            self._blobs.create(commit_key(record.task), record.to_json())
        except BlobExists:
            pass  # also the answer to our own retried request, when the first answer was lost: read who it is
        except StoreRefused:
            raise
        except StoreUnavailable as silence:
            return self._standing(record, silence)
        else:
            return record
        try:
            return until_readable(lambda: self._record(record.task))
        except BlobNotFound as conflict:
            # Some stores refuse both of two simultaneous creations (409): nobody won, so try again.
            raise CommitUnknown(f"creating {commit_key(record.task)} met a conflict that nobody won") from conflict

    def _standing(self, record: CommitRecord, silence: StoreUnavailable) -> CommitRecord:
        try:
            return until_readable(lambda: self._record(record.task))
        except BlobNotFound:
            raise silence from None

    def _answered(self, step: Callable[[], T], what: str) -> T:
        try:
            return self._patience.wait_for(step)
        except StoreRefused:
            raise
        except StoreUnavailable as error:
            raise CommitUnknown(f"{what}: the store stayed silent for too long; {error}") from error

    def _measure(self, seconds: float) -> None:
        seconds = max(seconds, 0.0)  # the clock of the day may be set back
        self._meter.count("lingshu_commit_seconds_total", seconds)
        self._meter.observe("lingshu_commit_latency_seconds", seconds)

    def _discard(self, record: CommitRecord) -> None:
        # A failure leaves an orphan, which is harmless: readers believe commit records only.
        with contextlib.suppress(StoreUnavailable):
            self._blobs.delete(record.data)


def commit_key(task_id: str) -> str:
    """Return the key of a task's commit record."""
    check_task_id(task_id)
    return f"{COMMITS}/{task_id}.json"


def data_key(task_id: str, attempt: str) -> str:
    """Return the key of the data of one attempt at a task."""
    return f"{DATA}/{task_id}/{attempt}"


def is_attempt(name: str) -> bool:
    """Tell whether this may be the name of an attempt: one segment of a key that leads nowhere else."""
    return "/" not in name and not UNSAFE_SEGMENT.search(name)


def task_of(key: str) -> str:
    """Return the task of which a key is the commit record."""
    return key.removeprefix(f"{COMMITS}/").removesuffix(".json")


def _record_of(task_id: str, data: bytes, replica: str, seconds: float, attempt: str) -> CommitRecord:
    return CommitRecord(
        task=task_id,
        attempt=attempt,
        data=data_key(task_id, attempt),
        size=len(data),
        sha256=hashlib.sha256(data).hexdigest(),
        seconds=round(seconds, 6),
        replica=replica,
        created=datetime.now(UTC).isoformat(timespec="seconds"),
    )


def _cure(task_id: str) -> str:
    return f"Delete {commit_key(task_id)} to have the task computed again."
