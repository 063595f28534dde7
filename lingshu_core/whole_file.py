"""Files that are whole or not there: who reads a checkpoint while another is written over it never sees half of one."""

from __future__ import annotations

import os
import uuid
from contextlib import suppress

from fsspec import AbstractFileSystem
from fsspec.implementations.local import LocalFileSystem


def write_whole(filesystem: AbstractFileSystem, path: str, data: bytes) -> None:
    """Write a file in one step, in the place of one that may be there.

    On a local disk it is written under another name of the same folder, brought to the disk, and renamed: whoever has
    the earlier file open or mapped into memory keeps that one, which is never truncated. Object stores put whole
    objects anyway.
    """
    if not isinstance(filesystem, LocalFileSystem):
        filesystem.pipe_file(path, data)
        return
    beside = f"{path}.{uuid.uuid4().hex[:8]}.new"
    try:
        filesystem.pipe_file(beside, data)
        _bring_to_disk(beside)
        os.replace(beside, path)
    finally:
        with suppress(FileNotFoundError):  # renamed by now, unless something went wrong
            os.unlink(beside)


def _bring_to_disk(path: str) -> None:
    # Before it is renamed: after a power cut the name may otherwise stand for an empty file.
    with open(path, "rb") as file:
        os.fsync(file.fileno())
