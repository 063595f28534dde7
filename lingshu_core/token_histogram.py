"""How often each gene shows each token: gathered from cells in any number of pieces."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from lingshu_core.tokens import N_TOKENS


@dataclass
class TokenHistogram:
    """Cells that show a token, (genes, 281); ``cells`` is the number of all of them.

    Token 0 is mostly not stored, so its column holds only what was; :meth:`complete` has the rest.
    """

    counts: npt.NDArray[np.int64]
    cells: int = 0

    @classmethod
    def empty(cls, genes: int) -> TokenHistogram:
        """Return the histogram of no cells."""
        return cls(np.zeros((genes, N_TOKENS), dtype=np.int64))

    def add(self, genes: npt.NDArray[np.integer], tokens: npt.NDArray[np.integer], cells: int) -> None:
        """Count the stored tokens of some cells, with the gene of each."""
        places = genes.astype(np.int64) * N_TOKENS + tokens
        self.counts += np.bincount(places, minlength=self.counts.size).reshape(self.counts.shape)
        self.cells += cells

    def complete(self) -> npt.NDArray[np.float64]:
        """Return the frequencies with all zeros counted, (genes, 281)."""
        frequencies = self.counts.astype(float)
        frequencies[:, 0] = self.cells - frequencies[:, 1:].sum(axis=1)
        return frequencies

    def largest(self) -> npt.NDArray[np.int64]:
        """Return the largest token that each gene shows, (genes,)."""
        shown = self.complete() > 0
        return N_TOKENS - 1 - np.argmax(shown[:, ::-1], axis=1)
