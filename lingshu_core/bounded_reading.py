"""Files that are read whole, up to a limit: a link to a disk or an endless answer must not fill the memory."""

from __future__ import annotations

from typing import IO

CHUNK = 1 << 24
"""Bytes: asked for at once, all that a limit allows would be allocated before anything has come."""


def read_at_most(handle: IO[bytes], most: int) -> bytes:
    """Read an open file to its end.

    Raises
    ------
    ValueError
        It has more than ``most`` bytes.
    """
    chunks, left = [], most + 1
    while left > 0 and (chunk := handle.read(min(left, CHUNK))):
        chunks.append(chunk)
        left -= len(chunk)
    if left <= 0:
        raise ValueError(f"it has more than {most:,} bytes, and no more are read of such a file")
    return b"".join(chunks)
