"""What would refute a hit, in words and numbers: a sentence made of what the screen found and nothing else.

The prediction is of a depth-matched mean over the genes of the objective, so an experiment can contradict it: with a
measured mean whose one-sided 95 % bound stays under what a hit has to reach. How many cells that takes depends on how
the genes go together in a cell, which a screen by expectations doesn't know. It lies between genes that vary
independently and genes that all vary together:

    cells per arm = 2 (z_.95 + z_.90)² (sd / claim)²,   sd = √(Σ a² v) / size  …  Σ |a| √v / size

with the weights a, the predicted variances v of the perturbed cells, and size the number of genes (for a share of a
difference Σ a²): power 90 % to see that a claim is wrong if nothing happens.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
from scipy import special

from screening.deciding.decisions import HIT
from screening.following_up.own_targets import AGAINST, AS_EXPECTED, UNCLEAR
from screening.objective.objectives import Normalisation

Array = npt.NDArray[np.float64]
_PLANNED = float(special.ndtri(0.95) + special.ndtri(0.90))
MOST_GENES = 20
"""Genes to measure that are named."""


@dataclass(frozen=True)
class Claim:
    """What a condition is predicted to do to the objective, in the unit of ``effect`` of the hit table.

    Attributes
    ----------
    predicted
        Effect behind the score, above the null where there is one.
    low, high
        Ends of its 90 % interval; of the computation alone where there is no null.
    least
        The minimum effect: the null's or the campaign's, the larger; None where there is neither.
    has_null
        Whether there is one.
    cells_least, cells_most
        Cells an arm that refute it, if genes vary independently or all together; None where there is nothing to refute.
    """

    predicted: float
    low: float
    high: float
    least: float | None
    has_null: bool
    cells_least: int | None = None
    cells_most: int | None = None

    @property
    def threshold(self) -> float:
        """What a measured effect has to stay under to refute it: the minimum effect, or the lower end without one."""
        return self.low if self.least is None else self.least


def make_claim(row: Mapping[str, Any], asked: float, weights: Array, variance: Array, way: Normalisation) -> Claim:
    """Take the claim out of a row of the hit table.

    Parameters
    ----------
    row
        A condition that is done.
    asked
        The campaign's own minimum effect, in the unit of score.
    weights
        Of the objective, own targets left out, (genes,).
    variance
        Predicted variance of the condition's cells, squared log1p counts per 10k, (genes,).
    way
        How the objective is normalised.
    """
    scale = row["effect"] / row["score"] if row["score"] else 1.0
    has_null = row["high_90"] is not None and row["minimum_effect"] is not None
    names = ("posterior_mean", "low_90", "high_90") if has_null else ("score", "score_low", "score_high")
    predicted, low, high = (float(row[name]) * scale for name in names)
    least = max(float(row["minimum_effect"]) if has_null else 0.0, asked) * scale or None
    claim = Claim(predicted, low, high, least, has_null)
    if predicted <= 0 or claim.threshold <= 0:
        return claim
    independent, together = spread_of_a_cell(weights, variance, way)
    cells = [max(2, math.ceil(2 * (_PLANNED * sd / claim.threshold) ** 2)) for sd in (independent, together)]
    return Claim(predicted, low, high, least, has_null, *cells)


def spread_of_a_cell(weights: Array, variance: Array, way: Normalisation) -> tuple[float, float]:
    """Return the standard deviation of a cell's effect, if genes vary independently and if all vary together."""
    size = float(np.square(weights).sum() if way == "share" else np.count_nonzero(weights))
    independent = float(np.sqrt((np.square(weights) * variance).sum())) / size
    return independent, float((np.abs(weights) * np.sqrt(variance)).sum()) / size


def genes_to_measure(effect: Array, weights: Array, genes: Sequence[str], most: int = MOST_GENES) -> list[str]:
    """Name the genes of the objective that carry most of the effect, largest part first."""
    order = np.argsort(-weights * effect, kind="stable")
    return [genes[i] for i in order if weights[i] != 0][:most]


@dataclass(frozen=True)
class Standing:
    """What the sentence says besides the claim.

    Attributes
    ----------
    seen
        here, elsewhere, parts or features.
    unseen
        Parts that no cell of was seen.
    nearest, distance
        The trained perturbation that is nearest by features, and how far it is; empty and None where nothing tells.
    on_target
        As the column of the table says.
    """

    seen: str
    unseen: tuple[str, ...] = ()
    nearest: str = ""
    distance: float | None = None
    on_target: str = ""


def refutation(
    row: Mapping[str, Any], claim: Claim, standing: Standing, weights: Array, way: Normalisation, genes: Sequence[str]
) -> str:
    """Write what would refute a condition, as one paragraph; ``genes`` are those to measure."""
    said = [_claim(row, claim, weights, way), *_test(row, claim, way)]
    more = int(np.count_nonzero(weights)) - len(genes)
    rest = f" and {more:,} more of the objective" if more else ""
    said.append(f"To measure: the depth-matched means of {', '.join(genes)}{rest}.")
    said += [sentence for sentence in (_seen(row, standing), _gate(row), _own_target(standing)) if sentence]
    return " ".join(said)


def _claim(row: Mapping[str, Any], claim: Claim, weights: Array, way: Normalisation) -> str:
    interval = f"90 % interval {claim.low:.3g} to {claim.high:.3g}"
    of = "above the null" if claim.has_null else "of the computation alone, as the model has no null"
    number = int(np.count_nonzero(weights))
    if way == "share":
        told = f"goes {claim.predicted:.3g} of the way between the two groups of cells, over {number:,} genes"
    else:
        told = f"{_verb(weights)} by {claim.predicted:.3g} log1p counts per 10k on average"
    if claim.predicted <= 0:
        told = f"is not predicted to move the {number:,} genes of the objective the ways asked ({claim.predicted:.3g})"
    return f"In {row['context']}, {row['perturbation']} {told} ({interval}, {of})."


def _verb(weights: Array) -> str:
    up, down = int((weights > 0).sum()), int((weights < 0).sum())
    genes = f"the {up + down:,} genes of the objective" if up + down > 1 else "the gene of the objective"
    if not (up and down):
        return f"{'raises' if up else 'lowers'} {genes}"
    return f"moves {genes} the ways asked ({up:,} up, {down:,} down)"


def _test(row: Mapping[str, Any], claim: Claim, way: Normalisation) -> list[str]:
    if claim.cells_least is None:
        why = "no effect at all is as well within what is predicted" if claim.predicted > 0 else "there is no claim"
        return [f"Nothing would refute it: {why}."]
    unit = "of the way" if way == "share" else "log1p counts per 10k"
    bound = "the upper 95 % bound of the measured change, counted the ways asked,"
    kind = "a hit" if row["decision"] == HIT else "what a hit would have to be"
    if claim.least is None:
        refuted = (
            f"Without a null nothing says which effect is too small to matter; by its size it is refuted if {bound} is"
            f" under {claim.low:.3g} {unit}, the lower end of that interval."
        )
    else:
        refuted = f"As {kind} it is refuted if {bound} is under the minimum effect, {claim.least:.3g} {unit}"
        weaker = (
            f"; under {claim.low:.3g}, the lower end, it is smaller than predicted" if claim.low > claim.least else ""
        )
        refuted = f"{refuted}{weaker}."
    cells = (
        f"If nothing happens, {claim.cells_least:,} cells per arm show that in 9 of 10 experiments where genes vary"
        f" independently, {claim.cells_most:,} where all vary together; guides and replicates vary besides."
    )
    return [refuted, cells]


def _seen(row: Mapping[str, Any], standing: Standing) -> str:
    if standing.seen == "here":
        return f"{row['training_cells']:,} cells of it here were in the training: only new cells are a test."
    if standing.seen == "elsewhere":
        return (
            f"No cell of it was seen in this context, {row['training_cells_all']:,} were in others: an effect there"
            " says nothing against none here."
        )
    if standing.seen == "parts":
        return "No cell of this combination was seen, only its parts: the test is the combination itself."
    if not standing.unseen:
        return "No perturbed cell of this context was seen, it was learned from controls: the test is in this context."
    near = (
        f"; the nearest trained perturbation is {standing.nearest} (feature distance {standing.distance:.2f})"
        if standing.distance is not None
        else ""
    )
    return f"No cell of {' and '.join(standing.unseen)} was seen: the claim rests on features alone{near}."


def _gate(row: Mapping[str, Any]) -> str:
    words = {
        "fail": "The model's cells here aren't like real ones (gate: fail): doubt the claim before you test it.",
        "warn": "The model's cells here are not quite like real ones (gate: warn).",
    }
    return words.get(row["gate"] or "", "")


def _own_target(standing: Standing) -> str:
    if standing.on_target == AGAINST:
        return "The own target does not change as the perturbation ought to change it: check it first."
    if standing.on_target in (AS_EXPECTED, UNCLEAR):
        return "Make sure that the experiment hits the target (transcript or protein): else it says nothing."
    return ""
