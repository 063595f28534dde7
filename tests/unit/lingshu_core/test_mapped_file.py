import hashlib
import os
from pathlib import Path

import numpy as np
import pytest
import safetensors.numpy

from lingshu_core.mapped_file import FileChanged, local_path, mapped_arrays

ARRAYS = {"a": np.arange(6.0).reshape(2, 3), "b": np.ones(4, dtype=np.int64)}


@pytest.fixture
def weights(tmp_path: Path) -> tuple[str, int, str]:
    """Path, size and digest of a file."""
    data = safetensors.numpy.save(ARRAYS)
    (tmp_path / "weights").write_bytes(data)
    return str(tmp_path / "weights"), len(data), hashlib.sha256(data).hexdigest()


def test_arrays_are_those_of_the_file(weights: tuple[str, int, str]) -> None:
    with mapped_arrays(*weights) as arrays:
        assert set(arrays) == set(ARRAYS)
        for name, expected in ARRAYS.items():
            np.testing.assert_array_equal(arrays[name], expected)
            assert not arrays[name].flags.owndata


@pytest.mark.skipif(not os.path.exists("/proc/self/maps"), reason="the mappings of a process are looked up in /proc")
def test_the_file_is_mapped(weights: tuple[str, int, str]) -> None:
    with mapped_arrays(*weights) as arrays:
        assert len(arrays) == len(ARRAYS)
        assert weights[0] in Path("/proc/self/maps").read_text()


def test_another_size_or_digest_is_told_with_what_was_found(weights: tuple[str, int, str]) -> None:
    path, size, sha256 = weights
    for expected in ((size + 1, sha256), (size, "0" * 64)):
        with pytest.raises(FileChanged) as raised, mapped_arrays(path, *expected):
            pass
        assert raised.value.size == size


def test_a_file_that_is_replaced_meanwhile_is_told(weights: tuple[str, int, str]) -> None:
    path = Path(weights[0])
    other = path.with_name("other")
    other.write_bytes(path.read_bytes())
    with pytest.raises(FileChanged), mapped_arrays(*weights):
        other.replace(path)


@pytest.mark.parametrize(("url", "path"), [("/a/b", "/a/b"), ("file:///a/b", "/a/b"), ("memory://a/b", None)])
def test_only_local_disks_have_paths(url: str, path: str | None) -> None:
    assert local_path(url) == path
