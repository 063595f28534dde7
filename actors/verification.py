"""Whether what is stored is what was promised: every record read, every byte hashed again."""

from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from itertools import islice, pairwise
from typing import TypeVar

from actors.errors import BlobNotFound, CorruptBlob
from actors.head import Head
from actors.history import History
from actors.ledger import COMMITS, CommitRecord, Ledger, commit_key, task_of
from actors.manifest import Manifest, PublishedFile, manifest_key, read_commit_lines
from actors.orphans import kept_versions
from actors.tasks import is_task_id

T = TypeVar("T")
U = TypeVar("U")
READERS = 8
"""How many objects are read at once: a bucket answers slowly, and many at a time."""

OnObject = Callable[[int], None]


@dataclass(frozen=True, slots=True)
class Flaw:
    """An object that is not what was promised, and what to do."""

    key: str
    text: str


@dataclass
class Verification:
    """What was looked at and what is wrong with it.

    Attributes
    ----------
    results
        Committed results by task: the SHA-256 that their records promise. Those that are damaged are here too.
    size
        Bytes that were hashed.
    """

    results: dict[str, str] = field(default_factory=dict)
    versions: int = 0
    files: int = 0
    size: int = 0
    flaws: list[Flaw] = field(default_factory=list)

    @property
    def objects(self) -> int:
        """How many objects were read."""
        return len(self.results) + self.versions + self.files

    def note(self, key: str, problem: str) -> None:
        """Note a flaw."""
        self.flaws.append(Flaw(key, problem))


def verify_ledger(
    ledger: Ledger, found: Verification, tasks: Iterable[str] | None = None, on_object: OnObject | None = None
) -> None:
    """Hash the data of committed results again.

    Parameters
    ----------
    tasks
        Which; all that are committed if None.
    on_object
        Hears how many objects were read so far.
    """
    asked = _tasks(ledger, found) if tasks is None else tasks
    for task, record, problem in _in_parallel(lambda task: _verify_result(ledger, task), asked):
        if record is not None:
            found.results[task] = record.sha256
            found.size += record.size
        if problem:
            found.note(f"{COMMITS}/{task}.json", problem)
        if on_object is not None:
            on_object(found.objects)


def verify_history(history: History, found: Verification, on_object: OnObject | None = None) -> list[Manifest]:
    """Follow the chain of versions, hash the files of those that are kept, and the plain copies; returns the kept."""
    chain = list(_chain(history, found))
    found.versions += len(chain)
    kept = kept_versions(chain)
    for manifest in kept:
        for file in manifest.all_files.values():
            _verify_file(history, file, found)
            if on_object is not None:
                on_object(found.objects)
    for name, file in (chain[0].files if chain else {}).items():
        _verify_copy(history, name, file, found)
    return kept


def listed_results(history: History, manifest: Manifest, found: Verification) -> dict[str, str]:
    """Return the results that a version was made of, task → SHA-256; none if its list is damaged."""
    try:
        return read_commit_lines(history.read(manifest.commits))
    except CorruptBlob:  # noted among its files
        return {}


def compare_results(manifest: Manifest, listed: dict[str, str], found: Verification) -> None:
    """Note results that a version was made of, and that are not committed any more, or with other bytes."""
    noted = {flaw.key for flaw in found.flaws}
    for task, sha256 in listed.items():
        key = commit_key(task)
        if key in noted or found.results.get(task) == sha256:
            continue
        if task in found.results:
            problem = f"promises other bytes than version {manifest.number} was made of. Run the campaign again"
        else:
            problem = f"is gone, and version {manifest.number} was made of it. Run the campaign again"
        found.note(key, problem)


def _tasks(ledger: Ledger, found: Verification) -> Iterator[str]:
    for key, _ in ledger.blobs.list(COMMITS):
        task = task_of(key)
        if is_task_id(task) and key == f"{COMMITS}/{task}.json":
            yield task
        else:
            found.note(key, "is no name of a commit record; nobody reads it. Delete it.")


def _verify_result(ledger: Ledger, task: str) -> tuple[str, CommitRecord | None, str]:
    record = None
    try:
        record = ledger.record(task)
        ledger.read_data(record)
    except (CorruptBlob, BlobNotFound) as error:
        return task, record, str(error)
    return task, record, ""


def _chain(history: History, found: Verification) -> Iterator[Manifest]:
    try:
        head = history.head()
        seen: list[Manifest] = []
        for manifest in history.chain():
            seen.append(manifest)
            yield manifest
    except CorruptBlob as error:
        found.note("ledger", str(error))
        return
    if head is not None:
        _verify_order(head, seen, found)


def _verify_order(head: Head, chain: list[Manifest], found: Verification) -> None:
    for later, earlier in pairwise(chain):
        if earlier.number >= later.number or earlier.epoch > later.epoch:
            found.note(
                manifest_key(later.number), f"does not come after {manifest_key(earlier.number)}, which it names"
            )
    if chain and chain[0].epoch > head.epoch:
        found.note("ledger/HEAD", f"is of epoch {head.epoch}, and its version of the later epoch {chain[0].epoch}")


def _verify_file(history: History, file: PublishedFile, found: Verification) -> None:
    found.files += 1
    try:
        found.size += len(history.read(file))
    except CorruptBlob as error:
        found.note(file.key, str(error))


def _verify_copy(history: History, name: str, file: PublishedFile, found: Verification) -> None:
    found.files += 1
    try:
        found.size += len(history.read(PublishedFile(name, file.size, file.sha256)))
    except CorruptBlob:
        found.note(
            name,
            f"is missing, or not the version that stands ({file.key}). Run the campaign again to have it copied",
        )


def _in_parallel(look: Callable[[T], U], items: Iterable[T]) -> Iterator[U]:
    """Give the answers in order, with a bounded number of questions under way."""
    remaining = iter(items)
    with ThreadPoolExecutor(READERS) as readers:
        while batch := list(islice(remaining, 32 * READERS)):
            yield from readers.map(look, batch)
