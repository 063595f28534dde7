from __future__ import annotations

import hashlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from campaigns.digests import SharedDigest, canonical_json, digest

PLAIN = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text("aé≥\n\"'"),
    lambda inner: st.lists(inner) | st.dictionaries(st.text("ab"), inner),
    max_leaves=10,
)


def test_canonical_json_sorts_keys_and_has_no_white_space() -> None:
    assert canonical_json({"b": [1, 2.5, None], "a": {"é": True}}) == '{"a":{"é":true},"b":[1,2.5,null]}'.encode()


def test_digest_is_the_sha256_of_the_canonical_json() -> None:
    assert digest({"a": 1}) == hashlib.sha256(b'{"a":1}').hexdigest()


@given(st.dictionaries(st.text("abc"), PLAIN))
def test_digest_does_not_depend_on_the_order_of_keys(data: dict[str, object]) -> None:
    assert digest(data) == digest(dict(reversed(data.items())))


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_numbers_that_json_lacks_are_refused(value: float) -> None:
    with pytest.raises(ValueError, match="JSON"):
        canonical_json([value])


@given(st.dictionaries(st.text("abcé", min_size=1), PLAIN), st.text("abcé", min_size=1), PLAIN)
def test_a_shared_digest_is_the_digest_of_the_whole(data: dict[str, object], entry: str, value: object) -> None:
    shared = {name: each for name, each in data.items() if name != entry}
    names = SharedDigest(shared, entry)
    assert names.of(canonical_json(value)) == names.of(canonical_json(value)) == digest({**shared, entry: value})


@given(st.dictionaries(st.text("abc"), PLAIN), st.lists(st.text('ab"é')))
def test_a_list_of_names_is_digested_piece_by_piece(data: dict[str, object], names: list[str]) -> None:
    shared = {name: each for name, each in data.items() if name != "b"}
    assert SharedDigest(shared, "b").of_names(iter(names)) == digest({**shared, "b": names})
