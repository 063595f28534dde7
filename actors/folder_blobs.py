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
"""

import contextlib

from actors.blob_info import Versioned
from actors.errors import BlobChanged, BlobExists, StoreUnavailable
from actors.obstore_blobs import ObstoreBlobs


class FolderBlobs(ObstoreBlobs):
    """`Blobs` over a local file system."""

    def load(self, key: str) -> Versioned:
        """Return the newest version's bytes with the version to name in `swap`, or raise `BlobNotFound`."""
        number = self._newest(key)
        return Versioned(self.get(_version(key, number) if number else key), str(number))

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


def _version(key: str, number: int) -> str:
    return f"{key}.versions/{number}"
