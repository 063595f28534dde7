from __future__ import annotations

import numpy as np
import scipy.sparse as sp
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from lingshu_core.token_histogram import TokenHistogram
from lingshu_core.tokens import N_TOKENS

TOKENS = hnp.arrays(np.int16, st.tuples(st.integers(1, 12), st.just(4)), elements=st.integers(0, N_TOKENS - 1))


@given(TOKENS, st.integers(1, 12))
def test_pieces_add_up_to_the_whole(tokens: np.ndarray, size: int) -> None:
    histogram = TokenHistogram.empty(4)
    for start in range(0, len(tokens), size):
        piece = sp.csr_matrix(tokens[start : start + size])
        histogram.add(piece.indices, piece.data, piece.shape[0])
    expected = np.stack([np.bincount(tokens[:, gene], minlength=N_TOKENS) for gene in range(4)])
    assert np.array_equal(histogram.complete(), expected)
    assert np.array_equal(histogram.largest(), tokens.max(axis=0))
    assert histogram.cells == len(tokens)
