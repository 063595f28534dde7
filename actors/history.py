"""What was published in one place, version after version, and who may publish next.

::

    ledger/HEAD                       epoch, and the version that stands; moved by compare-and-swap
    ledger/beats/<owner>.json         what that run tells of itself while it runs (`actors.beat`); decides nothing
    ledger/manifests/<number>.json    a version; created if absent, never changed
    runs/<run>/<number>-<attempt>/    its files, under names that no other version uses
    <plain name>                      a copy of the standing version's file, for readers that know no HEAD

A version is published when `HEAD` names it. Which results are committed is for the commit records to say and for
nothing else; a manifest only says which of them its files were made of. Plain copies follow `HEAD`: each is whole, but
for a moment they may be of two versions. Who wants files that belong together reads `published()`.
"""

import contextlib
import hashlib
import time
from collections.abc import Callable, Iterator
from datetime import UTC, datetime

from actors.blobs import Blobs
from actors.errors import BlobChanged, BlobNotFound, BlobTooLarge, CorruptBlob
from actors.head import HEAD, Head
from actors.manifest import Manifest, ManifestReference, PublishedFile, manifest_key
from actors.patience import Patience, until_readable
from actors.size_limits import LARGEST_MANIFEST, LARGEST_OBJECT, LARGEST_RECORD


class History:
    """The versions of one place.

    Parameters
    ----------
    blobs
        The place itself, where plain names lie.
    patience_seconds
        How long a step is tried again while the store does not answer.
    clock
        Seconds since 1970.
    """

    def __init__(
        self,
        blobs: Blobs,
        patience_seconds: float = 60.0,
        sleep: Callable[[float], None] = time.sleep,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self.blobs = blobs
        self.patience = Patience(patience_seconds, sleep)
        self._clock = clock

    def now(self) -> str:
        """Return the time, UTC, ISO 8601."""
        return datetime.fromtimestamp(self._clock(), UTC).isoformat(timespec="seconds")

    def head(self) -> Head | None:
        """Return the head; None where nobody has begun yet.

        Raises
        ------
        CorruptBlob
            It is there and can't be read.
        """
        return self.load()[0]

    def load(self) -> tuple[Head | None, str | None]:
        """Return the head and the version to name in `move`."""
        return self.patience.wait_for(lambda: until_readable(self._load))

    def move(self, head: Head, version: str | None) -> bool:
        """Put another head in place of the version; False if that version does not stand any more.

        An answer that got lost is settled by reading: no two heads are alike.
        """
        return self.patience.wait_for(lambda: self._move(head, version))

    def manifest(self, reference: ManifestReference) -> Manifest:
        """Return a manifest, checked against its digest.

        Raises
        ------
        CorruptBlob
            It is missing, or not what was published.
        """
        return self.patience.wait_for(lambda: until_readable(lambda: self._manifest(reference)))

    def chain(self) -> Iterator[Manifest]:
        """Yield the version that stands, and all before it."""
        head = self.head()
        reference = None if head is None else head.manifest
        while reference is not None:
            manifest = self.manifest(reference)
            yield manifest
            reference = manifest.previous

    def published(self) -> Manifest | None:
        """Return the version that stands; None before the first."""
        return next(self.chain(), None)

    def read(self, file: PublishedFile) -> bytes:
        """Return a file of a version, checked.

        Raises
        ------
        CorruptBlob
            It is missing or damaged.
        """
        return self.patience.wait_for(lambda: until_readable(lambda: self._read(file)))

    def is_whole(self, manifest: Manifest) -> bool:
        """Tell whether a version still has all its files, as they were published."""
        try:
            for file in manifest.all_files.values():
                self.read(file)
        except CorruptBlob:
            return False
        return True

    def mirror(self) -> None:
        """Bring the plain names to the version that stands, until it stands still meanwhile."""
        while True:
            head = self.head()
            if head is None or head.manifest is None:
                return
            manifest = self.manifest(head.manifest)
            with contextlib.suppress(BlobNotFound):  # superseded and collected meanwhile: the next round has the newer
                self._mirror(manifest)
            after = self.head()
            if after is not None and after.manifest == head.manifest:
                return

    def _load(self) -> tuple[Head | None, str | None]:
        try:
            data, version = self.blobs.load(HEAD, LARGEST_RECORD)
        except BlobNotFound:
            return None, None
        return Head.from_json(data), version

    def _move(self, head: Head, version: str | None) -> bool:
        try:
            self.blobs.swap(HEAD, head.to_json(), version)
        except BlobChanged:
            # Also the answer to our own request when it was sent again because the first answer was lost.
            return self.head() == head
        return True

    def _manifest(self, reference: ManifestReference) -> Manifest:
        key = manifest_key(reference.number)
        try:
            data = self.blobs.get(key, LARGEST_MANIFEST)
        except BlobNotFound as error:
            raise CorruptBlob(f"{self.blobs.url}/{key} is missing, and a later version names it") from error
        if hashlib.sha256(data).hexdigest() != reference.sha256:
            raise CorruptBlob(f"{self.blobs.url}/{key} is not what was published: its digest differs")
        return Manifest.from_json(data, key)

    def _read(self, file: PublishedFile) -> bytes:
        where = f"{self.blobs.url}/{file.key}"
        try:
            data = self.blobs.get(file.key, min(file.size, LARGEST_OBJECT))
        except BlobNotFound as error:
            raise CorruptBlob(f"{where} is missing; run the campaign again to publish it anew") from error
        except BlobTooLarge as error:
            raise CorruptBlob(f"{error}. Run the campaign again to publish it anew") from error
        if not file.holds(data):
            raise CorruptBlob(f"{where} is not what was published; run the campaign again to publish it anew")
        return data

    def _mirror(self, manifest: Manifest) -> None:
        for name, file in manifest.files.items():
            self.patience.wait_for(lambda name=name, file=file: self.blobs.copy(file.key, name))  # type: ignore[misc]
        for name in self._names_before(manifest) - set(manifest.files):
            self.patience.wait_for(lambda name=name: self.blobs.delete(name))  # type: ignore[misc]

    def _names_before(self, manifest: Manifest) -> set[str]:
        with contextlib.suppress(CorruptBlob):  # then a file of an earlier run may stay
            return set(self.manifest(manifest.previous).files) if manifest.previous else set()
        return set()
