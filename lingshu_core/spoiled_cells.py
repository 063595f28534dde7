"""Real cells, spoiled in known ways: what a gate has to stop, and what it measures distances by.

Each way leaves as much as it can as it was: depths where states are lost, genes' distributions where their ties are.
"""

from __future__ import annotations

import numpy as np
import scipy.sparse as sp


def without_state(counts: sp.csr_matrix, random: np.random.Generator) -> sp.csr_matrix:
    """Draw every cell at its own depth from the mean profile of all, (cells, genes): no cell differs but by chance."""
    profile = np.asarray(counts.sum(axis=0), dtype=float).ravel()
    depth = np.asarray(counts.sum(axis=1)).ravel().astype(np.int64)
    return sp.csr_matrix(random.multinomial(depth, profile / profile.sum()).astype(np.int32))


def at_half_depth(counts: sp.csr_matrix, random: np.random.Generator) -> sp.csr_matrix:
    """Keep every molecule with a chance of one half, (cells, genes): the same cells from half of the sequencing."""
    thinned = counts.copy()
    thinned.data = random.binomial(counts.data.astype(np.int64), 0.5).astype(counts.dtype)
    thinned.eliminate_zeros()
    return thinned


def without_ties(counts: sp.csr_matrix, random: np.random.Generator) -> sp.csr_matrix:
    """Exchange each gene's counts among the cells, (cells, genes): every gene as it was, no two of them together."""
    order = random.random(counts.shape).argsort(axis=0)
    return sp.csr_matrix(np.take_along_axis(counts.toarray(), order, axis=0))
