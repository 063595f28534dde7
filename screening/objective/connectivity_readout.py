"""The weighted connectivity score as an objective: does the effect profile look like the query?

A score of a mean profile is no mean of scores, so shards can't be scored one by one: the noise of single shards would
pull each toward 0. The score is that of the mean over all shards, and its standard error the jackknife's over shards.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from lingshu_core.connectivity import weighted_connectivity
from screening.folding.effects import Moments
from screening.objective.objectives import Array, ByShard, Indices, Readout, check_any_left


@dataclass(frozen=True)
class ConnectivityReadout(Readout):
    """A query: ``weights`` is (genes,), 1 for genes to raise and −1 for genes to lower.

    ``compendium`` has its scores with reference profiles, (profiles,); None where there are none.
    """

    compendium: Array | None = None

    @property
    def needed(self) -> npt.NDArray[np.bool_]:
        """All genes: those of the query are found among them."""
        return np.ones(len(self.weights), dtype=bool)

    def by_shard(self, condition: Moments, control: Moments, left_out: Indices, genes: tuple[str, ...]) -> ByShard:
        """Return the score spread over shards so that its mean is the score, and its error the jackknife's.

        An own target is left out of the profile where it is in the query.

        Raises
        ------
        ObjectiveError
            If no gene of the query is left.
        """
        dropped = [int(gene) for gene in left_out if self.weights[gene] != 0]
        names = tuple(genes[gene] for gene in dropped)
        weights = np.delete(self.weights, dropped)
        check_any_left(weights != 0, names)
        profiles = np.delete(condition.log1p - control.log1p, dropped, axis=1)  # (shards, genes)
        return ByShard(jackknifed(profiles, weights), 1.0, int(np.count_nonzero(weights)), names)


def jackknifed(profiles: Array, weights: Array) -> Array:
    """Return values of shards whose mean is the score of the mean profile, (shards,).

    Their spread is that of the jackknife's pseudo-values n θ − (n − 1) θ₋ᵣ (Tukey, 1958), so that the standard error of
    their mean is the jackknife's. Their mean is moved to θ: the score changes its slope where a list is found at the
    other end of the profile, and the jackknife's correction of bias is no good there.

    Parameters
    ----------
    profiles
        Effects, (shards, genes).
    weights
        1 for genes to raise, −1 for genes to lower, 0 for all others, (genes,).
    """
    shards = len(profiles)
    mean = profiles.mean(axis=0)
    without = (shards * mean - profiles) / (shards - 1)  # (shards, genes)
    up, down = np.flatnonzero(weights > 0), np.flatnonzero(weights < 0)
    scores = weighted_connectivity(np.vstack([mean, without]), up, down)
    left_out = (shards - 1) * scores[1:]
    return np.asarray(scores[0] + left_out.mean() - left_out)
