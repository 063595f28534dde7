"""Weighted connectivity of a query with effect profiles, as the Connectivity Map defines it.

Subramanian et al., Cell 171 (2017): the enrichment of the genes to raise minus that of the genes to lower, halved, and
zero where both go the same way. The enrichment is the weighted Kolmogorov–Smirnov statistic of gene-set enrichment
analysis (Subramanian et al., PNAS 102 (2005), with p = 1): down the list of genes, largest value first, the sum rises
at a gene of the set by its share of the set's absolute values, and falls at all others alike; its largest deviation
from zero is the score.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

Array = npt.NDArray[np.float64]
Indices = npt.NDArray[np.int64]

LEVEL = 1e-12
"""A walk that goes as far up as down, but for rounding, is at neither end: its score is 0."""


def enrichment(profiles: Array, members: Indices) -> Array:
    """Return the weighted enrichment of a set of genes at the top of each profile, (profiles,), from −1 to 1.

    Parameters
    ----------
    profiles
        Effects, (profiles, genes).
    members
        Places of the set's genes; at least one, and not all.
    """
    genes = profiles.shape[1]
    # Of equal values the gene that comes first in the panel stands first: the same profile gives the same score.
    order = np.argsort(-profiles, axis=1, kind="stable")
    is_member = np.zeros(genes, dtype=bool)
    is_member[members] = True
    hit = is_member[order]  # (profiles, genes)
    weight = np.where(hit, np.abs(np.take_along_axis(profiles, order, axis=1)), 0.0)
    total = weight.sum(axis=1, keepdims=True)
    # A set without any effect has no weights; its genes count alike then, and are found in the order of the panel.
    weight = np.where(total > 0, weight / np.where(total > 0, total, 1.0), hit / len(members))
    walk = np.cumsum(weight - np.where(hit, 0.0, 1.0 / (genes - len(members))), axis=1)
    highest, lowest = walk.max(axis=1), walk.min(axis=1)
    # As many other genes above the set as below it, and both may be as far: no end is nearer, whatever the rounding.
    level = np.abs(highest + lowest) < LEVEL
    return np.where(level, 0.0, np.where(highest > -lowest, highest, lowest))


def weighted_connectivity(profiles: Array, up: Indices, down: Indices) -> Array:
    """Return the weighted connectivity score of each profile, (profiles,), from −1 (opposite) to 1 (the same).

    Where only one of the lists has genes, the score is the enrichment of that one, with the sign of its direction. A
    profile without any effect has the score 0.

    Parameters
    ----------
    profiles
        Effects, (profiles, genes).
    up, down
        Places of the genes to raise and to lower.
    """
    if not len(up) or not len(down):
        only = enrichment(profiles, up) if len(up) else -enrichment(profiles, down)
        return np.where(profiles.any(axis=1), only, 0.0)
    raised, lowered = enrichment(profiles, up), enrichment(profiles, down)
    opposed = np.sign(raised) != np.sign(lowered)
    return np.where(opposed & profiles.any(axis=1), (raised - lowered) / 2, 0.0)
