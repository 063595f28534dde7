"""Objectives: what makes a condition a good one, as weights on genes.

The objectives of this module are additive per gene, so a condition is scored from its per-gene effects and no cells
have to be kept; others build on their readout (`population_readout`, `connectivity_readout`).
With weights a and the effect Δ of a condition over the genes U that are used (its own targets
left out):

- ``mean``: effect = Σ_U a_g Δ_g / |U|, in log1p counts per 10k; score = effect / s(U), where s(U) is the
  root mean square over U of the control cells' standard deviation. Leaving a target out changes U and s(U)
  together, so conditions with different sets compare.
- ``share``: effect = score = Σ_U a_g Δ_g / Σ_U a_g², the share of the way along the difference a between
  two groups of cells; 1 arrives, −1 goes as far the other way.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Literal

import numpy as np
import numpy.typing as npt

from screening.errors import ObjectiveError
from screening.folding.effects import Moments, standard_error

Array = npt.NDArray[np.float64]
Indices = npt.NDArray[np.int64]
Members = Sequence[tuple[Moments, Moments]]
"""Moments of a condition and of its control, for each member of an ensemble."""
Normalisation = Literal["mean", "share", "e_distance", "state_share", "heterogeneity", "connectivity"]

UNITS = {
    "mean": "control standard deviations",
    "share": "share of the difference",
    "e_distance": "share of the E-distance between the groups",
    "state_share": "difference of arcsine shares (Cohen's h)",
    "heterogeneity": "variance along the way, way = 1",
    "connectivity": "weighted connectivity score",
}


def least_spread(unit: str, cells: Array) -> Array:
    """Return the least standard deviation that scores of a unit have where nothing is there, as ``cells``.

    A count has one even where it never came out other than 0: 2 arcsin √(share of n cells) has the variance 1 / n
    (Anscombe 1948, https://doi.org/10.1093/biomet/35.3-4.246). Other scores have none that is known beforehand.

    Parameters
    ----------
    unit
        One of `UNITS`' values.
    cells
        Drawn cells of each score, any shape.
    """
    if unit != UNITS["state_share"]:
        return np.zeros(np.shape(cells))
    return np.asarray(1.0 / np.sqrt(np.maximum(cells, 1.0)), dtype=np.float64)


@dataclass(frozen=True)
class Readout:
    """Weights of an objective in one context.

    ``weights`` is (genes,), zero for genes that are not used; ``question`` says it in words.
    """

    weights: Array
    normalisation: Normalisation
    question: str
    marker_genes: tuple[str, ...] = ()

    @property
    def used(self) -> npt.NDArray[np.bool_]:
        """Which genes count, (genes,)."""
        return self.weights != 0

    @property
    def needed(self) -> npt.NDArray[np.bool_]:
        """Genes whose effects have to be known to score a condition, (genes,); those that count among them."""
        return self.used

    @property
    def columns(self) -> tuple[str, ...]:
        """Further columns that it gives a row of the ranked table, all numbers."""
        return ()

    def restricted_to(self, genes: Indices) -> Readout:
        """Return the readout for moments of some of the genes only, ascending; those needed among them."""
        return replace(self, weights=self.weights[genes])

    def by_shard(self, condition: Moments, control: Moments, left_out: Indices, genes: tuple[str, ...]) -> ByShard:
        """Measure one condition in every shard; parameters and errors as in :func:`score_condition`."""
        weights = self.weights.copy()
        dropped = tuple(genes[i] for i in left_out if weights[i] != 0)
        weights[left_out] = 0.0
        used = weights != 0
        check_any_left(used, dropped)
        effects = (condition.log1p[:, used] - control.log1p[:, used]) @ weights[used] / _size(weights[used], self)
        scale = 1.0 if self.normalisation == "share" else float(np.sqrt(control.log1p_variance[used].mean()))
        return ByShard(effects, max(scale, 1e-6), int(used.sum()), dropped)

    def describe(self, members: Members, left_out: Indices) -> Mapping[str, float]:
        """Return the values of its further :attr:`columns` for one condition."""
        return {}


@dataclass(frozen=True)
class Score:
    """Score of one condition, with standard errors over paired shards."""

    score: float
    score_se: float
    effect: float
    effect_se: float
    genes_used: int
    targets_left_out: tuple[str, ...]
    members: int = 1
    score_sd: float | None = None
    """Standard deviation of the score between the members of an ensemble; None for a single model."""
    by_shard: Array = field(default_factory=lambda: np.empty((0, 0)), repr=False, compare=False)
    """The score of every member in every shard, (members, shards): shards pair with those of other conditions."""


def signed_readout(genes: tuple[str, ...], directions: dict[str, int], question: str) -> Readout:
    """Build the readout of a signature or of markers: +1 for genes to raise, −1 for genes to lower.

    Raises
    ------
    ObjectiveError
        If none of the genes is in the model.
    """
    weights = np.array([float(directions.get(gene, 0)) for gene in genes])
    if not weights.any():
        raise ObjectiveError(f"objective: none of its {len(directions)} genes is among the model's {len(genes)}")
    return Readout(weights, "mean", question)


def difference_readout(difference: Array, certain: npt.NDArray[np.bool_], question: str, where: str) -> Readout:
    """Build the readout of a way from one group of cells to another.

    Parameters
    ----------
    difference
        Difference of the groups' means, log1p counts per 10k, (genes,).
    certain
        Genes whose difference stands out from the noise of finite groups, (genes,); only they count.

    Raises
    ------
    ObjectiveError
        If the groups don't differ.
    """
    weights = np.where(certain, difference, 0.0)
    if not weights.any():
        raise ObjectiveError(f"objective: in {where} the two groups of cells do not differ: there is no way to go")
    return Readout(weights, "share", question)


def score_condition(
    condition: Moments, control: Moments, readout: Readout, left_out: npt.NDArray[np.int64], genes: tuple[str, ...]
) -> Score:
    """Score one condition.

    Parameters
    ----------
    condition, control
        Moments of the condition and of the control of its context.
    readout
        Weights in this context.
    left_out
        Indices of the condition's own target genes, left out of its score.
    genes
        Names, for the record.

    Raises
    ------
    ObjectiveError
        If no gene is left.
    """
    return score_members([(condition, control)], readout, left_out, genes)


def score_members(
    members: Members,
    readout: Readout,
    left_out: npt.NDArray[np.int64],
    genes: tuple[str, ...],
) -> Score:
    """Score one condition by the members of an ensemble, each in units of its own control cells.

    The score is the mean over members. Shard r of all members shares its random numbers, so their mean is one
    replicate, and the standard error is over shards. Between members it is the standard deviation: it doesn't shrink
    with more shards, and more members only make it better known.

    Parameters
    ----------
    members
        Moments of the condition and of its control, for each member.
    readout, left_out, genes
        As in :func:`score_condition`.

    Raises
    ------
    ObjectiveError
        If no gene is left.
    """
    found = [readout.by_shard(condition, control, left_out, genes) for condition, control in members]
    first = found[0]
    if len(found) == 1:
        mean, error = float(first.effects.mean()), float(standard_error(first.effects))
        return Score(
            score=mean / first.scale,
            score_se=error / first.scale,
            effect=mean,
            effect_se=error,
            genes_used=first.genes_used,
            targets_left_out=first.targets_left_out,
            by_shard=first.effects[None] / first.scale,
        )
    effects = np.stack([each.effects for each in found])  # (members, shards)
    scores = np.stack([each.effects / each.scale for each in found])
    return Score(
        score=float(scores.mean()),
        score_se=float(standard_error(scores.mean(axis=0))),
        effect=float(effects.mean()),
        effect_se=float(standard_error(effects.mean(axis=0))),
        genes_used=first.genes_used,
        targets_left_out=first.targets_left_out,
        members=len(found),
        score_sd=float(scores.mean(axis=1).std(ddof=1)),
        by_shard=scores,
    )


@dataclass(frozen=True)
class ByShard:
    """Effect of a condition in every shard, (shards,), and what divides it to make a score."""

    effects: Array
    scale: float
    genes_used: int
    targets_left_out: tuple[str, ...]


def check_any_left(used: npt.NDArray[np.bool_], dropped: Sequence[str]) -> None:
    """Make sure that a gene is left to score by once own targets are left out.

    Raises
    ------
    ObjectiveError
        If none is.
    """
    if not used.any():
        raise ObjectiveError(f"no gene is left to score by once the own targets ({', '.join(dropped)}) are left out")


def _size(weights: Array, readout: Readout) -> float:
    return float(np.square(weights).sum()) if readout.normalisation == "share" else float(len(weights))
