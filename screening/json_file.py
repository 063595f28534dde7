"""A JSON file of a local folder or a URL, read without torch."""

from __future__ import annotations

import json
from typing import Any, TextIO

from screening.errors import is_storage_error

MAX_CHARACTERS = 1 << 28


def read_json_file(name: str) -> Any:
    """Read a JSON file; None where there is none.

    Raises
    ------
    ValueError
        If it is not JSON, or too large.
    OSError
        If it can't be reached; the message says what to check.
    """
    try:
        if "://" in name:
            import fsspec  # slow to import, and only needed for remote files

            _check_protocol(name)
            with fsspec.open(name, "rt", encoding="utf-8") as handle:
                return _parse(handle)
        with open(name, encoding="utf-8") as handle:
            return _parse(handle)
    except (FileNotFoundError, NotADirectoryError):
        return None
    except Exception as error:
        if isinstance(error, ValueError) or not (isinstance(error, OSError) or is_storage_error(error)):
            raise
        raise OSError(f"can't be read ({error}); check the path, and the credentials in the environment") from error


def _check_protocol(name: str) -> None:
    import fsspec

    try:
        fsspec.core.url_to_fs(name)
    except (ValueError, ImportError) as error:  # no file system of that name, or its package is missing
        raise OSError(str(error)) from error


def _parse(handle: TextIO) -> Any:
    text = handle.read(MAX_CHARACTERS + 1)
    if len(text) > MAX_CHARACTERS:
        raise ValueError(f"it has more than {MAX_CHARACTERS:,} characters")
    try:
        content = json.loads(text)
    except RecursionError as error:
        raise ValueError("it is nested too deep") from error
    if content is None:
        raise ValueError("it holds null")
    return content
