"""Genes described by the regulatory links that leave and reach them."""

from __future__ import annotations

import numpy as np
import pandas as pd
import scipy.sparse as sp

from lingshu_core.errors import FeatureError
from lingshu_core.feature_files import NamedVectors
from lingshu_core.gene_set_features import unit_rows
from lingshu_core.low_rank import principal_scores
from lingshu_core.perturbation_features import DEFAULT_DIMENSIONS


def link_vectors(links: pd.DataFrame, dimensions: int = DEFAULT_DIMENSIONS) -> NamedVectors:
    """Reduce signed links to a few dimensions for each gene.

    A gene is the list of what it regulates, and of what it is regulated by, with signs. A partner counts by the inverse
    square root of how many links it has, and the row of a gene has the norm 1, so that hubs don't drown the rest; then
    principal components.

    Parameters
    ----------
    links
        ``source``, ``target`` and ``weight`` (a sign or a strength); weights of a repeated link are averaged, links of
        weight 0 left out.
    dimensions
        Components to keep at most.

    Returns
    -------
    NamedVectors
        All genes at an end of a link, in alphabetical order.

    Raises
    ------
    FeatureError
        If every link has the weight 0.
    """
    mean = links.groupby(["source", "target"], sort=True)["weight"].mean()
    mean = mean[mean != 0]
    if not len(mean):
        raise FeatureError("none of the links has a weight or sign other than 0")
    sources, targets = mean.index.get_level_values(0), mean.index.get_level_values(1)
    genes = pd.Index(sorted({*sources, *targets}))
    shape = (len(genes), len(genes))
    out = sp.csr_matrix((mean.to_numpy(), (genes.get_indexer(sources), genes.get_indexer(targets))), shape=shape)
    # (genes, what they regulate | what regulates them)
    profile = sp.csr_matrix(sp.hstack([_by_degree(out), _by_degree(sp.csr_matrix(out.T))]))
    return NamedVectors(tuple(genes), principal_scores(unit_rows(profile), dimensions))


def _by_degree(links: sp.csr_matrix) -> sp.csr_matrix:
    """Divide each column by the square root of its number of links."""
    degree = np.maximum(np.asarray((links != 0).sum(axis=0)).ravel(), 1)
    return sp.csr_matrix(links @ sp.diags(1.0 / np.sqrt(degree)))
