"""Where files are, however their paths are written."""

from __future__ import annotations

import os

import fsspec


def same_place(first: str, second: str) -> bool:
    """Tell whether two paths or URLs name the same file or folder.

    Links are followed on this machine; a URL is compared in its plain form.
    """
    return _plain(first) == _plain(second)


def _plain(place: str) -> str:
    try:
        filesystem, path = fsspec.core.url_to_fs(place)
    except (ValueError, ImportError):  # no file system of that name, which opening it will tell
        return place
    if "file" in filesystem.protocol:
        return os.path.realpath(path)
    return str(filesystem.unstrip_protocol(path)).rstrip("/")
