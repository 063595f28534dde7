"""Gene sets whose genes rise or fall together: the rank-sum test of a set's effects against those of all other genes.

The test of Wilcoxon, Mann and Whitney with its normal approximation and correction for ties, the one of
`scipy.stats.mannwhitneyu`, for thousands of sets at once: ranks are taken once a condition. It is competitive, and
takes genes for independent, which they are not: sets whose genes go together look surer than they are (Goeman and
Bühlmann 2007, https://doi.org/10.1093/bioinformatics/btm051). Read its q as an order.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from scipy import sparse, special, stats

Array = npt.NDArray[np.float64]


@dataclass(frozen=True)
class SetRanks:
    """What the test says of every set, each (sets,).

    ``chance`` is the chance that a gene of the set has a larger effect than one outside (ties count half): over .5 the
    set rises. ``p`` is two-sided, ``q`` adjusted over the sets (Benjamini and Hochberg 1995). ``genes`` are counted in
    the panel, own targets left out. NaN where a set has no gene left, or no other gene is left.
    """

    chance: Array
    p: Array
    q: Array
    genes: npt.NDArray[np.int64]


class GeneSetTest:
    """Sets of genes of one panel, ready to be tested."""

    def __init__(self, sets: dict[str, tuple[str, ...]], genes: tuple[str, ...]) -> None:
        self.names = tuple(sets)
        row = {gene: i for i, gene in enumerate(genes)}
        members = [[row[gene] for gene in found] for found in sets.values()]
        starts = np.cumsum([0, *map(len, members)])
        indices = np.concatenate([np.asarray(found, dtype=np.int64) for found in members]) if members else np.empty(0)
        self._sets = sparse.csr_array(  # (sets, genes)
            (np.ones(starts[-1]), indices.astype(np.int64), starts), shape=(len(members), len(genes))
        )

    def test(self, effect: Array, left_out: Iterable[int] = ()) -> SetRanks:
        """Test all sets on one condition.

        Parameters
        ----------
        effect
            Of every gene, (genes,); only its order counts.
        left_out
            Genes that don't take part: the condition's own targets.
        """
        part = np.ones(len(effect), dtype=bool)
        part[np.asarray(tuple(left_out), dtype=np.int64)] = False
        ranks = np.zeros(len(effect))
        ranks[part] = stats.rankdata(effect[part])
        inside, total = self._sets @ part.astype(np.float64), float(part.sum())
        outside = total - inside
        with np.errstate(divide="ignore", invalid="ignore"):
            larger = self._sets @ ranks - inside * (inside + 1) / 2  # U of the set, (sets,)
            chance = np.where((inside > 0) & (outside > 0), larger / (inside * outside), np.nan)
            sd = np.sqrt(inside * outside / 12 * (total + 1 - _ties(ranks[part]) / (total * (total - 1))))
            z = (np.abs(larger - inside * outside / 2) - 0.5) / sd  # half a step for continuity
        p = np.where(np.isfinite(chance), np.minimum(2 * special.ndtr(-np.maximum(z, 0.0)), 1.0), np.nan)
        q = np.full(len(p), np.nan)
        known = np.isfinite(p)
        if known.any():
            q[known] = stats.false_discovery_control(p[known], method="bh")
        return SetRanks(chance, p, q, np.rint(inside).astype(np.int64))


def _ties(ranks: Array) -> float:
    counts = np.unique(ranks, return_counts=True)[1].astype(np.float64)
    return float((counts**3 - counts).sum())
