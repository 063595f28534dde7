"""`Blobs` that counts what is asked of a store, and how it answers."""

import builtins
from collections.abc import Iterator
from contextlib import contextmanager

from actors.blob_info import BlobInfo, Versioned
from actors.blobs import Blobs
from actors.errors import StoreRefused, StoreUnavailable
from actors.meter import Meter
from actors.size_limits import LARGEST_OBJECT


class MeteredBlobs:
    """Another store, measured; its answers are passed on as they are."""

    def __init__(self, blobs: Blobs, meter: Meter) -> None:
        self._blobs, self._meter = blobs, meter

    @property
    def url(self) -> str:
        """Where the objects lie, absolute and without credentials."""
        return self._blobs.url

    def get(self, key: str, most: int = LARGEST_OBJECT) -> bytes:
        """Read an object; see `Blobs.get`."""
        with self._measured("get"):
            data = self._blobs.get(key, most)
        self._count_bytes("read", data)
        return data

    def load(self, key: str, most: int = LARGEST_OBJECT) -> Versioned:
        """Read an object and its version; see `Blobs.load`."""
        with self._measured("load"):
            found = self._blobs.load(key, most)
        self._count_bytes("read", found.data)
        return found

    def put(self, key: str, data: bytes) -> None:
        """Write an object; see `Blobs.put`."""
        with self._measured("put"):
            self._blobs.put(key, data)
        self._count_bytes("written", data)

    def create(self, key: str, data: bytes) -> None:
        """Write an object where there is none; see `Blobs.create`."""
        with self._measured("create"):
            self._blobs.create(key, data)
        self._count_bytes("written", data)

    def swap(self, key: str, data: bytes, version: str | None) -> str:
        """Write an object in place of a version; see `Blobs.swap`."""
        with self._measured("swap"):
            swapped = self._blobs.swap(key, data, version)
        self._count_bytes("written", data)
        return swapped

    def copy(self, source: str, target: str) -> None:
        """Copy an object; see `Blobs.copy`."""
        with self._measured("copy"):
            self._blobs.copy(source, target)

    def exists(self, key: str) -> bool:
        """Look for an object; see `Blobs.exists`."""
        with self._measured("exists"):
            return self._blobs.exists(key)

    def delete(self, key: str) -> None:
        """Remove an object; see `Blobs.delete`."""
        with self._measured("delete"):
            self._blobs.delete(key)

    def list(self, prefix: str = "") -> Iterator[tuple[str, int]]:
        """List a folder; see `Blobs.list`."""
        with self._measured("list"):
            yield from self._blobs.list(prefix)

    def scan(self, prefix: str = "") -> Iterator[BlobInfo]:
        """List a folder with times; see `Blobs.scan`."""
        with self._measured("list"):
            yield from self._blobs.scan(prefix)

    def folders(self) -> builtins.list[str]:
        """Return the names of folders; see `Blobs.folders`."""
        with self._measured("list"):
            return self._blobs.folders()

    @contextmanager
    def _measured(self, operation: str) -> Iterator[None]:
        self._meter.count("lingshu_store_requests_total", operation=operation)
        try:
            yield
        except StoreUnavailable as error:
            kind = "refused" if isinstance(error, StoreRefused) else "unavailable"
            self._meter.count("lingshu_store_errors_total", operation=operation, kind=kind)
            raise

    def _count_bytes(self, direction: str, data: bytes) -> None:
        self._meter.count("lingshu_store_bytes_total", len(data), direction=direction)
