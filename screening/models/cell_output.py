"""An ``.h5ad`` that is there as a whole or not at all."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import fsspec

from screening.errors import ResultsError


@contextmanager
def replaced(output: str) -> Iterator[Path]:
    """Give a temporary file to write to; it takes the place of ``output`` when the block ends well.

    A local file is renamed within its folder, a remote one uploaded. Nothing is left behind by a failure.

    Raises
    ------
    ResultsError
        If the output can't be written; told before the block begins, where that can be known.
    """
    local = "://" not in output
    folder = Path(output).parent if local else None
    try:
        if folder is not None:
            folder.mkdir(parents=True, exist_ok=True)
        handle, name = tempfile.mkstemp(prefix=".", suffix=".h5ad", dir=folder)
        os.close(handle)
    except OSError as error:
        raise _unwritable(output, error) from error
    temporary = Path(name)
    try:
        yield temporary
        _put(temporary, output, local)
    finally:
        temporary.unlink(missing_ok=True)


def _put(temporary: Path, output: str, local: bool) -> None:
    try:
        if local:
            # mkstemp gives a file to its owner alone; the result is an ordinary file.
            mask = os.umask(0)
            os.umask(mask)
            temporary.chmod(0o666 & ~mask)
            temporary.replace(output)
        else:
            filesystem, path = fsspec.core.url_to_fs(output)
            filesystem.put_file(str(temporary), path)
    except (OSError, ValueError, ImportError) as error:  # ValueError, ImportError: no file system of that name
        raise _unwritable(output, error) from error


def _unwritable(output: str, error: Exception) -> ResultsError:
    return ResultsError(f"{output}: can't be written ({error}); correct `output` or the credentials in the environment")
