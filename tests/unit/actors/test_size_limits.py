import pytest

from actors.errors import BlobTooLarge
from actors.size_limits import check_size


def test_what_nobody_would_read_again_is_refused() -> None:
    check_size("a file", 4, 4)
    with pytest.raises(BlobTooLarge, match="a file has 1,005 bytes, and at most 1,004 can be stored as one object"):
        check_size("a file", 1005, 1004)
