"""``interactions.parquet``: what a combination does beyond its parts, for each whose parts are in the same context.

- *Additive*: expected = Σ scores of the parts; interaction = observed − expected.
- *Bliss*: where scores are shares f in [0, 1], expected = 1 − Π (1 − f), for two parts f_A + f_B − f_A f_B (Bliss 1939,
  doi 10.1111/j.1744-7348.1939.tb06990.x). A share of a way is no share of cells, so it is Bliss-like only.

Monte Carlo errors come from shards that pair the combination with its parts (`screening.objective.combination_scores`).
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import polars as pl
from scipy import stats

from screening.folding.effects import standard_error
from screening.objective.combination_scores import CombinationScore
from screening.objective.objectives import Array

INTERACTIONS = "interactions.parquet"
SYNERGY, ANTAGONISM, ADDITIVE, UNDECIDED = "synergy", "antagonism", "additive", "undecided"
TOLERANCE = 0.1
"""An interaction of less than this share of the larger of observed and expected score is none."""
INTERVAL = 0.9

COLUMNS: Mapping[str, tuple[Any, str]] = {
    "perturbation": (pl.String, "the combination, A+B, with doses as A@0.1+B@0.1"),
    "perturbation_type": (pl.String, "genetic, cytokine, drug or environment"),
    "context": (pl.String, "factors of the context"),
    "parts": (pl.Int64, "perturbations that it is made of"),
    "class": (
        pl.String,
        "synergy (more than the sum), antagonism (less), additive, or undecided: where the 90 % interval lies beside"
        " the margin",
    ),
    "class_reason": (pl.String, "why it is called so, and which errors the interval holds"),
    "score": (pl.Float64, "of the combination, in `score_unit`"),
    "part_scores": (pl.String, "score of each part on the same genes, in `score_unit`"),
    "expected": (pl.Float64, "sum of the scores of the parts on the same genes, in `score_unit`"),
    "interaction": (pl.Float64, "score less expected, in `score_unit`; more than 0 is farther toward the objective"),
    "interaction_se": (pl.Float64, "Monte Carlo standard error of interaction, from shards paired across conditions"),
    "interaction_low": (pl.Float64, "lower end of the 90 % Monte Carlo interval of interaction (Student t)"),
    "interaction_high": (pl.Float64, "upper end of that interval"),
    "interaction_sd": (
        pl.Float64,
        "spread of interaction between members (standard deviation), model uncertainty; empty for one member",
    ),
    "margin": (
        pl.Float64,
        "how large an interaction has to be to count, in `score_unit`: the largest of a tenth of the larger of score"
        " and expected, the minimum effect of the null, and that of the campaign",
    ),
    "expected_bliss": (
        pl.Float64,
        "1 − Π (1 − f) of the shares f of the parts; only for shares of a difference that all lie in [0, 1]",
    ),
    "interaction_bliss": (pl.Float64, "score less expected_bliss"),
    "interaction_bliss_se": (pl.Float64, "its Monte Carlo standard error, from paired shards (delta method)"),
    "training_cells": (pl.Int64, "training cells of the combination in all contexts; 0: it was never seen"),
    "origin": (
        pl.String,
        "what can make an interaction here: counts (the model adds the parts, and counts saturate), backbone (a"
        " transformer may have learned some), baseline (a rule)",
    ),
    "score_unit": (pl.String, "unit of score"),
    "run_id": (pl.String, "digest of plan and objective"),
}


@dataclass(frozen=True)
class ModelFacts:
    """What the table says of the model behind it.

    Attributes
    ----------
    paths
        That are on, as ``bias+tilt+pooled``; members of an ensemble may differ.
    is_baseline
        Whether it is a rule and no network.
    minimum_effect
        That the campaign asks for, in the unit of the score.
    """

    paths: str
    is_baseline: bool
    minimum_effect: float = 0.0

    @property
    def origin(self) -> str:
        """What can make an interaction."""
        if self.is_baseline:
            return "baseline"
        return "backbone" if "backbone" in self.paths else "counts"


@dataclass(frozen=True)
class Difference:
    """Observed less expected: mean, Monte Carlo error, and standard deviation between members (None for one)."""

    mean: float
    error: float
    spread: float | None
    shards: int

    @classmethod
    def of(cls, by_shard: Array) -> Difference:
        """Make it of paired differences, (members, shards)."""
        spread = float(by_shard.mean(axis=1).std(ddof=1)) if len(by_shard) > 1 else None
        return cls(
            mean=float(by_shard.mean()),
            error=float(standard_error(by_shard.mean(axis=0))),
            spread=spread,
            shards=by_shard.shape[1],
        )

    @property
    def monte_carlo(self) -> float:
        """Half of the 90 % Monte Carlo interval."""
        return float(stats.t.ppf(0.5 + INTERVAL / 2, self.shards - 1)) * self.error

    @property
    def width(self) -> float:
        """Half of the 90 % interval with the members in it."""
        members = float(stats.norm.ppf(0.5 + INTERVAL / 2)) * (self.spread or 0.0)
        return float(np.hypot(self.monte_carlo, members))


def additive_difference(found: CombinationScore) -> Difference:
    """Compare a combination with the sum of its parts."""
    return Difference.of(found.whole - found.parts.sum(axis=0))


def bliss_difference(found: CombinationScore) -> Difference | None:
    """Compare shares with 1 − Π (1 − f) of the parts, linearised around their means; None outside [0, 1]."""
    shares = found.parts.mean(axis=(1, 2))  # (parts,)
    if min(shares.min(), found.whole.mean()) < 0.0 or max(shares.max(), found.whole.mean()) > 1.0:
        return None
    left = 1.0 - shares
    # d/df_p of 1 − Π (1 − f) is the product over all others.
    slopes = np.array([np.prod(np.delete(left, part)) for part in range(len(left))])
    moved = np.tensordot(slopes, found.parts - shares[:, None, None], axes=1)  # (members, shards)
    return Difference.of(found.whole - (1.0 - left.prod()) - moved)


def interaction_table(found: Iterable[CombinationScore], hits: pl.DataFrame, model: ModelFacts) -> pl.DataFrame | None:
    """Compare every combination with its parts; None where there is none.

    Parameters
    ----------
    found
        What `screening.objective.combination_scores` gathered.
    hits
        The ranked and decided table, for what it knows of the combinations.
    model
        What is behind the scores.
    """
    scores = list(found)
    if not scores:
        return None
    labels = [(each.perturbation.label, each.context.label) for each in scores]
    asked = pl.DataFrame(labels, schema={"perturbation": pl.String, "context": pl.String}, orient="row")
    known = asked.join(hits, on=["perturbation", "context"], how="left", maintain_order="left")
    rows = (_row(each, row, model) for each, row in zip(scores, known.iter_rows(named=True), strict=True))
    return pl.DataFrame(list(rows), schema={name: kind for name, (kind, _) in COLUMNS.items()}).sort(
        pl.col("interaction").abs(), "perturbation", "context", descending=[True, False, False], nulls_last=True
    )


def _row(found: CombinationScore, known: Mapping[str, Any], model: ModelFacts) -> dict[str, Any]:
    row = {
        "perturbation": found.perturbation.label,
        "perturbation_type": found.perturbation.type,
        "context": found.context.label,
        "parts": len(found.perturbation.parts),
        "training_cells": known["training_cells_all"],
        "origin": model.origin,
        "score_unit": known["score_unit"],
        "run_id": known["run_id"],
    }
    if found.reason:
        return row | {"class": UNDECIDED, "class_reason": found.reason}
    return row | dict(_numbers(found, known, model))


def _numbers(found: CombinationScore, known: Mapping[str, Any], model: ModelFacts) -> Iterator[tuple[str, Any]]:
    parts, difference = found.parts.mean(axis=(1, 2)), additive_difference(found)
    score, expected = float(found.whole.mean()), float(parts.sum())
    least = max(known["minimum_effect"] or 0.0, model.minimum_effect)
    margin = max(TOLERANCE * max(abs(score), abs(expected)), least)
    named = zip(found.perturbation.parts, parts, strict=True)
    yield "score", score
    yield "part_scores", ", ".join(f"{part.label} {value:.3g}" for part, value in named)
    yield "expected", expected
    yield "interaction", difference.mean
    yield "interaction_se", difference.error
    yield "interaction_low", difference.mean - difference.monte_carlo
    yield "interaction_high", difference.mean + difference.monte_carlo
    yield "interaction_sd", difference.spread
    yield "margin", margin
    yield "class", called(difference, margin)
    yield "class_reason", _why(difference, margin, model, seen=bool(known["training_cells_all"]))
    bliss = bliss_difference(found) if known["score_unit"] == "share of the difference" else None
    if bliss is not None:
        yield "expected_bliss", float(1.0 - np.prod(1.0 - parts))
        yield "interaction_bliss", bliss.mean
        yield "interaction_bliss_se", bliss.error


def called(difference: Difference, margin: float) -> str:
    """Name an interaction by where its 90 % interval lies: beyond the margin, within it, or across its end."""
    low, high = difference.mean - difference.width, difference.mean + difference.width
    if low > margin:
        return SYNERGY
    if high < -margin:
        return ANTAGONISM
    return ADDITIVE if -margin <= low and high <= margin else UNDECIDED


def _why(difference: Difference, margin: float, model: ModelFacts, *, seen: bool) -> str:
    low, high = difference.mean - difference.width, difference.mean + difference.width
    errors = "Monte Carlo alone" if difference.spread is None else "Monte Carlo and members"
    text = f"90 % interval {low:.3g} to {high:.3g} ({errors}) beside a margin of {margin:.3g}"
    if model.origin == "counts":
        return f"{text}; the model adds the parts, so this is how counts saturate and no learned interaction"
    if not seen:
        return f"{text}; the combination was never seen in training"
    return text
