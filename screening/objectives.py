"""Objectives: what makes a condition a good one, as weights on genes.

Every objective is additive per gene, so a condition is scored from its per-gene effects and no cells have
to be kept. With weights a and the effect Δ of a condition over the genes U that are used (its own targets
left out):

- ``mean``: effect = Σ_U a_g Δ_g / |U|, in log1p counts per 10k; score = effect / s(U), where s(U) is the
  root mean square over U of the control cells' standard deviation. Leaving a target out changes U and s(U)
  together, so conditions with different sets compare.
- ``share``: effect = score = Σ_U a_g Δ_g / Σ_U a_g², the share of the way along the difference a between
  two groups of cells; 1 arrives, −1 goes as far the other way.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
import numpy.typing as npt

from screening.effects import Moments, standard_error
from screening.errors import ObjectiveError

Array = npt.NDArray[np.float64]
Normalisation = Literal["mean", "share"]

UNITS = {
    "mean": "control standard deviations",
    "share": "share of the difference",
}


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
    members: Sequence[tuple[Moments, Moments]],
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
    found = [_by_shard(condition, control, readout, left_out, genes) for condition, control in members]
    first = found[0]
    if len(found) == 1:
        mean, error = float(first.effects.mean()), float(standard_error(first.effects))
        return Score(mean / first.scale, error / first.scale, mean, error, first.genes_used, first.targets_left_out)
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
    )


def effects_by_shard(
    condition: Moments, control: Moments, readout: Readout, left_out: npt.NDArray[np.int64], genes: tuple[str, ...]
) -> tuple[Array, float]:
    """Return the effect of a condition in every shard, (shards,), and what divides it to make a score.

    Arguments and errors are those of :func:`score_condition`.
    """
    found = _by_shard(condition, control, readout, left_out, genes)
    return found.effects, found.scale


@dataclass(frozen=True)
class _ByShard:
    """Effect of a condition in every shard, (shards,), and what divides it to make a score."""

    effects: Array
    scale: float
    genes_used: int
    targets_left_out: tuple[str, ...]


def _by_shard(
    condition: Moments, control: Moments, readout: Readout, left_out: npt.NDArray[np.int64], genes: tuple[str, ...]
) -> _ByShard:
    weights = readout.weights.copy()
    dropped = tuple(genes[i] for i in left_out if weights[i] != 0)
    weights[left_out] = 0.0
    used = weights != 0
    if not used.any():
        raise ObjectiveError(f"no gene is left to score by once the own targets ({', '.join(dropped)}) are left out")
    effects = (condition.log1p[:, used] - control.log1p[:, used]) @ weights[used] / _size(weights[used], readout)
    scale = 1.0 if readout.normalisation == "share" else float(np.sqrt(control.log1p_variance[used].mean()))
    return _ByShard(effects, max(scale, 1e-6), int(used.sum()), dropped)


def _size(weights: Array, readout: Readout) -> float:
    return float(np.square(weights).sum()) if readout.normalisation == "share" else float(len(weights))
