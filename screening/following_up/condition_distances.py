"""How unlike two conditions are: by what the model predicts of them, or by what they are called."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt
from scipy import sparse

Array = npt.NDArray[np.float64]


class EffectDistances:
    """By predicted per-gene effects: |x − y| / (|x| + |y|), from 0 (the same) to 1 (opposite, or nothing to something).

    Parameters
    ----------
    effects
        Predicted effects of some conditions, (rows, genes).
    rows
        Row of each condition, (conditions,); −1 for one that has none.
    otherwise
        The distances of those.
    """

    def __init__(
        self, effects: npt.NDArray[np.float32], rows: npt.NDArray[np.int64], otherwise: LabelDistances
    ) -> None:
        self._effects, self._rows, self._otherwise = effects, rows, otherwise
        self._norms = np.linalg.norm(effects, axis=1).astype(np.float64)

    def to(self, place: int) -> Array:
        """Return the distance of every condition to one of them, (conditions,)."""
        found = self._otherwise.to(place)
        own = int(self._rows[place])
        if own < 0:
            return found
        dots = (self._effects @ self._effects[own]).astype(np.float64)
        squares = np.square(self._norms) + self._norms[own] ** 2 - 2.0 * dots
        sums = self._norms + self._norms[own]
        apart = np.sqrt(np.maximum(squares, 0.0)) / np.where(sums > 0, sums, 1.0)
        has = self._rows >= 0
        found[has] = np.minimum(apart[self._rows[has]], 1.0)
        return found


class LabelDistances:
    """By the names in them: 1 less the share of parts and context factors that two conditions have in common.

    Parameters
    ----------
    words
        What each condition is made of, such as ``STAT1`` and ``cell_type=B cells``.
    """

    def __init__(self, words: Sequence[Sequence[str]]) -> None:
        number: dict[str, int] = {}
        rows = [place for place, own in enumerate(words) for _ in own]
        columns = [number.setdefault(word, len(number)) for own in words for word in own]
        shape = (len(words), max(len(number), 1))
        self._words = sparse.csr_matrix((np.ones(len(rows)), (rows, columns)), shape=shape)
        self._sizes = np.asarray(self._words.sum(axis=1)).ravel()

    def to(self, place: int) -> Array:
        """Return the distance of every condition to one of them, (conditions,)."""
        common = np.asarray((self._words @ self._words[place].T).todense()).ravel()
        union = self._sizes + self._sizes[place] - common
        return np.asarray(1.0 - common / np.maximum(union, 1.0), dtype=np.float64)
