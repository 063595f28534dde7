"""`Blobs` in a folder, with a compare-and-swap made of nothing but put-if-absent.

File systems know no compare-and-swap. A lock would need one that works on every node of a cluster (`flock` is silently
local on some Lustre mounts), and would have to be broken when its holder is gone, which is the very case that matters:
a holder that is not gone but slow would then write beside the next one. So there is no lock. The versions of `KEY` are
the files `KEY.versions/1`, `KEY.versions/2`, …; to swap version 4 is to create version 5 if absent (`link`, atomic on
local disks and on NFS). Of two who try, one finds it taken: that is the swap that failed. Nobody ever waits for
anybody, and a crash leaves either no version 5 or a whole one.

- The newest version is the truth; versions are never deleted, because a deleted number could be won a second time by
  somebody who slept. They are some hundred bytes each, one for every swap.
- The plain file `KEY` follows each swap, for people and for copies of the folder to elsewhere. A crash may leave it one
  version behind. Where there is no `KEY.versions`, as in a copy that came from a bucket, the plain file is version 0.

Links lead nowhere: a folder below the root that is a symbolic link is not listed, and nothing is written or deleted
behind it, so that what somebody has planted or forgotten there can't make us touch files that are not ours.
"""

import builtins
import contextlib
import os
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from actors.blob_info import BlobInfo, Versioned
from actors.blob_keys import check_key, is_key
from actors.errors import BlobChanged, BlobExists, StoreUnavailable, UnsafeKey
from actors.obstore_blobs import ObstoreBlobs
from actors.size_limits import LARGEST_OBJECT


class FolderBlobs(ObstoreBlobs):
    """`Blobs` over a local file system."""

    def __init__(self, store: Any, url: str) -> None:
        super().__init__(store, url)
        self._folder = Path(store.prefix).resolve()

    def load(self, key: str, most: int = LARGEST_OBJECT) -> Versioned:
        """Return the newest version's bytes with the version to name in `swap`; errors as in `get`."""
        number = self._newest(key)
        return Versioned(self.get(_version(key, number) if number else key, most), str(number))

    def swap(self, key: str, data: bytes, version: str | None) -> str:
        """Store the bytes where still this version is stored, or raise `BlobChanged`; returns the new version."""
        if version is None and self.exists(key):
            raise BlobChanged(f"cannot swap '{key}' in {self.url}: it is there already")
        number = int(version or 0) + 1
        try:
            self.create(_version(key, number), data)
        except BlobExists:
            raise BlobChanged(f"cannot swap '{key}' in {self.url}: it is another version by now") from None
        self._follow(key, number, data)
        return str(number)

    def delete(self, key: str) -> None:
        """Remove the object with all its versions; removing nothing is no error."""
        for name, _ in list(self.list(f"{key}.versions")):
            super().delete(name)
        super().delete(key)

    def scan(self, prefix: str = "") -> Iterator[BlobInfo]:
        """Yield every object below the folder `prefix`, in no order."""
        if prefix:
            check_key(prefix)
        folder = self._folder / prefix
        if not _is_real(folder):
            return
        try:
            for entry in _files(folder):
                key = Path(entry.path).relative_to(self._folder).as_posix()
                with contextlib.suppress(FileNotFoundError):  # deleted since, or a link to nothing
                    found = entry.stat()
                    if _is_nameable(key):
                        yield BlobInfo(key, found.st_size, datetime.fromtimestamp(found.st_mtime, UTC))
        except OSError as error:
            self._fail("list", prefix, error)

    def folders(self) -> builtins.list[str]:
        """Return the names of the folders directly below the root, sorted; links and odd names not."""
        try:
            with os.scandir(self._folder) as entries:
                names = [entry.name for entry in entries if entry.is_dir(follow_symlinks=False)]
        except OSError as error:
            self._fail("list", "", error)
        return sorted(name for name in names if _is_nameable(name))

    def _place(self, key: str) -> str:
        place = self._path(key)
        folder = (self._folder / place).parent
        if not _is_real(folder):
            raise UnsafeKey(
                f"'{key}' in {self.url} is behind a symbolic link to {os.path.realpath(folder)}: nothing is written "
                "or deleted there. Remove the link, or name the folder that it leads to"
            )
        return place

    def _newest(self, key: str) -> int:
        names = (name.rpartition("/")[2] for name, _ in self.list(f"{key}.versions"))
        number = max((int(name) for name in names if name.isdecimal()), default=0)
        # A listing may be older than a swap that is over; whether the next version exists is not.
        while self.exists(_version(key, number + 1)):
            number += 1
        return number

    def _follow(self, key: str, number: int, data: bytes) -> None:
        """Bring the plain file up to date; if another swap came in between, to that one."""
        with contextlib.suppress(StoreUnavailable):  # the swap is done, and the plain file decides nothing
            while True:
                self.put(key, data)
                newest = self._newest(key)
                if newest <= number:
                    return
                number, data = newest, self.get(_version(key, newest))


def _files(folder: Path | str) -> Iterator[os.DirEntry[str]]:
    """Yield the files below a folder; links to files among them, links to folders not."""
    try:
        entries = os.scandir(folder)
    except (FileNotFoundError, NotADirectoryError):
        return
    with entries:
        for entry in entries:
            if entry.is_dir(follow_symlinks=False):
                yield from _files(entry.path)
            elif entry.is_file():
                yield entry


def _is_real(folder: Path) -> bool:
    """Tell whether no part of an absolute path is a link."""
    return os.path.realpath(folder) == str(folder)


def _is_nameable(key: str) -> bool:
    """Tell whether a file can be asked for: strays of a killed writer (`NAME#1`) and odd names can't."""
    return is_key(key) and key.isprintable()


def _version(key: str, number: int) -> str:
    return f"{key}.versions/{number}"
