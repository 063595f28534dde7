"""`Blobs` over an obstore backend that swaps by itself: S3 and Azure (by ETags), Google (by generations), memory."""

import builtins
import errno
import re
from collections.abc import Iterator
from typing import Any, NoReturn

import obstore
from obstore.exceptions import (
    AlreadyExistsError,
    BaseError,
    PermissionDeniedError,
    PreconditionError,
    UnauthenticatedError,
)

from actors.blob_info import BlobInfo, Versioned
from actors.blob_keys import check_key, is_key
from actors.cloud_stores import S3, Cloud
from actors.errors import (
    BlobChanged,
    BlobExists,
    BlobNotFound,
    BlobTooLarge,
    StoreError,
    StoreFull,
    StoreRefused,
    StoreUnavailable,
)
from actors.size_limits import LARGEST_OBJECT

KEYS_PER_PAGE = 1000
_UNNAMEABLE = re.compile(r"[?%]")
"""What a URL of a bucket can't hold, or would mean something else in it."""
_MISSING_BUCKET = {"ContainerNotFound", "NoSuchBucket"}
_REFUSALS = {
    "AccessDenied",
    "AuthenticationFailed",
    "AuthorizationFailure",
    "InvalidAccessKeyId",
    "NoAuthenticationInformation",
    "SignatureDoesNotMatch",
    *_MISSING_BUCKET,
}
_FULL = re.compile(rf"\(os error ({errno.ENOSPC}|{errno.EDQUOT})\)|<Code>XMinioStorageFull</Code>")
"""How obstore tells a full disk and a quota that is used up, and how MinIO does."""
_MACHINE_ROLE = ("169.254.", "metadata.google.internal")
"""Where a machine's role is asked for once the environment has no credentials."""


class ObstoreBlobs:
    """`Blobs` over any obstore backend, below a prefix of it."""

    def __init__(self, store: Any, url: str, prefix: str = "", cloud: Cloud = S3) -> None:
        self._cloud = cloud
        self._store = store
        self._prefix = f"{prefix}/" if prefix else ""
        self._url = url

    @property
    def url(self) -> str:
        """Where the objects lie, absolute and without credentials."""
        return self._url

    def get(self, key: str, most: int = LARGEST_OBJECT) -> bytes:
        """Return the object's bytes, or raise `BlobNotFound`; `BlobTooLarge` if there are more than `most`."""
        try:
            found = obstore.get(self._store, self._path(key))
            self._check_size(key, found.meta["size"], most)
            return bytes(found.bytes())
        except (BaseError, OSError) as error:
            self._fail("read", key, error)

    def load(self, key: str, most: int = LARGEST_OBJECT) -> Versioned:
        """Return the object's bytes with the version to name in `swap`; errors as in `get`."""
        try:
            found = obstore.get(self._store, self._path(key))
            self._check_size(key, found.meta["size"], most)
            return Versioned(bytes(found.bytes()), _tag(found.meta[self._cloud.version], self._url))
        except (BaseError, OSError) as error:
            self._fail("read", key, error)

    def put(self, key: str, data: bytes) -> None:
        """Store the bytes whole or not at all, over whatever was there."""
        try:
            obstore.put(self._store, self._place(key), data)
        except (BaseError, OSError) as error:
            self._fail("write", key, error)

    def create(self, key: str, data: bytes) -> None:
        """Store the bytes where nothing is stored yet, or raise `BlobExists`."""
        try:
            obstore.put(self._store, self._place(key), data, mode="create", use_multipart=False)
        except (BaseError, OSError) as error:
            self._fail("create", key, error)

    def swap(self, key: str, data: bytes, version: str | None) -> str:
        """Store the bytes where still this version is stored, or raise `BlobChanged`; returns the new version."""
        mode = "create" if version is None else {self._cloud.version: version}
        try:
            answer = obstore.put(self._store, self._place(key), data, mode=mode, use_multipart=False)
            return _tag(answer[self._cloud.version], self._url)
        except (AlreadyExistsError, PreconditionError, FileNotFoundError):
            # A bucket that is missing is told by whatever reads next; S3 answers a missing key with 404 or 412.
            raise BlobChanged(f"cannot swap '{key}' in {self._url}: it is another version by now") from None
        except (BaseError, OSError) as error:
            self._fail("swap", key, error)

    def copy(self, source: str, target: str) -> None:
        """Store one object's bytes under another key too, over whatever was there, or raise `BlobNotFound`."""
        try:
            obstore.copy(self._store, self._path(source), self._place(target))
        except (BaseError, OSError) as error:
            self._fail("copy", source, error)

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
            obstore.delete(self._store, self._place(key))
        except FileNotFoundError:
            return
        except (BaseError, OSError) as error:
            self._fail("delete", key, error)

    def scan(self, prefix: str = "") -> Iterator[BlobInfo]:
        """Yield every object below the folder `prefix`, in no order."""
        folder = f"{self._path(prefix)}/" if prefix else self._prefix
        try:
            for page in obstore.list(self._store, folder, chunk_size=KEYS_PER_PAGE):
                for entry in page:
                    if not entry["path"].startswith(folder):  # a store may answer with anything
                        continue
                    yield BlobInfo(entry["path"].removeprefix(self._prefix), entry["size"], entry["last_modified"])
        except (BaseError, OSError) as error:
            self._fail("list", prefix, error)

    def list(self, prefix: str = "") -> Iterator[tuple[str, int]]:
        """Yield key and size in bytes of every object below the folder `prefix`, in no order."""
        return ((found.key, found.size) for found in self.scan(prefix))

    def folders(self) -> builtins.list[str]:
        """Return the names of the folders directly below the root, sorted; those of which no URL can be made not."""
        try:
            found = obstore.list_with_delimiter(self._store, self._prefix or None)["common_prefixes"]
        except (BaseError, OSError) as error:
            self._fail("list", "", error)
        names = (prefix.rstrip("/").removeprefix(self._prefix) for prefix in found)
        return sorted(name for name in names if is_key(name) and not _UNNAMEABLE.search(name))

    def _path(self, key: str) -> str:
        check_key(key)
        return self._prefix + key

    def _place(self, key: str) -> str:
        """Return the path of a key that is to be written or deleted."""
        return self._path(key)

    def _check_size(self, key: str, size: int, most: int) -> None:
        # The size is that of the answer's head. A body without one is refused by obstore, and a longer body is cut.
        if size > most:
            raise BlobTooLarge(
                f"'{key}' in {self._url} has {size:,} bytes, and at most {max(most, 0):,} are read: it is not what the "
                "engine wrote there"
            )

    def _fail(self, verb: str, key: str, error: Exception) -> NoReturn:
        # `from None`: obstore repeats whole requests and answers, access key ids among them.
        raise _translated(error, f"cannot {verb} '{key}' in {self._url}", self._cloud) from None


def first_line(error: Exception) -> str:
    """Shorten what obstore says to its last clause: the rest repeats URLs and request dumps."""
    line = (str(error).splitlines() or [type(error).__name__])[0]
    return re.sub(r"https?://\S+", "the endpoint", line)[:300]


def _tag(tag: str | None, url: str) -> str:
    if not tag:
        raise StoreUnavailable(
            f"{url} gives no ETag or generation with what it stores, so nothing can be swapped there"
        )
    return tag


def _translated(error: Exception, what: str, cloud: Cloud) -> StoreError:
    text = str(error)
    found = re.search(r"<Code>(\w+)</Code>", text)
    code = found.group(1) if found else ""
    if isinstance(error, AlreadyExistsError):
        return BlobExists(f"{what}: it is there already")
    if code in _REFUSALS or isinstance(error, PermissionDeniedError | UnauthenticatedError | PermissionError):
        return StoreRefused(f"{what}: {_refusal(code, cloud)}")
    if isinstance(error, FileNotFoundError):
        return BlobNotFound(f"{what}: nothing is stored under this key")
    if _FULL.search(text):
        return StoreFull(
            f"{what}: no space is left there. What is committed is safe: free some space, or raise the quota, and run "
            "the same command again to go on"
        )
    if any(place in text for place in _MACHINE_ROLE):
        return StoreRefused(f"{what}: no credentials found. Set {cloud.credentials}, or use a machine role")
    return StoreUnavailable(f"{what}: {first_line(error)}{_endpoint_hint(text, cloud)}")


def _refusal(code: str, cloud: Cloud) -> str:
    if code in _MISSING_BUCKET:
        return f"the {cloud.bucket} does not exist ({code}). Make it, or correct the URL or {cloud.endpoint}"
    return (
        f"access denied{f' ({code})' if code else ''}. Check {cloud.credentials}, and what "
        "they may do here; for a folder, its owner and mode"
    )


def _endpoint_hint(text: str, cloud: Cloud) -> str:
    if "error sending request" not in text:
        return ""
    return f". Is the endpoint right ({cloud.endpoint}), up, and reachable from here?"
