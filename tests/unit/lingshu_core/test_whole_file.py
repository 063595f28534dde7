import errno
import os
from pathlib import Path
from typing import Any

import fsspec
import pytest
from fsspec.implementations.local import LocalFileSystem

from lingshu_core.whole_file import write_whole


def test_who_has_the_earlier_file_open_keeps_it(tmp_path: Path) -> None:
    path = tmp_path / "weights"
    path.write_bytes(b"earlier")
    with path.open("rb") as earlier:
        write_whole(LocalFileSystem(), str(path), b"later and longer")
        assert earlier.read() == b"earlier"
    assert path.read_bytes() == b"later and longer"
    assert os.listdir(tmp_path) == ["weights"]


def test_an_interrupted_write_leaves_the_earlier_file_and_nothing_else(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "weights"
    path.write_bytes(b"earlier")
    whole = LocalFileSystem.pipe_file

    def cut_off(self: Any, path: str, value: bytes, **options: Any) -> None:
        whole(self, path, value[:2], **options)
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(LocalFileSystem, "pipe_file", cut_off)
    with pytest.raises(OSError, match="No space left"):
        write_whole(LocalFileSystem(), str(path), b"later")
    assert path.read_bytes() == b"earlier"
    assert os.listdir(tmp_path) == ["weights"]


def test_elsewhere_an_object_is_put_under_its_name(memory_url: str) -> None:
    filesystem, root = fsspec.core.url_to_fs(memory_url)
    write_whole(filesystem, f"{root}/weights", b"an object")
    assert filesystem.cat_file(f"{root}/weights") == b"an object"
