"""Safetensors files of a local disk, mapped into memory instead of read into it."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import fsspec
import numpy.typing as npt
from fsspec.implementations.local import LocalFileSystem
from safetensors import safe_open


class FileChanged(Exception):
    """A file isn't the one that was expected, or not any more; ``size`` is what was found, in bytes."""

    def __init__(self, size: int) -> None:
        super().__init__(f"{size} bytes")
        self.size = size


def local_path(url: str) -> str | None:
    """Return the path of a file on a local disk; None for a file elsewhere."""
    filesystem, path = fsspec.core.url_to_fs(url)
    return str(path) if isinstance(filesystem, LocalFileSystem) else None


@contextmanager
def mapped_arrays(path: str, size: int, sha256: str) -> Iterator[dict[str, npt.NDArray[Any]]]:
    """Map a file whose size and digest are known; nothing of it is copied.

    The arrays are views of the mapped file, good within the block: the digest was right before it, and at its end the
    file must still be the same. Copy what is to be kept. What is copied has an alignment of its own, too, while views
    start where the file has them, and sums that come out equal to the bit shouldn't depend on that.

    Raises
    ------
    FileChanged
        If size or digest are others, or if the file was written or replaced within the block.
    SafetensorError
        If it is no safetensors file.
    TypeError
        If NumPy has no such number type.
    OSError
        If it can't be read.
    """
    with open(path, "rb") as file:
        expected = os.fstat(file.fileno())
        if expected.st_size != size or hashlib.file_digest(file, "sha256").hexdigest() != sha256:
            raise FileChanged(expected.st_size)
    with safe_open(path, framework="pt") as tensors:  # the NumPy way of safetensors copies every array
        yield {name: tensors.get_tensor(name).numpy() for name in tensors.keys()}  # noqa: SIM118  # no mapping
    if _version(os.stat(path)) != _version(expected):
        raise FileChanged(os.stat(path).st_size)


def _version(found: os.stat_result) -> tuple[int, ...]:
    return found.st_dev, found.st_ino, found.st_size, found.st_mtime_ns
