import pytest

from actors.blob_keys import check_key, is_key
from actors.errors import UnsafeKey


@pytest.mark.parametrize("key", ["a", "a/b.json", "runs/ab/0001-x/plots/a b.png", "..a/b..", "a@0.1"])
def test_plain_names_are_keys(key: str) -> None:
    check_key(key)
    assert is_key(key)


@pytest.mark.parametrize("key", ["", "/", "/a", "a/", "a//b", ".", "..", "a/../b", "a\\..\\b", "a#1", "a\x00", "a\r"])
def test_what_leads_elsewhere_is_no_key(key: str) -> None:
    assert not is_key(key)
    with pytest.raises(UnsafeKey, match="no key"):
        check_key(key)
