import io
from pathlib import Path

import pytest

from lingshu_core.bounded_reading import CHUNK, read_at_most


@pytest.mark.parametrize("size", [0, 1, CHUNK, CHUNK + 1])
def test_a_file_within_the_limit_is_read_whole(size: int) -> None:
    data = bytes(size)
    assert read_at_most(io.BytesIO(data), size) == data


def test_a_longer_file_is_refused() -> None:
    with pytest.raises(ValueError, match="it has more than 1,000 bytes, and no more are read"):
        read_at_most(io.BytesIO(bytes(1001)), 1000)


def test_an_endless_file_is_refused_at_the_limit() -> None:
    with Path("/dev/zero").open("rb") as endless, pytest.raises(ValueError, match="more than 33,554,432 bytes"):
        read_at_most(endless, 2 * CHUNK)
