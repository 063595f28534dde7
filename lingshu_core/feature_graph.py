"""Features of neighbours in a network: of genes, drugs, cells, whatever the edges join.

Simplified graph convolution (Wu et al. 2019, arXiv 1902.07153): the features F are averaged over neighbours once for
each hop, Â F, Â² F, …, with Â = D^-½ (A + I) D^-½ of the undirected network with self-loops. The weights that a graph
network would learn are left to the model's projection.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import numpy.typing as npt
import pandas as pd
import scipy.sparse as sp

from lingshu_core.errors import FeatureError
from lingshu_core.perturbation_features import DEFAULT_DIMENSIONS, FeatureBlock, standardise

Array = npt.NDArray[np.float64]


def neighbour_block(
    block: FeatureBlock,
    edges: pd.DataFrame,
    hops: int,
    *,
    file: str,
    sha256: str,
    licence: str = "not stated",
    dimensions: int = DEFAULT_DIMENSIONS,
) -> FeatureBlock:
    """Describe names by the features of their neighbours.

    Parameters
    ----------
    block
        The features to average.
    edges
        ``source``, ``target`` and ``weight``; undirected, an edge that is listed twice has the larger weight.
    hops
        How far to look; the blocks Â F … Â^hops F stand side by side.
    file, sha256, licence, dimensions
        Of the new block.

    Returns
    -------
    FeatureBlock
        The names of the network that a described name is within reach of, also those that `block` does not
        describe. Names outside the network are not described.

    Raises
    ------
    FeatureError
        If a weight is negative, or the network joins no name of the block to another.
    """
    if (edges["weight"] < 0).any():
        line = edges.index[edges["weight"] < 0][0]
        raise FeatureError(f"{file}:{line}: a weight is negative; in a network for averaging, weights are 0 or more")
    nodes, adjacency = _normalised(edges)
    features = standardise(block)
    position = {name: i for i, name in enumerate(nodes)}
    inside = [row for row, name in enumerate(features.names) if name in position]
    if not inside:
        raise FeatureError(
            f"{file}: none of its {len(nodes)} names is described by {block.file or 'the training cells'}; names in the"
            f" network look like {', '.join(nodes[:3])}, names of the features like {', '.join(block.names[:3])}"
        )
    current = np.zeros((len(nodes), features.values.shape[1]))
    current[[position[features.names[row]] for row in inside]] = features.values[inside]
    averaged = []
    for _ in range(hops):
        current = adjacency @ current
        averaged.append(current)
    values = np.concatenate(averaged, axis=1)
    reached = np.flatnonzero(np.abs(values).sum(axis=1) > 0)
    return replace(
        block,
        names=tuple(nodes[i] for i in reached),
        values=values[reached],
        kind="graph",
        file=file,
        sha256=sha256,
        licence=licence,
        dimensions=dimensions,
    )


def _normalised(edges: pd.DataFrame) -> tuple[list[str], sp.csr_matrix]:
    """Names of the network and its symmetrically normalised adjacency with self-loops, (names, names)."""
    proper = edges[(edges["source"] != edges["target"]) & (edges["weight"] > 0)]
    ends = np.sort(proper[["source", "target"]].to_numpy(dtype=object), axis=1)
    once = pd.DataFrame({"a": ends[:, 0], "b": ends[:, 1], "weight": proper["weight"].to_numpy()})
    once = once.groupby(["a", "b"], sort=True, as_index=False)["weight"].max()
    nodes = pd.Index(sorted({*once["a"], *once["b"]}))
    first, second = nodes.get_indexer(once["a"]), nodes.get_indexer(once["b"])
    half = sp.csr_matrix((once["weight"].to_numpy(), (first, second)), shape=(len(nodes), len(nodes)))
    whole = half + half.T + sp.identity(len(nodes))
    scale = sp.diags(1.0 / np.sqrt(np.asarray(whole.sum(axis=1)).ravel()))
    return list(nodes), sp.csr_matrix(scale @ whole @ scale)
