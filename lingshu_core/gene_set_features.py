"""Genes described by the gene sets that they are in."""

from __future__ import annotations

from collections.abc import Collection, Mapping

import numpy as np
import scipy.sparse as sp

from lingshu_core.errors import FeatureError
from lingshu_core.feature_files import NamedVectors
from lingshu_core.low_rank import principal_scores
from lingshu_core.perturbation_features import DEFAULT_DIMENSIONS

SET_SIZES = (5, 500)
"""Smaller sets say nothing about other genes, larger ones next to nothing about these."""


def gene_set_vectors(
    sets: Mapping[str, Collection[str]], dimensions: int = DEFAULT_DIMENSIONS, sizes: tuple[int, int] = SET_SIZES
) -> NamedVectors:
    """Reduce the membership of genes in sets to a few dimensions.

    A membership weighs log(genes / size of the set), as the words of a text do (tf-idf), and the row of a gene has the
    norm 1, so that genes in many sets don't outweigh the others; then principal components.

    Parameters
    ----------
    sets
        Name of a set → its genes.
    dimensions
        Components to keep at most.
    sizes
        Smallest and largest set in use.

    Returns
    -------
    NamedVectors
        All genes of the sets in use, in alphabetical order.

    Raises
    ------
    FeatureError
        If no set has a size in use.
    """
    used = [members for members in map(frozenset, sets.values()) if sizes[0] <= len(members) <= sizes[1]]
    if not used:
        raise FeatureError(f"none of the {len(sets)} gene sets has {sizes[0]} to {sizes[1]} genes")
    genes = sorted(frozenset().union(*used))
    row = {gene: i for i, gene in enumerate(genes)}
    rows = [row[gene] for members in used for gene in sorted(members)]
    columns = np.repeat(np.arange(len(used)), [len(members) for members in used])
    weights = np.log((1.0 + len(genes)) / np.array([len(members) for members in used]))
    membership = sp.csr_matrix((weights[columns], (rows, columns)), shape=(len(genes), len(used)))
    return NamedVectors(tuple(genes), principal_scores(unit_rows(membership), dimensions))


def unit_rows(matrix: sp.csr_matrix) -> sp.csr_matrix:
    """Scale the rows of a sparse matrix to norm 1; rows of zeros stay."""
    norm = np.sqrt(np.asarray(matrix.multiply(matrix).sum(axis=1)).ravel())
    return sp.csr_matrix(sp.diags(np.divide(1.0, norm, out=np.zeros_like(norm), where=norm > 0)) @ matrix)
