"""``lingshu pull``: the results that stand in a bucket, copied into a folder.

Each file is written whole or not at all and checked by its SHA-256, so a pull that was interrupted goes on with the
first file that is not there or differs. ``pulled.json`` in the folder tells what it is a copy of. It is written before
anything else, so that a folder with half of a copy is known for one.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import PurePosixPath
from typing import Any

from actors.blob_keys import is_key
from actors.blobs import Blobs, absolute_url, open_blobs
from actors.errors import BlobNotFound, CorruptBlob
from actors.head import HEAD
from actors.history import History
from actors.manifest import PublishedFile
from actors.redaction import redacted
from actors.size_limits import LARGEST_RECORD
from campaigns.nearest import hint
from screening.errors import ResultsError
from screening.folding.cells_export import CELLS
from screening.folding.effect_store import EFFECTS_STORE
from screening.publishing.publication import MANIFEST, local_path, open_results
from screening.tables.delta_table import LOG

PULLED = "pulled.json"
LARGEST_MARK = 16 * LARGEST_RECORD
STORES: Mapping[str, str] = {CELLS: "cells", EFFECTS_STORE: "effects_of_all"}
"""Zarr stores, and the fact of ``manifest.json`` that says whether there is one."""
READERS = 8
"""A zarr store lies in many files; so many of them are asked for at once."""
OnFile = Callable[[str, int], None]


@dataclass(frozen=True)
class Version:
    """What is to be copied.

    Attributes
    ----------
    name
        What no other version of the place has.
    files
        Plain name → where it lies, its size and digest.
    stores
        Zarr stores that belong to it, which have no versions: drawn cells, effects of all conditions.
    """

    name: str
    files: Mapping[str, PublishedFile]
    stores: tuple[str, ...]


@dataclass
class Pulled:
    """What a pull has done: files and bytes that were copied, and those that were there already."""

    source: str
    folder: str
    copied: int = 0
    copied_bytes: int = 0
    kept: int = 0
    kept_bytes: int = 0
    unverified: int = 0
    """Files of zarr stores, of which nobody wrote down a digest; their size was compared."""

    def describe(self) -> str:
        """Say it in words."""
        there = f"; {self.kept:,} files ({self.kept_bytes:,} bytes) were there already" if self.kept else ""
        told = (
            f"; {self.unverified:,} of zarr stores by size, the others by SHA-256" if self.unverified else " by SHA-256"
        )
        return (
            f"{self.copied:,} files ({self.copied_bytes:,} bytes) copied{there}; checked{told.removeprefix(';')}\n"
            f"{self.folder} is a copy of {self.source}"
        )


@dataclass(frozen=True)
class Mark:
    """What ``pulled.json`` says."""

    source: str
    version: str
    files: tuple[str, ...]
    complete: bool

    def to_json(self) -> bytes:
        """Write it down."""
        content = {"format": 1, "from": self.source, "version": self.version, "files": list(self.files)}
        return json.dumps({**content, "complete": self.complete}, indent=1).encode()


def pull(url: str, folder: str, only: Sequence[str] = (), on_file: OnFile = lambda name, size: None) -> Pulled:
    """Copy the version of some results that stands.

    Parameters
    ----------
    url
        The results: ``s3://`` URL or folder.
    folder
        A local folder; made if it isn't there.
    only
        Names of files (``hits.parquet``) or what they begin with (``hits``, ``evidence``, ``cells``); all if empty.
    on_file
        Hears of each file that was copied, with its size in bytes.

    Raises
    ------
    ResultsError
        If there are no results, nothing of that name, or the folder holds something else.
    StoreError
        If the store can't be reached, or a file is not what was published.
    """
    _check_folder(folder)
    source = open_results(url)
    while True:
        version = standing_version(source)
        wanted = chosen(version, only, source.url)
        try:
            return _copy(source, open_blobs(folder), version, wanted, on_file)
        except (CorruptBlob, BlobNotFound):
            if standing_version(source).name == version.name:  # else it was superseded and collected meanwhile
                raise


def standing_version(source: Blobs) -> Version:
    """Return what stands in a place; of a plain copy of results what its manifest lists.

    Raises
    ------
    ResultsError
        If there are no results.
    """
    history = History(source, patience_seconds=0)
    standing = history.published()
    if standing is not None:
        facts = _content(history.read(standing.files[MANIFEST])) if MANIFEST in standing.files else {}
        return Version(standing.attempt, standing.files, _stores(facts))
    try:
        data = source.get(MANIFEST)
    except BlobNotFound as error:
        text = "no results here: neither versions nor a manifest.json"
        raise ResultsError(f"{source.url}: {text}; give the `output:` of a campaign that ran") from error
    facts = _content(data)
    files = {name: _listed(name, entry, source.url) for name, entry in dict(facts.get("files") or {}).items()}
    files[MANIFEST] = PublishedFile.of(MANIFEST, data)
    return Version(hashlib.sha256(data).hexdigest(), files, _stores(facts))


def _stores(facts: Mapping[str, Any]) -> tuple[str, ...]:
    return tuple(name for name, fact in STORES.items() if facts.get(fact))


def _copy(source: Blobs, target: Blobs, version: Version, wanted: set[str], on_file: OnFile) -> Pulled:
    mark = _mark(target)
    is_newer = mark is not None and mark.version != version.name
    before = set(mark.files) if mark else set()
    there = {*version.files, *version.stores}
    names = wanted | (before & there if is_newer else set())  # no mixture of two versions
    _check_target(source, target, mark, version, names)
    files = tuple(sorted(names | (before & there)))
    target.put(PULLED, Mark(source.url, version.name, files, complete=False).to_json())
    done = Pulled(source.url, str(local_path(target.url)))
    for name in sorted(before - there):
        _remove(target, name)
    for name in sorted(names - set(STORES)):
        _copy_file(source, target, name, version.files[name], done, on_file)
    for name in sorted(names.intersection(STORES)):
        _copy_store(source, target, name, done, on_file, keep=mark is not None and not is_newer)
    target.put(PULLED, Mark(source.url, version.name, files, complete=True).to_json())
    return done


def chosen(version: Version, only: Sequence[str], url: str) -> set[str]:
    """Pick files by their names or by what they begin with; ``manifest.json`` always comes along.

    Raises
    ------
    ResultsError
        If nothing has such a name.
    """
    names = [*version.files, *version.stores]
    if not only:
        return set(names)
    found = {MANIFEST} & set(names)
    for asked in only:
        matching = {
            name for name in names if asked == name or _stem(name) == asked or _stem(name).startswith(f"{asked}_")
        }
        if not matching:
            known = list(dict.fromkeys(map(_stem, names)))
            raise ResultsError(f"{url}: these results have no {asked!r:.80}; {hint(asked, known)}")
        found |= matching
    return found


def _stem(name: str) -> str:
    return PurePosixPath(name).name.partition(".")[0]


def _copy_file(source: Blobs, target: Blobs, name: str, file: PublishedFile, done: Pulled, on_file: OnFile) -> None:
    if _holds(target, name, file):
        done.kept, done.kept_bytes = done.kept + 1, done.kept_bytes + file.size
        return
    target.put(name, History(source).read(file))
    done.copied, done.copied_bytes = done.copied + 1, done.copied_bytes + file.size
    on_file(name, file.size)


def _holds(target: Blobs, name: str, file: PublishedFile) -> bool:
    try:
        return file.holds(target.get(name))
    except BlobNotFound:
        return False


def _copy_store(source: Blobs, target: Blobs, name: str, done: Pulled, on_file: OnFile, *, keep: bool) -> None:
    """Copy a zarr store; with ``keep``, files of the same size are taken for those of a pull that was interrupted."""
    wanted = dict(source.list(name))
    there = dict(target.list(name))
    for key in sorted(set(there) - set(wanted)):  # a chunk that is left over would be read as data
        target.delete(key)
    kept = {key for key, size in wanted.items() if keep and there.get(key) == size}
    done.kept, done.kept_bytes = done.kept + len(kept), done.kept_bytes + sum(wanted[key] for key in kept)
    missing = sorted(set(wanted) - kept)

    def copy(key: str) -> int:
        data = source.get(key)
        target.put(key, data)
        return len(data)

    with ThreadPoolExecutor(READERS) as pool:
        sizes = list(pool.map(copy, missing))
    done.copied, done.copied_bytes = done.copied + len(sizes), done.copied_bytes + sum(sizes)
    done.unverified += len(wanted)
    on_file(name, sum(sizes))


def _remove(target: Blobs, name: str) -> None:
    """Remove a file of an older version, which the newer one hasn't."""
    for key in [key for key, _ in target.list(name)] if name in STORES else [name]:
        target.delete(key)


def _check_folder(folder: str) -> None:
    if "://" in folder and not folder.startswith("file://"):
        raise ResultsError(f"{redacted(folder)}: results are pulled into a local folder; name one")
    path = local_path(absolute_url(folder))
    if path is not None and path.exists() and not path.is_dir():
        raise ResultsError(f"{folder}: is a file; name a folder")


def _mark(target: Blobs) -> Mark | None:
    try:
        content = _content(target.get(PULLED, LARGEST_MARK))
    except BlobNotFound:
        return None
    source, version, files = content.get("from"), content.get("version"), content.get("files")
    if not (isinstance(source, str) and isinstance(version, str) and isinstance(files, list)):
        raise ResultsError(f"{target.url}/{PULLED}: damaged; delete this folder, or name another")
    names = tuple(name for name in files if isinstance(name, str) and is_key(name))
    return Mark(source, version, names, bool(content.get("complete")))


def _check_target(source: Blobs, target: Blobs, mark: Mark | None, version: Version, names: set[str]) -> None:
    """Refuse to write over what is no earlier copy of the same results."""
    if target.url == source.url or target.exists(HEAD) or LOG in target.folders():
        raise ResultsError(f"{target.url}: holds results itself, where campaigns publish; name another folder")
    if mark is not None and mark.source != source.url:
        raise ResultsError(f"{target.url}: holds a copy of {mark.source}; name another folder")
    if mark is None:
        for name in _in_the_way(target, version, names):
            raise ResultsError(f"{target.url}: has another {name}, which would be overwritten; name another folder")


def _in_the_way(target: Blobs, version: Version, names: set[str]) -> Iterator[str]:
    for name in sorted(names):
        if name in STORES:
            there = name in target.folders()
        else:
            there = target.exists(name) and not _holds(target, name, version.files[name])
        if there:
            yield name


def _content(data: bytes) -> dict[str, Any]:
    try:
        content = json.loads(data)
    except (ValueError, RecursionError):
        content = None
    return content if isinstance(content, dict) else {}


def _listed(name: str, entry: object, url: str) -> PublishedFile:
    """Read the size and digest of a file from ``manifest.json``."""
    found = entry if isinstance(entry, dict) else {}
    size, digest = found.get("size"), found.get("sha256")
    if not (is_key(name) and isinstance(size, int) and isinstance(digest, str)):
        raise ResultsError(f"{url}/{MANIFEST}: damaged at {name!r:.80}; publish again")
    return PublishedFile(name, size, digest)
