"""UMI counts as tokens.

The vocabulary of Lingshu-Cell (arXiv 2603.25240, section "Tokenisation"): counts 0–99 are tokens of
their own, 100–999 fall into 90 bins of width 10, 1,000–9,999 into 90 bins of width 100, and one token
holds everything above. That makes 281 value tokens; ``MASK`` is the 282nd and is never predicted.
Token ``v`` below 100 *is* the count ``v``, so the first ``n`` tokens are the counts below ``n``: a gene
whose counts stay small needs only the head of the vocabulary.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

N_TOKENS = 281
MASK = N_TOKENS
OVERFLOW = N_TOKENS - 1
_EXACT = 100
_EDGE_OF_HUNDREDS = 1_000
_EDGE_OF_THOUSANDS = 10_000


def encode(counts: npt.ArrayLike) -> npt.NDArray[np.int16]:
    """Turn UMI counts into tokens.

    Parameters
    ----------
    counts
        Non-negative integers, any shape.

    Returns
    -------
    Tokens 0–280 in the shape of ``counts``.
    """
    values = np.asarray(counts, dtype=np.int64)
    tokens = values.copy()
    hundreds = (values >= _EXACT) & (values < _EDGE_OF_HUNDREDS)
    thousands = (values >= _EDGE_OF_HUNDREDS) & (values < _EDGE_OF_THOUSANDS)
    tokens[hundreds] = _EXACT + (values[hundreds] - _EXACT) // 10
    tokens[thousands] = _EXACT + 90 + (values[thousands] - _EDGE_OF_HUNDREDS) // 100
    tokens[values >= _EDGE_OF_THOUSANDS] = OVERFLOW
    return tokens.astype(np.int16)


def _representative_counts() -> npt.NDArray[np.float32]:
    exact = np.arange(_EXACT)
    hundreds = np.arange(_EXACT, _EDGE_OF_HUNDREDS, 10) + 4.5
    thousands = np.arange(_EDGE_OF_HUNDREDS, _EDGE_OF_THOUSANDS, 100) + 49.5
    return np.concatenate([exact, hundreds, thousands, [_EDGE_OF_THOUSANDS]]).astype(np.float32)


REPRESENTATIVE_COUNTS: npt.NDArray[np.float32] = _representative_counts()
"""The count a token stands for, shape (281,): itself below 100, else the middle of its bin."""


def decode(tokens: npt.ArrayLike) -> npt.NDArray[np.float32]:
    """Turn tokens into the counts that they stand for (the middle of a bin above 99)."""
    return REPRESENTATIVE_COUNTS[np.asarray(tokens, dtype=np.int64)]


def last_tokens(largest_tokens: npt.NDArray[np.integer]) -> npt.NDArray[np.int64]:
    """Choose the last token that each gene may be drawn as: that of twice the largest count seen, plus four.

    In counts and not in tokens: large tokens stand for thousands of molecules, and a gene of a hundred that is drawn as
    one of them makes a cell fifty times too deep. It needs few such draws to spoil a population.

    Parameters
    ----------
    largest_tokens
        Largest token seen for each gene in training, shape (genes,).

    Returns
    -------
    Tokens, shape (genes,), at least ``largest_tokens``.
    """
    largest = np.asarray(largest_tokens, dtype=np.int64)
    return np.maximum(encode(2 * REPRESENTATIVE_COUNTS[largest].astype(np.int64) + 4).astype(np.int64), largest)


def support_sizes(last: npt.NDArray[np.integer]) -> npt.NDArray[np.int64]:
    """Choose how many of the first tokens each gene's logits are computed for.

    A softmax over all 281 tokens for a gene that never showed more than three molecules spends nearly
    all of its time on numbers that are zero. A gene keeps the tokens up to its last one, rounded up to a rung of a
    short ladder, so that genes fall into few groups.

    Parameters
    ----------
    last
        Last token that each gene may be drawn as (:func:`last_tokens`), shape (genes,).

    Returns
    -------
    Tokens kept for each gene, shape (genes,), values among 8, 16, 32, 64, 128, 281.
    """
    ladder = np.array([8, 16, 32, 64, 128, N_TOKENS])
    return ladder[np.searchsorted(ladder, np.asarray(last, dtype=np.int64) + 1)]
