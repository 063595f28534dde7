"""Immutable objects under keys, in memory, in a folder or in a bucket.

One interface over obstore. `create` (put-if-absent) is the only operation that the commit protocol needs beyond
plain put, get, list and delete; the three backends all make it atomic, and publish an object whole or not at all
(a local file is written beside its place and then linked into it, so that a crash leaves a stray `NAME#1`, which
listings leave out, and never half an object).
"""

import os
import re
import threading
import urllib.parse
import urllib.request
import uuid
from collections.abc import Iterator, Mapping
from datetime import timedelta
from pathlib import Path
from typing import Any, NoReturn, Protocol

import obstore
from obstore.exceptions import AlreadyExistsError, BaseError, PermissionDeniedError, UnauthenticatedError
from obstore.store import LocalStore, MemoryStore, S3Store

from actors.errors import (
    BlobExists,
    BlobNotFound,
    ConditionalWritesUnsupported,
    StoreError,
    StoreRefused,
    StoreUnavailable,
    UnsafeKey,
    UnsupportedURL,
)

KEYS_PER_PAGE = 1000
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
# obstore stages local files under NAME#1 and refuses such names; `\` and control characters differ by platform.
_UNSAFE_SEGMENT = re.compile(r"^\.{0,2}$|[\\#\x00-\x1f\x7f]")
_REFUSALS = {"AccessDenied", "InvalidAccessKeyId", "NoSuchBucket", "SignatureDoesNotMatch"}
_memory_stores: dict[str, MemoryStore] = {}
_memory_lock = threading.Lock()


class Blobs(Protocol):
    """Objects under keys such as `commits/ab12.json`; `/` separates folders, `..` is refused."""

    @property
    def url(self) -> str:
        """Where the objects lie, absolute and without credentials."""
        ...

    def get(self, key: str) -> bytes:
        """Return the object's bytes, or raise `BlobNotFound`."""
        ...

    def put(self, key: str, data: bytes) -> None:
        """Store the bytes whole or not at all, over whatever was there."""
        ...

    def create(self, key: str, data: bytes) -> None:
        """Store the bytes where nothing is stored yet, or raise `BlobExists`."""
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


class ObstoreBlobs:
    """`Blobs` over any obstore backend, below a prefix of it."""

    def __init__(self, store: Any, url: str, prefix: str = "") -> None:
        self._store = store
        self._prefix = f"{prefix}/" if prefix else ""
        self._url = url

    @property
    def url(self) -> str:
        """Where the objects lie, absolute and without credentials."""
        return self._url

    def get(self, key: str) -> bytes:
        """Return the object's bytes, or raise `BlobNotFound`."""
        try:
            return bytes(obstore.get(self._store, self._path(key)).bytes())
        except (BaseError, OSError) as error:
            self._fail("read", key, error)

    def put(self, key: str, data: bytes) -> None:
        """Store the bytes whole or not at all, over whatever was there."""
        try:
            obstore.put(self._store, self._path(key), data)
        except (BaseError, OSError) as error:
            self._fail("write", key, error)

    def create(self, key: str, data: bytes) -> None:
        """Store the bytes where nothing is stored yet, or raise `BlobExists`."""
        try:
            obstore.put(self._store, self._path(key), data, mode="create", use_multipart=False)
        except (BaseError, OSError) as error:
            self._fail("create", key, error)

    def exists(self, key: str) -> bool:
        """Tell whether an object is stored under exactly this key."""
        try:
            obstore.head(self._store, self._path(key))
        except FileNotFoundError:
            return False
        except (BaseError, OSError) as error:
            self._fail("look up", key, error)
        return True

    def delete(self, key: str) -> None:
        """Remove the object; removing nothing is no error."""
        try:
            obstore.delete(self._store, self._path(key))
        except FileNotFoundError:
            return
        except (BaseError, OSError) as error:
            self._fail("delete", key, error)

    def list(self, prefix: str = "") -> Iterator[tuple[str, int]]:
        """Yield key and size in bytes of every object below the folder `prefix`, in no order."""
        folder = self._path(prefix) if prefix else self._prefix
        try:
            for page in obstore.list(self._store, folder, chunk_size=KEYS_PER_PAGE):
                for entry in page:
                    yield entry["path"].removeprefix(self._prefix), entry["size"]
        except (BaseError, OSError) as error:
            self._fail("list", prefix, error)

    def _path(self, key: str) -> str:
        check_key(key)
        return self._prefix + key

    def _fail(self, verb: str, key: str, error: Exception) -> NoReturn:
        # `from None`: obstore repeats whole requests and answers, access key ids among them.
        raise _translated(error, f"cannot {verb} '{key}' in {self._url}") from None


def open_blobs(url: str) -> Blobs:
    """Open a store by its URL; nothing is read or written yet.

    Parameters
    ----------
    url
        `memory://name`, `file:///folder`, a plain path, or `s3://bucket/prefix`. Credentials, region and endpoint
        of S3 come from the environment only (`AWS_ACCESS_KEY_ID`, `AWS_SECRET_ACCESS_KEY`, `AWS_SESSION_TOKEN`,
        `AWS_REGION`, `AWS_ENDPOINT_URL`), or from the machine's role.

    Raises
    ------
    UnsupportedURL
        Another scheme, no bucket, or credentials written into the URL.
    StoreUnavailable
        The folder cannot be made.
    """
    url = absolute_url(url)
    scheme, _, rest = url.partition("://")
    if scheme == "file":
        return ObstoreBlobs(_local_store(url), url)
    name, _, prefix = rest.partition("/")
    if scheme == "memory":
        return ObstoreBlobs(_memory_store(name), url, prefix)
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
    if scheme not in ("memory", "s3"):
        raise UnsupportedURL(
            f"{scheme}:// is no store this engine knows: use s3://bucket/prefix, file:///folder or a path"
        )
    name, *segments = rest.rstrip("/").split("/")
    if not name or "@" in name or "?" in rest or any(_UNSAFE_SEGMENT.search(part) for part in segments):
        raise UnsupportedURL(
            f"a store URL reads {scheme}://NAME/prefix, with no credentials, '?', '..' or empty parts in it; "
            "credentials come from AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY"
        )
    return f"{scheme}://{'/'.join([name, *segments])}"


def store_environment(environment: Mapping[str, str]) -> dict[str, str]:
    """Pick the variables that decide how S3 is reached, to be handed to a process elsewhere."""
    return {name: value for name, value in environment.items() if name.startswith("AWS_")}


def check_key(key: str) -> None:
    """Refuse keys that leave the root or that some store cannot hold.

    Raises
    ------
    UnsafeKey
        Absolute keys, empty segments, `.`, `..`, `#`, backslashes and control characters.
    """
    if any(_UNSAFE_SEGMENT.search(segment) for segment in key.split("/")):
        raise UnsafeKey(
            f"{key!r} is no key: write folder/name without a leading or trailing '/', '.', '..', '#' or '\\'"
        )


def probe_conditional_writes(blobs: Blobs) -> None:
    """Create the same key twice, and refuse a store on which the second time succeeds.

    Raises
    ------
    ConditionalWritesUnsupported
        The store ignored put-if-absent.
    StoreUnavailable
        The store cannot be written at all.
    """
    key = f"probe/{uuid.uuid4().hex}"
    blobs.create(key, b"first")
    try:
        blobs.create(key, b"second")
    except BlobExists:
        return
    finally:
        blobs.delete(key)
    raise ConditionalWritesUnsupported(
        f"{blobs.url} overwrites an object that it was asked to create only if absent (If-None-Match: *), so two "
        "replicas could both believe that they committed. Use a store with conditional writes (AWS S3, MinIO, "
        "SeaweedFS 4, Ceph RGW, a local folder), or update the server."
    )


def _file_path(url: str) -> Path:
    parts = urllib.parse.urlsplit(url)
    if parts.netloc not in ("", "localhost"):
        raise UnsupportedURL(f"{url} names a host: write file:///folder with three slashes, or a plain path")
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
            f"cannot make the folder {folder}: {_first_line(error)}. Choose a folder that you may write."
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


def _translated(error: Exception, what: str) -> StoreError:
    text = str(error)
    found = re.search(r"<Code>(\w+)</Code>", text)
    code = found.group(1) if found else ""
    if isinstance(error, AlreadyExistsError):
        return BlobExists(f"{what}: it is there already")
    if code in _REFUSALS or isinstance(error, PermissionDeniedError | UnauthenticatedError | PermissionError):
        return StoreRefused(f"{what}: {_refusal(code)}")
    if isinstance(error, FileNotFoundError):
        return BlobNotFound(f"{what}: nothing is stored under this key")
    if "169.254." in text:
        return StoreRefused(
            f"{what}: no credentials found. Set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, or use a machine role"
        )
    return StoreUnavailable(f"{what}: {_first_line(error)}{_endpoint_hint(text)}")


def _refusal(code: str) -> str:
    if code == "NoSuchBucket":
        return "the bucket does not exist (NoSuchBucket). Make it, or correct the URL or AWS_ENDPOINT_URL"
    return (
        f"access denied{f' ({code})' if code else ''}. Check AWS_ACCESS_KEY_ID, AWS_SECRET_ACCESS_KEY and what "
        "they may do here; for a folder, its owner and mode"
    )


def _first_line(error: Exception) -> str:
    """Shorten what obstore says to its last clause: the rest repeats URLs and request dumps."""
    line = (str(error).splitlines() or [type(error).__name__])[0]
    return re.sub(r"https?://\S+", "the endpoint", line)[:300]


def _endpoint_hint(text: str) -> str:
    if "error sending request" not in text:
        return ""
    return ". Is the endpoint right (AWS_ENDPOINT_URL), up, and reachable from here?"
