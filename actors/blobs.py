"""Objects under keys, in memory, in a folder or in a bucket.

One interface over obstore. Beyond plain put, get, list and delete the commit protocol needs two operations: `create`
(put-if-absent), which commits a result, and `swap` (compare-and-swap of what `load` gave), which moves `HEAD`. The
three backends make both atomic, and publish an object whole or not at all (a local file is written beside its place and
then linked into it, so that a crash leaves a stray `NAME#1`, which listings leave out, and never half an object).
"""

import builtins
import os
import threading
import urllib.parse
import urllib.request
import uuid
from collections.abc import Callable, Iterator, Mapping
from datetime import timedelta
from pathlib import Path
from typing import Any, Protocol

from obstore.exceptions import BaseError
from obstore.store import LocalStore, MemoryStore, S3Store

from actors.blob_info import BlobInfo, Versioned
from actors.blob_keys import UNSAFE_SEGMENT
from actors.cloud_stores import AZURE, CLOUDS, GOOGLE, S3, VARIABLES, open_azure, open_google
from actors.errors import (
    BlobChanged,
    BlobExists,
    ConditionalWritesUnsupported,
    StoreUnavailable,
    UnsupportedURL,
)
from actors.folder_blobs import FolderBlobs
from actors.obstore_blobs import ObstoreBlobs, first_line
from actors.redaction import redacted
from actors.size_limits import LARGEST_OBJECT

CLIENT_OPTIONS = {"connect_timeout": "3s", "timeout": "60s"}
RETRIES = {
    "max_retries": 5,
    "retry_timeout": timedelta(seconds=10),
    "backoff": {
        "init_backoff": timedelta(milliseconds=100),
        "max_backoff": timedelta(seconds=2),
        "base": 2,
    },
}
_memory_stores: dict[str, MemoryStore] = {}
_memory_lock = threading.Lock()


class Blobs(Protocol):
    """Objects under keys such as `commits/ab12.json`; `/` separates folders, `..` is refused."""

    @property
    def url(self) -> str:
        """Where the objects lie, absolute and without credentials."""
        ...

    def get(self, key: str, most: int = LARGEST_OBJECT) -> bytes:
        """Return the object's bytes, or raise `BlobNotFound`; `BlobTooLarge` if there are more than `most`.

        Of an object that is too large nothing is read.
        """
        ...

    def load(self, key: str, most: int = LARGEST_OBJECT) -> Versioned:
        """Return the object's bytes with the version to name in `swap`; errors as in `get`."""
        ...

    def put(self, key: str, data: bytes) -> None:
        """Store the bytes whole or not at all, over whatever was there."""
        ...

    def create(self, key: str, data: bytes) -> None:
        """Store the bytes where nothing is stored yet, or raise `BlobExists`."""
        ...

    def swap(self, key: str, data: bytes, version: str | None) -> str:
        """Store the bytes where still this version is stored, or raise `BlobChanged`; returns the new version.

        Version `None` is that of nothing. What is swapped is only ever loaded and swapped, never put or created, and
        never becomes what it was before (an ETag may be a digest of the content).
        """
        ...

    def copy(self, source: str, target: str) -> None:
        """Store one object's bytes under another key too, over whatever was there, or raise `BlobNotFound`."""
        ...

    def exists(self, key: str) -> bool:
        """Tell whether an object is stored under exactly this key."""
        ...

    def delete(self, key: str) -> None:
        """Remove the object; removing nothing is no error."""
        ...

    def list(self, prefix: str = "") -> Iterator[tuple[str, int]]:
        """Yield key and size in bytes of every object below the folder `prefix`, in no order."""
        ...

    def scan(self, prefix: str = "") -> Iterator[BlobInfo]:
        """Yield every object below the folder `prefix`, in no order, with the time of its writing."""
        ...

    def folders(self) -> builtins.list[str]:
        """Return the names of the folders directly below the root, sorted; those of which no URL can be made not."""
        ...


def open_blobs(url: str) -> Blobs:
    """Open a store by its URL; nothing is read or written yet.

    Parameters
    ----------
    url
        `memory://name`, `file:///folder`, a plain path, `s3://bucket/prefix`, `gs://bucket/prefix` (Google) or
        `az://container/prefix` (Azure). Credentials of the last two come from the environment too, under the names
        that `actors.cloud_stores` lists. Credentials, region and endpoint
        of S3 come from the environment only (`AWS_ACCESS_KEY_ID`, `AWS_SECRET_ACCESS_KEY`, `AWS_SESSION_TOKEN`,
        `AWS_REGION`, `AWS_ENDPOINT_URL`), or from the machine's role.

    Raises
    ------
    UnsupportedURL
        Another scheme, no bucket, or credentials written into the URL.
    StoreUnavailable
        The folder cannot be made.
    StoreRefused
        The environment's credentials of Google or Azure can't be any.
    """
    url = absolute_url(url)
    scheme, _, rest = url.partition("://")
    if scheme == "file":
        return FolderBlobs(_local_store(url), url)
    name, _, prefix = rest.partition("/")
    if scheme == "memory":
        return ObstoreBlobs(_memory_store(name), url, prefix)
    if scheme == "gs":
        return ObstoreBlobs(open_google(name, os.environ, CLIENT_OPTIONS, RETRIES), url, prefix, GOOGLE)
    if scheme == "az":
        return ObstoreBlobs(open_azure(name, os.environ, CLIENT_OPTIONS, RETRIES), url, prefix, AZURE)
    return ObstoreBlobs(_s3_store(name, os.environ), url, prefix)


def absolute_url(url: str) -> str:
    """Write a store URL so that it means the same in every process of a machine.

    Raises
    ------
    UnsupportedURL
        As `open_blobs`.
    """
    scheme, separator, rest = url.partition("://")
    if not separator:
        return _folder_url(Path(url), url)
    if scheme == "file":
        return _folder_url(_file_path(url), url)
    if scheme not in ("memory", *CLOUDS):
        raise UnsupportedURL(
            f"{redacted(url)}: {scheme}:// is no store this engine knows: use s3://, gs:// or az://NAME/prefix, or "
            "a folder"
        )
    name, *segments = rest.rstrip("/").split("/")
    # A `:` in the name: of a secret with a `/` in it only the first half stands there.
    if not name or "@" in name or ":" in name or "?" in rest or any(UNSAFE_SEGMENT.search(part) for part in segments):
        raise UnsupportedURL(
            f"{redacted(url)}: a store URL reads {scheme}://NAME/prefix, with no credentials, '?', '..' or empty parts "
            f"in it; credentials come from {CLOUDS.get(scheme, S3).credentials}"
        )
    return f"{scheme}://{'/'.join([name, *segments])}"


def store_environment(environment: Mapping[str, str]) -> dict[str, str]:
    """Pick the variables that decide how buckets are reached, to be handed to a process elsewhere."""
    return {name: value for name, value in environment.items() if name.startswith(VARIABLES)}


def probe_conditional_writes(blobs: Blobs) -> None:
    """Create a key twice and swap a version twice; refuse a store on which the second time succeeds.

    Raises
    ------
    ConditionalWritesUnsupported
        The store ignored put-if-absent or compare-and-swap.
    StoreUnavailable
        The store cannot be written at all.
    """
    key = f"probe/{uuid.uuid4().hex}"
    blobs.create(key, b"first")  # before the clean-up, whose own failure would hide this one
    try:
        _probe(lambda: blobs.create(key, b"second"), blobs.url, "create only if absent (If-None-Match: *)")
        version = blobs.load(key).version
        blobs.swap(key, b"third", version)
        _probe(lambda: blobs.swap(key, b"fourth", version), blobs.url, "replace only if unchanged (If-Match)")
    finally:
        blobs.delete(key)


def _probe(write: Callable[[], object], url: str, asked: str) -> None:
    """Write what has to be refused."""
    try:
        write()
    except (BlobExists, BlobChanged):
        return
    raise ConditionalWritesUnsupported(
        f"{url} overwrites an object that it was asked to {asked}, so two processes could both believe that they were "
        "first. Use a store with conditional writes (AWS S3, MinIO, SeaweedFS 4, Ceph RGW, a local folder), or update "
        "the server."
    )


def _file_path(url: str) -> Path:
    parts = urllib.parse.urlsplit(url)
    if parts.netloc not in ("", "localhost"):
        raise UnsupportedURL(f"{redacted(url)} names a host: write file:///folder with three slashes, or a plain path")
    return Path(urllib.request.url2pathname(parts.path))


def _folder_url(path: Path, url: str) -> str:
    if not url or "\x00" in url:
        raise UnsupportedURL("an empty path is no store: name a folder, or s3://bucket/prefix")
    return path.expanduser().resolve().as_uri()


def _local_store(url: str) -> Any:
    folder = _file_path(url)
    try:
        return LocalStore(prefix=folder, mkdir=True)
    except (BaseError, OSError) as error:
        raise StoreUnavailable(
            f"cannot make the folder {folder}: {first_line(error)}. Choose a folder that you may write."
        ) from None


def _memory_store(name: str) -> Any:
    with _memory_lock:
        return _memory_stores.setdefault(name, MemoryStore())


def _s3_store(bucket: str, environment: Mapping[str, str]) -> Any:
    endpoint = environment.get("AWS_ENDPOINT_URL_S3") or environment.get("AWS_ENDPOINT_URL")
    options = CLIENT_OPTIONS | {"allow_http": _allows_http(endpoint, environment)}
    region = environment.get("AWS_REGION") or environment.get("AWS_DEFAULT_REGION") or "us-east-1"
    place = {"endpoint": endpoint} if endpoint else {}
    return S3Store(bucket, region=region, client_options=options, retry_config=RETRIES, **place)


def _allows_http(endpoint: str | None, environment: Mapping[str, str]) -> bool:
    allowed = environment.get("AWS_ALLOW_HTTP", "").lower() in ("1", "true", "yes")
    return allowed or (endpoint or "").startswith("http://")
