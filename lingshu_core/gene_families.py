"""Which genes are so alike that one gives the other away.

A model that was trained on IFNGR1 knows much of IFNGR2. Families come from a table of the user's, from gene sets, from
pairs of paralogues, or, where there is nothing, from the stems of symbols.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence

import numpy as np
import numpy.typing as npt
from scipy.sparse import coo_matrix
from scipy.sparse.csgraph import connected_components

NO_FAMILIES = ("CD", "TMEM", "CCDC", "KIAA", "LOC", "LINC")
"""Roots that number what has nothing in common: CD86 and CD274, TMEM1 and TMEM2."""
SHORTEST_STEM, SHORTEST_WORD = 2, 4
_NUMBERED = re.compile(r"(.*?[A-Z-])\d+[A-Z]?")
_LETTERED = re.compile(r"(.+)[A-Z]")


def stem(symbol: str) -> str:
    """Return the stem of a gene's symbol: a rule of thumb, not biology.

    A number at the end, with or without a letter after it, goes: STAT1 and STAT5A become STAT, IFNGR2 becomes IFNGR.
    Where there is no number, one letter goes if four are left: CEBPA becomes CEBP. Stems of one letter and roots that
    only number (CD86, TMEM1) are kept whole. It joins too much (IL2 and IL10) rather than too little, and misses
    paralogues of different names (KRAS and MRAS, MYC and MXD1): name a table where there is one.
    """
    upper = symbol.upper()
    numbered = _NUMBERED.fullmatch(upper)
    if numbered:
        root = numbered[1].rstrip("-")
        return upper if len(root) < SHORTEST_STEM or root in NO_FAMILIES else root
    lettered = _LETTERED.fullmatch(upper)
    return lettered[1] if lettered and len(lettered[1]) >= SHORTEST_WORD else upper


def families_by_stem(genes: Iterable[str]) -> dict[str, str]:
    """Return gene → stem; see :func:`stem`.

    A gene whose whole symbol is the stem of others is of their family: MYC with MYCN.
    """
    names = sorted(set(genes))
    found = {gene: stem(gene) for gene in names}
    whole = {gene.upper() for gene in names}
    shortened = {gene: root[:-1] for gene, root in found.items() if root == gene.upper() and root[:-1] in whole}
    return found | {gene: root for gene, root in shortened.items() if len(root) >= SHORTEST_STEM + 1}


def joined_families(genes: Iterable[str], groups: Iterable[Sequence[str]]) -> dict[str, str]:
    """Return gene → family, where groups that share a gene are one family.

    Parameters
    ----------
    genes
        All genes asked about; one in no group is a family of its own.
    groups
        Gene sets, or pairs of paralogues. Genes that were not asked about join families all the same: a chain of
        paralogues is not cut where its middle was not perturbed.

    Returns
    -------
    dict
        The genes asked about → the first gene of their family in the alphabet.
    """
    asked = sorted(set(genes))
    members = [list(dict.fromkeys(group)) for group in groups]
    names = sorted({*asked, *(gene for group in members for gene in group)})
    row = {gene: i for i, gene in enumerate(names)}
    edges = [(row[group[0]], row[gene]) for group in members for gene in group[1:]]
    component = components(len(names), np.array(edges, dtype=np.int64).reshape(-1, 2))
    first: dict[int, str] = {}
    for gene in asked:
        first.setdefault(int(component[row[gene]]), gene)
    return {gene: first[int(component[row[gene]])] for gene in asked}


def components(nodes: int, edges: npt.NDArray[np.int64]) -> npt.NDArray[np.int64]:
    """Return the connected component of each node, (nodes,), given pairs of nodes, (edges, 2)."""
    graph = coo_matrix((np.ones(len(edges)), (edges[:, 0], edges[:, 1])), shape=(nodes, nodes))
    return np.asarray(connected_components(graph, directed=False)[1], dtype=np.int64)


def families_of(table: Mapping[str, str], genes: Iterable[str]) -> dict[str, str]:
    """Return gene → family by a table; a gene that the table lacks is a family of its own."""
    return {gene: table.get(gene, gene) for gene in sorted(set(genes))}
