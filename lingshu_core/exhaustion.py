"""What is used up, memory or disk. Libraries tell it in words of their own, and none says what to lower."""

from __future__ import annotations

import errno
from collections.abc import Iterator
from contextlib import contextmanager

from lingshu_core.errors import DiskFull

MEMORY_ERRORS = (RuntimeError, MemoryError)
"""What torch raises (``OutOfMemoryError`` is a ``RuntimeError``), and what NumPy and Python do."""
_NO_MEMORY = ("out of memory", "can't allocate memory", "CUBLAS_STATUS_ALLOC_FAILED", "CUDNN_STATUS_ALLOC_FAILED")
"""Of CUDA and HIP, of torch's allocator on the CPU, and of the libraries that take memory beside torch."""
_NO_SPACE = (errno.ENOSPC, errno.EDQUOT)


def is_out_of_memory(error: BaseException) -> bool:
    """Tell a lack of memory, of the device or of the machine, from other errors."""
    return isinstance(error, MemoryError) or (
        isinstance(error, RuntimeError) and any(words in str(error) for words in _NO_MEMORY)
    )


def device_words(kind: str) -> str:
    """Return what people call a type of device of torch."""
    return {"cpu": "CPU", "cuda": "GPU"}.get(kind, kind)


def shortened(error: BaseException) -> str:
    """Return the first sentences of an error of memory; what torch says behind them is about its allocator."""
    line = (str(error).strip().splitlines() or ["out of memory"])[0]
    return (
        line.rpartition("DefaultCPUAllocator: ")[2].partition(" GPU ")[0].partition(" Error code")[0].strip(" .")[:200]
    )


@contextmanager
def telling_full_disk(place: str, what: str, safe: str) -> Iterator[None]:
    """Say of a full disk what could not be written, what is safe, and how to go on.

    Parameters
    ----------
    place
        Folder or URL that is written to.
    what
        What is written there.
    safe
        What is kept nevertheless, and what the same command will do when it is run again.

    Raises
    ------
    DiskFull
        If no space is left, or a quota is used up. Any other error passes.
    """
    try:
        yield
    except OSError as error:
        if error.errno not in _NO_SPACE:
            raise
        raise DiskFull(
            f"{place}: no space is left for {what}. {safe}: free some space, or raise the quota, and run the same"
            " command again"
        ) from error
