"""Scores of one predicted effect over its genes, against one real effect or many draws of it, as plain arrays."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from scipy import stats

from lingshu_core.real_effects import MeanPerturbation

Array = npt.NDArray[np.float64]
Mask = npt.NDArray[np.bool_]

GENE_METRICS = (
    "pearson_delta",
    "pearson_delta_matched",
    "pearson_systema",
    "weighted_r2_delta",
    "mae_skill",
    "wmse",
    "mae",
    "error_norm",
    "direction_fidelity",
    "spearman_de",
)
FEWEST_RESPONDING = 5
"""Responding genes below which their signs and ranks say nothing."""


@dataclass(frozen=True)
class Answer:
    """What the real cells answer to a question; effects, weights and masks are (genes,).

    Attributes
    ----------
    raw
        Mean of the perturbed cells minus that of the controls, ``log1p counts per 10k``.
    matched
        The same between cells of equal depth, or the reason why it can't be had.
    used
        Which genes count.
    weights
        How much a gene weighs by how clearly it responds (`real_effects.response_weights`); 0 where it doesn't count.
    responds
        Which genes differ from controls at a false discovery rate of 5 %.
    mean
        The mean training perturbation of the context.
    """

    raw: Array
    matched: Array | str
    used: Mask
    weights: Array
    responds: Mask
    mean: MeanPerturbation | None


def gene_scores(predicted: Array, answer: Answer, drawn: Array | None = None) -> dict[str, Array | str]:
    """Return metric → scores, (draws,), or why there are none; one draw: the real effect as measured."""
    used = answer.used
    if not used.any():
        return dict.fromkeys(GENE_METRICS, "no gene is left that counts")
    guess, real = predicted[used], (answer.raw[None] if drawn is None else drawn)[:, used]
    matched = answer.matched if isinstance(answer.matched, str) else correlation(guess, answer.matched[used][None])
    error = guess - real
    absolute, weighted = np.abs(error).mean(axis=1), np.square(error) @ answer.weights[used]
    return {
        "pearson_delta": correlation(guess, real),
        "pearson_delta_matched": matched,
        **_beside_mean(guess, real, absolute, weighted, answer),
        "wmse": weighted,
        "mae": absolute,
        "error_norm": _ratio(np.linalg.norm(error, axis=1), np.linalg.norm(real, axis=1)),
        **_of_responding(guess, real, answer.responds[used]),
    }


def _beside_mean(guess: Array, real: Array, absolute: Array, weighted: Array, answer: Answer) -> dict[str, Array | str]:
    """Scores beside the mean training perturbation; ``absolute`` and ``weighted`` errors are (draws,)."""
    few = "training has fewer than two perturbations to centre on"
    if answer.mean is None:
        return {"pearson_systema": few, "weighted_r2_delta": few, "mae_skill": "training has no perturbed cells"}
    mean, weights = answer.mean.effect[answer.used], answer.weights[answer.used]
    skill = 1.0 - _ratio(absolute, np.abs(mean - real).mean(axis=1))
    if answer.mean.perturbations < 2:
        return {"pearson_systema": few, "weighted_r2_delta": few, "mae_skill": skill}
    centred = real - mean
    spread = np.square(centred - (centred @ weights)[:, None]) @ weights
    return {
        "pearson_systema": correlation(guess - mean, centred),
        "weighted_r2_delta": 1.0 - _ratio(weighted, spread),
        "mae_skill": skill,
    }


def _of_responding(guess: Array, real: Array, responds: Mask) -> dict[str, Array | str]:
    number = int(responds.sum())
    if number < FEWEST_RESPONDING:
        reason = f"{number} genes respond in the real cells; at least {FEWEST_RESPONDING} are needed"
        return {"direction_fidelity": reason, "spearman_de": reason}
    guess, real = guess[responds], real[:, responds]
    # No change at all is neither right nor wrong about a direction.
    right = np.where(guess == 0, 0.5, np.sign(guess) == np.sign(real))
    ranks = stats.rankdata(real, axis=1)
    return {"direction_fidelity": right.mean(axis=1), "spearman_de": correlation(stats.rankdata(guess), ranks)}


def correlation(guess: Array, real: Array) -> Array:
    """Return the correlation of a guess, (genes,), with each of several effects, (draws, genes): (draws,).

    0 where the guess is the same for all genes: it carries no information. NaN where the effect is.
    """
    first, second = guess - guess.mean(), real - real.mean(axis=1, keepdims=True)
    lengths = np.linalg.norm(first) * np.linalg.norm(second, axis=1)
    if np.ptp(guess) == 0:
        return np.where(np.ptp(real, axis=1) > 0, 0.0, np.nan)
    return _ratio(second @ first, np.where(np.ptp(real, axis=1) > 0, lengths, 0.0))


def _ratio(above: Array, below: Array) -> Array:
    return np.divide(above, below, out=np.full(np.shape(below), np.nan), where=below > 0)
