"""What nobody will read again: data of attempts that lost or died, files of versions that are superseded.

Nothing that a record names is ever removed, and all of it is safe beside a running screen:

- Data are removed if they are older than the grace and, looked up once more just before, no commit record names them.
  An attempt takes seconds between its data and its record. One that slept for longer than the grace in between looks
  after its data when it wakes (`actors.ledger`).
- Files of a version are removed if no version that is kept names them. Kept are the one that stands and the newest of
  each run. Before anything is removed `HEAD` is moved (`sweeps`), so that a publication that had begun before, whose
  files may look like orphans, has to begin anew.
"""

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, replace
from datetime import datetime
from itertools import pairwise

from actors.beat import BEATS, beat_key
from actors.blob_info import BlobInfo
from actors.blobs import Blobs
from actors.errors import BlobNotFound, CorruptBlob
from actors.history import History
from actors.ledger import DATA, Ledger
from actors.manifest import MANIFESTS, RUNS, Manifest, manifest_key
from actors.tasks import is_task_id

PROBES = "probe"


@dataclass(frozen=True, slots=True)
class Orphan:
    """An object that may go: key in its store, size in bytes, and why."""

    key: str
    size: int
    why: str


def orphans_of_ledger(ledger: Ledger, before: datetime) -> Iterator[Orphan]:
    """Yield data that no commit record names, written before a time."""
    attempts = Counter(task for task, _ in _data(ledger))
    committed = ledger.committed()  # after the listing of the data: what has come in between is not an orphan
    for task, found in _data(ledger):
        # The only data of a committed task are those of its record. It takes no reading to keep them.
        if found.modified < before and (task not in committed or attempts[task] > 1) and not _is_named(ledger, found):
            why = "lost the race for its block" if task in committed else "no commit record names it"
            yield Orphan(found.key, found.size, why)
    yield from _probes(ledger.blobs, before)


def orphans_of_history(history: History, before: datetime) -> Iterator[Orphan]:
    """Yield files of versions that no kept version names, superseded or written before a time.

    Raises
    ------
    CorruptBlob
        The chain of versions can't be read, so nothing can be told of any.
    """
    chain = list(history.chain())
    spared = _spared(chain, before)
    for found in history.blobs.scan(RUNS):
        if found.modified < before and found.key.count("/") >= 3 and found.key not in spared:
            yield Orphan(found.key, found.size, "of a version that is superseded or never stood")
    numbers = {manifest_key(manifest.number) for manifest in chain}
    for found in history.blobs.scan(MANIFESTS):
        if found.modified < before and found.key not in numbers:
            yield Orphan(found.key, found.size, "of a version that never stood")
    head = history.head()
    for found in history.blobs.scan(BEATS):
        if found.modified < before and (head is None or found.key != beat_key(head.owner)):
            yield Orphan(found.key, found.size, "told of a run that was taken over")
    yield from _probes(history.blobs, before)


def delete_from_ledger(ledger: Ledger, before: datetime) -> Iterator[Orphan]:
    """Remove orphans of a ledger, yielding each that is gone."""
    for orphan in list(orphans_of_ledger(ledger, before)):
        ledger.blobs.delete(orphan.key)
        yield orphan


def delete_from_history(history: History, before: datetime) -> Iterator[Orphan]:
    """Remove orphans of a history, yielding each that is gone."""
    if not any(orphans_of_history(history, before)):
        return
    _sweep(history)
    for orphan in list(orphans_of_history(history, before)):  # as it is after the sweep
        history.blobs.delete(orphan.key)
        yield orphan


def kept_versions(chain: list[Manifest]) -> list[Manifest]:
    """Return the newest version of each run, of a chain that begins with the newest."""
    newest: dict[str, Manifest] = {}
    for manifest in chain:
        newest.setdefault(manifest.run, manifest)
    return list(newest.values())


def _spared(chain: list[Manifest], before: datetime) -> set[str]:
    """Return keys of files that stay: of kept versions, and of those that were superseded only lately."""
    spared = {key for manifest in kept_versions(chain) for key in manifest.all_files}
    for later, manifest in pairwise(chain):
        if datetime.fromisoformat(later.created) >= before:
            spared |= manifest.all_files.keys()
    return spared


def _sweep(history: History) -> None:
    while True:
        head, version = history.load()
        if head is None or history.move(replace(head, sweeps=head.sweeps + 1), version):
            return


def _data(ledger: Ledger) -> Iterator[tuple[str, BlobInfo]]:
    for found in ledger.blobs.scan(DATA):
        parts = found.key.split("/")
        if len(parts) == 3 and is_task_id(parts[1]):  # whatever else lies there is not ours
            yield parts[1], found


def _is_named(ledger: Ledger, found: BlobInfo) -> bool:
    try:
        return ledger.record(found.key.split("/")[1]).data == found.key
    except BlobNotFound:
        return False
    except CorruptBlob:  # who knows; `lingshu verify` tells
        return True


def _probes(blobs: Blobs, before: datetime) -> Iterator[Orphan]:
    for found in blobs.scan(PROBES):
        if found.modified < before:
            yield Orphan(found.key, found.size, "left by a probe of the store")
