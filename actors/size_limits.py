"""How large an object may be that the engine reads: whoever can write to a store must not fill anybody's memory.

A limit is held against the size that the store tells before it sends anything, so an object above it costs one request.
"""

from actors.errors import BlobTooLarge

LARGEST_RECORD = 1 << 16
"""Bytes of a commit record, which has some four hundred, and of `HEAD`."""
LARGEST_MANIFEST = 1 << 24
"""Bytes of a manifest: some two hundred for each file of a version."""
LARGEST_OBJECT = 1 << 32
"""Bytes of anything else, whatever a record or a manifest says of it: data of a task, a file of a version."""


def check_size(what: str, size: int, most: int) -> None:
    """Refuse to write what nobody would read again.

    Raises
    ------
    BlobTooLarge
        `size` is more than `most` bytes.
    """
    if size > most:
        raise BlobTooLarge(f"{what} has {size:,} bytes, and at most {most:,} can be stored as one object; ask for less")
