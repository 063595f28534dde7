"""What a store tells of an object."""

from datetime import datetime
from typing import NamedTuple


class Versioned(NamedTuple):
    """An object's bytes, and what its version is called."""

    data: bytes
    version: str


class BlobInfo(NamedTuple):
    """What a listing tells: key, size in bytes, and when the object was written (UTC, by the store's clock)."""

    key: str
    size: int
    modified: datetime
