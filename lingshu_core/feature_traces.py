"""Do features of perturbations hold what was measured of them? Traces of real effects in a table of vectors.

What a table of the user's was made from can't be read from it. But a table that holds measured effects, as they are or
as principal components, gives itself away: some column goes with the effect on some gene as no prior knowledge does, or
perturbations are as far from one another as their effects are. On the perturbations of Papalexi 2021, distances of
effects measured in halves of the cells have a rank correlation of .98, two principal components of them .95, and
co-expression features −.03.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from scipy import stats
from scipy.spatial.distance import pdist

Array = npt.NDArray[np.float64]

LEAST_PERTURBATIONS = 8
"""With fewer perturbations, likeness can be chance."""
SAME_ORDER, SAME_DISTANCES = 0.98, 0.9
"""Rank correlations from which a column is an effect, and distances are those of effects."""
MOST_CHANCE = 1e-6
_COLUMNS_AT_ONCE = 64


@dataclass(frozen=True)
class Traces:
    """What of measured effects was found in features.

    Parameters
    ----------
    columns
        Column of the features, gene (its number), and their rank correlation over perturbations.
    distances
        Rank correlation of distances between perturbations, by features and by effects; NaN where features are all
        alike.
    perturbations
        Over how many perturbations.
    """

    columns: tuple[tuple[int, int, float], ...]
    distances: float
    perturbations: int

    @property
    def are_effects(self) -> bool:
        """Whether the features hold measured effects."""
        return bool(self.columns) or self.distances >= SAME_DISTANCES


def find_traces(features: Array, effects: Array) -> Traces | None:
    """Look for measured effects in features.

    Parameters
    ----------
    features
        (perturbations, columns).
    effects
        Measured effects of the same perturbations, (perturbations, genes), in any unit.

    Returns
    -------
    Traces or None
        None with fewer than `LEAST_PERTURBATIONS`.
    """
    if len(features) < LEAST_PERTURBATIONS:
        return None
    return Traces(_columns(features, effects), _likeness(features, effects), len(features))


def _columns(features: Array, effects: Array) -> tuple[tuple[int, int, float], ...]:
    """Return for each column that is an effect on a gene the gene that fits best.

    Chance is bounded for all pairs of a column and a gene together, by the t approximation of rank correlations.
    """
    mine, theirs = _standard_ranks(features), _standard_ranks(effects)
    tests = features.shape[1] * effects.shape[1]
    free = len(features) - 2
    found = []
    for start in range(0, mine.shape[1], _COLUMNS_AT_ONCE):
        # (columns, perturbations) @ (perturbations, genes)
        correlations = mine[:, start : start + _COLUMNS_AT_ONCE].T @ theirs
        for offset, row in enumerate(correlations):
            gene = int(np.abs(row).argmax())
            size = min(abs(float(row[gene])), 1.0 - 1e-12)
            chance = 2.0 * stats.t.sf(size * np.sqrt(free / (1.0 - size**2)), free) * tests
            if size >= SAME_ORDER and chance < MOST_CHANCE:
                found.append((start + offset, gene, float(row[gene])))
    return tuple(found)


def _likeness(features: Array, effects: Array) -> float:
    mine, theirs = pdist(features), pdist(effects)
    if np.ptp(mine) == 0 or np.ptp(theirs) == 0:
        return float("nan")
    return float(stats.spearmanr(mine, theirs).statistic)


def _standard_ranks(values: Array) -> Array:
    """Return ranks of norm 1, (perturbations, columns); zeros for a column that is constant."""
    ranks = stats.rankdata(values, axis=0)
    centred = ranks - ranks.mean(axis=0)
    norms = np.sqrt(np.square(centred).sum(axis=0))
    return np.divide(centred, norms, out=np.zeros_like(centred), where=norms > 0)
