from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from lingshu_core.tokens import (
    MASK,
    N_TOKENS,
    OVERFLOW,
    REPRESENTATIVE_COUNTS,
    decode,
    encode,
    last_tokens,
    support_sizes,
)

COUNTS = st.integers(min_value=0, max_value=50_000)


@given(COUNTS)
def test_a_decoded_count_is_in_the_bin_of_the_encoded_one(count: int) -> None:
    width = 1 if count < 100 else 10 if count < 1_000 else 100
    decoded = float(decode(encode(count)))
    if count >= 10_000:
        assert decoded == 10_000
    else:
        assert abs(decoded - count) <= (width - 1) / 2


@given(st.integers(min_value=0, max_value=N_TOKENS - 1))
def test_encoding_a_decoded_token_gives_the_token_back(token: int) -> None:
    assert encode(np.floor(decode(token))) == token


@given(COUNTS, COUNTS)
def test_more_molecules_never_give_a_smaller_token(first: int, second: int) -> None:
    low, high = sorted([first, second])
    assert encode(low) <= encode(high)


@pytest.mark.parametrize(
    ("count", "token"),
    [
        (0, 0),
        (99, 99),
        (100, 100),
        (109, 100),
        (110, 101),
        (999, 189),
        (1_000, 190),
        (1_099, 190),
        (9_999, 279),
        (10_000, OVERFLOW),
        (1_000_000, OVERFLOW),
    ],
)
def test_the_bins_are_the_published_ones(count: int, token: int) -> None:
    assert encode(count) == token


def test_every_token_is_used_and_the_mask_is_none_of_them() -> None:
    assert np.array_equal(np.unique(encode(np.arange(10_001))), np.arange(N_TOKENS))
    assert len(REPRESENTATIVE_COUNTS) == N_TOKENS == MASK == 281


def test_shape_and_type_are_kept_compact() -> None:
    tokens = encode(np.zeros((3, 4), dtype=np.float32))
    assert tokens.shape == (3, 4)
    assert tokens.dtype == np.int16
    assert decode(tokens).dtype == np.float32


def test_a_support_holds_twice_the_largest_count_and_a_little_more_on_the_ladder() -> None:
    largest = np.array([0, 1, 2, 5, 6, 13, 14, 29, 30, 61, 62, 137, 138, 280])
    # 62 may become 128, which is token 102; 137 stands for 474 and may become 952, which is token 185.
    expected = [8, 8, 16, 16, 32, 32, 64, 64, 128, 128, 128, 281, 281, 281]
    assert support_sizes(last_tokens(largest)).tolist() == expected


@given(st.integers(min_value=0, max_value=N_TOKENS - 1))
def test_a_support_holds_every_token_that_was_seen(token: int) -> None:
    last = last_tokens(np.array([token]))
    assert support_sizes(last)[0] > last[0] >= token


@given(st.integers(min_value=0, max_value=N_TOKENS - 2))
def test_a_gene_may_be_drawn_as_twice_what_it_showed_and_not_as_thousands(token: int) -> None:
    seen, drawn = REPRESENTATIVE_COUNTS[[token, last_tokens(np.array([token]))[0]]]
    assert 2 * seen + 4 <= drawn * 1.06 + 0.5 or drawn == REPRESENTATIVE_COUNTS[-1]
    assert drawn <= 2.1 * seen + 4.5
