"""What to measure next: conditions that would teach the model most, for the lab.

A condition is worth measuring where the model doesn't know (disagreement), where it could matter (relevance: how likely
the effect reaches the minimum effect), and where nobody has looked (few training cells of the perturbation, in any
context: the model carries its effect over); the three are multiplied. A batch of them is spread by what the model
predicts (`screening.following_up.diverse_batch`). It is made of published results alone.
"""

from __future__ import annotations

import io
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import h5py
import numpy as np
import numpy.typing as npt
import polars as pl
from anndata.io import read_elem
from scipy import special

from actors.blobs import Blobs
from actors.errors import BlobNotFound
from campaigns.conditions import split_combination
from screening.deciding.decisions import FAILED, REFUSED, UNDECIDED
from screening.deciding.hits import COLUMNS as HIT_COLUMNS
from screening.errors import ResultsError
from screening.folding.effect_matrix import LARGEST_EXPORT
from screening.following_up.cell_numbers import cells_per_arm
from screening.following_up.condition_distances import EffectDistances, LabelDistances
from screening.following_up.diverse_batch import Choice, choose_batch
from screening.objective.objectives import UNITS
from screening.publishing.publication import EFFECTS, filter_hits, open_results, read_hits, read_published

Array = npt.NDArray[np.float64]
IN_SDS = 2 * float(special.ndtri(0.95))
"""Width of a 90 % interval in standard deviations."""
BEST_SHARE = 0.1
"""Without a null, what matters is to be among so many of the scores."""

COLUMNS: Mapping[str, tuple[Any, str]] = {
    "order": (pl.Int64, "in which the batch was chosen, 1 first"),
    "perturbation": (pl.String, "as in the ranked table"),
    "context": (pl.String, "as in the ranked table"),
    "why": (pl.String, "why it is proposed, in words"),
    "decision": (pl.String, "of the ranked table"),
    "expected": (pl.Float64, "posterior_mean of the ranked table, or score where there is no null; in score_unit"),
    "expected_low": (pl.Float64, "lower end of its 90 % interval"),
    "expected_high": (pl.Float64, "upper end of its 90 % interval"),
    "score_unit": (pl.String, "unit of score"),
    "disagreement": (
        pl.Float64,
        "score_sd, or for a single model with a null the posterior's standard deviation; in score_unit",
    ),
    "relevance": (pl.Float64, "probability that the effect reaches the threshold"),
    "threshold": (pl.Float64, "minimum effect, or without a null the score of the best tenth; in score_unit"),
    "training_cells": (pl.Int64, "cells of it that the model was trained on, in this context"),
    "training_cells_all": (pl.Int64, "the same in all contexts"),
    "worth": (pl.Float64, "disagreement × relevance × enough / (enough + training_cells_all)"),
    "nearest": (pl.String, "the condition chosen before that is most like it"),
    "distance": (pl.Float64, "how unlike that it is, from 0 to 1"),
    "distance_by": (pl.String, "effects (predicted, per gene) or labels"),
    "cells_per_arm": (
        pl.Int64,
        "cells of perturbation and of control each that show `expected` with 80 % power at 5 %, if the genes of the"
        " objective move as one (the most that is needed); empty where nothing is expected, or a million don't do",
    ),
    "cells_per_arm_least": (pl.Int64, "the same if these genes were independent; the truth is between the two"),
}


@dataclass(frozen=True)
class SuggestionRequest:
    """What is asked of published results.

    Attributes
    ----------
    results
        Folder or URL.
    batch
        How many conditions.
    contexts
        Only these; all where empty.
    minimum_effect
        Instead of the table's, in the unit of the score.
    enough
        Training cells of a perturbation, in all contexts, at which its conditions count half.
    """

    results: str
    batch: int = 24
    contexts: tuple[str, ...] = ()
    minimum_effect: float | None = None
    enough: int = 100


@dataclass(frozen=True)
class Suggestions:
    """A batch (``COLUMNS``), and what there is to say of all of it."""

    batch: pl.DataFrame
    notices: tuple[str, ...]


@dataclass(frozen=True)
class PublishedEffects:
    """What ``effects.h5ad`` has of predicted effects; X and variance are (conditions, genes)."""

    labels: Mapping[tuple[str, str], int]
    effects: npt.NDArray[np.float32]
    variance: npt.NDArray[np.float32]
    genes: tuple[str, ...]
    in_objective: npt.NDArray[np.bool_]


def suggest(request: SuggestionRequest) -> Suggestions:
    """Propose a batch from the published results of a campaign.

    Raises
    ------
    ResultsError
        If there are none, if they don't tell what the model doesn't know, or if nothing is left to propose.
    """
    blobs = open_results(request.results)
    hits = filter_hits(read_hits(blobs), request.contexts, None)
    return propose(hits, read_effects(blobs), request)


def propose(hits: pl.DataFrame, published: PublishedEffects | None, request: SuggestionRequest) -> Suggestions:
    """Propose a batch from a ranked table and, where there are any, predicted effects; as `suggest`."""
    missing = {name: kind for name, (kind, _) in HIT_COLUMNS.items() if name not in hits.columns}
    table = hits.with_columns([pl.lit(None, dtype=kind).alias(name) for name, kind in missing.items()])
    found = (pl.col("status") == "done") & ~pl.col("decision").fill_null("").is_in([FAILED, REFUSED])
    able = table.filter(found).sort("perturbation", "context")
    if able.is_empty():
        raise ResultsError(
            f"{request.results}: no condition is left to propose: all {hits.height} failed or are refused;"
            " `lingshu hits` says why"
        )
    able, basis = _with_disagreement(able, request.results)
    able, threshold = _with_relevance(able, request.minimum_effect)
    # A model has hardly a parameter for a perturbation in one context: cells of another teach it about this one too.
    able = able.with_columns(training_cells_all=pl.max_horizontal("training_cells", "training_cells_all"))
    cells = pl.col("training_cells_all")
    worth = pl.col("disagreement") * pl.col("relevance") * request.enough / (request.enough + cells)
    able = able.with_columns(worth=worth)
    if not able["worth"].max():
        raise ResultsError(
            f"{request.results}: the model is sure of every condition that could matter; nothing to propose:"
            " ask with a smaller --minimum-effect"
        )
    rows = _rows_of(able, published)
    labels = LabelDistances([_words(row) for row in able.select("perturbation", "context").iter_rows()])
    distances = labels if published is None else EffectDistances(published.effects, rows, labels)
    first = (able["decision"] == UNDECIDED).fill_null(value=False).to_numpy()
    # For the same reason a second context of a perturbation teaches little.
    kind = np.unique([_without_doses(label) for label in able["perturbation"]], return_inverse=True)[1]
    chosen = choose_batch(able["worth"].to_numpy(), first, distances, request.batch, kind)
    batch = _described(able, chosen, rows, published, request.enough)
    left_out = table.height - able.height
    return Suggestions(batch, tuple(_notices(request, batch, basis, threshold, rows, left_out)))


def _with_disagreement(able: pl.DataFrame, where: str) -> tuple[pl.DataFrame, str]:
    """Say how unsure the model is of each condition: by its members, or by the posterior of a single one."""
    if able["score_sd"].null_count() == 0:
        return able.with_columns(disagreement="score_sd"), "the spread of the score between members of the ensemble"
    width = pl.col("high_90") - pl.col("low_90")
    if able["low_90"].null_count() < able.height:
        known = able.with_columns(disagreement=(width / IN_SDS).fill_null(0.0))
        return (
            known,
            "the posterior's standard deviation, as there is one model: the noise of a training, no dispute of members",
        )
    raise ResultsError(
        f"{where}: one model without a null doesn't tell what it doesn't know (its Monte Carlo error only shrinks with"
        " compute): screen with an ensemble (`seeds`), or train with `pseudo_perturbations`"
    )


def _with_relevance(able: pl.DataFrame, asked: float | None) -> tuple[pl.DataFrame, str]:
    """Say how likely each effect reaches the threshold: normal, with the posterior's or the members' spread."""
    own = (pl.col("score_se") ** 2 + pl.col("score_sd").fill_null(0.0) ** 2).sqrt()
    able = able.with_columns(
        expected=pl.coalesce("posterior_mean", "score"),
        spread=pl.coalesce((pl.col("high_90") - pl.col("low_90")) / IN_SDS, own),
        best=pl.col("score").quantile(1.0 - BEST_SHARE),
    )
    able = able.with_columns(
        expected_low=pl.coalesce("low_90", pl.col("expected") - pl.col("spread") * IN_SDS / 2),
        expected_high=pl.coalesce("high_90", pl.col("expected") + pl.col("spread") * IN_SDS / 2),
        threshold=pl.coalesce("minimum_effect", "best") if asked is None else pl.lit(asked, dtype=pl.Float64),
    )
    above = (able["expected"] - able["threshold"]).to_numpy()
    spread = able["spread"].to_numpy()
    relevance = np.where(spread > 0, special.ndtr(above / np.where(spread > 0, spread, 1.0)), above >= 0)
    if asked is not None:
        words = f"{asked:g}, as asked"
    elif able["minimum_effect"].null_count() < able.height:
        words = "the minimum effect of the null"
    else:
        words = "the score of the best tenth, as there is no null"
    return able.with_columns(relevance=pl.Series(relevance, dtype=pl.Float64)), words


def _words(row: tuple[str, str]) -> list[str]:
    perturbation, context = row
    return list(dict.fromkeys([*_names(perturbation), *context.split(", ")]))


def _names(perturbation: str) -> list[str]:
    try:
        parts = split_combination(perturbation)
    except ValueError:  # a label of somebody else's table
        parts = (perturbation,)
    return [part.partition("@")[0] for part in parts]


def _without_doses(perturbation: str) -> str:
    return "+".join(_names(perturbation))


def _rows_of(able: pl.DataFrame, published: PublishedEffects | None) -> npt.NDArray[np.int64]:
    labels = able.select("perturbation", "context").iter_rows()
    known: Mapping[tuple[str, str], int] = {} if published is None else published.labels
    return np.array([known.get((perturbation, context), -1) for perturbation, context in labels], dtype=np.int64)


def _described(
    able: pl.DataFrame,
    chosen: Sequence[Choice],
    rows: npt.NDArray[np.int64],
    published: PublishedEffects | None,
    enough: int,
) -> pl.DataFrame:
    ranks = (able["disagreement"].rank("min") - 1) / able.height
    described = []
    for order, choice in enumerate(chosen, start=1):
        row = able.row(choice.place, named=True) | {"order": order, "distance": None, "nearest": None}
        if choice.nearest is not None:
            other = able.row(choice.nearest, named=True)
            by_effects = rows[choice.place] >= 0 and rows[choice.nearest] >= 0
            row |= {"distance": choice.distance, "nearest": f"{other['perturbation']} in {other['context']}"}
            row |= {"distance_by": "effects" if by_effects else "labels"}
        row |= _cell_numbers(row, published, int(rows[choice.place]))
        described.append({**row, "why": _why(row, ranks[choice.place], enough)})
    schema = {name: kind for name, (kind, _) in COLUMNS.items()}
    return pl.DataFrame([{name: row.get(name) for name in schema} for row in described], schema=schema)


def _why(row: Mapping[str, Any], rank: float, enough: int) -> str:
    """Say in words why a condition is proposed."""
    said = [f"{row['decision'] or 'not decided'}"]
    said.append(f"uncertainty {row['disagreement']:.2g}, more than {rank:.0%} of the conditions")
    said.append(f"{row['relevance']:.0%} likely to reach {row['threshold']:.2g}")
    cells = row["training_cells_all"]
    if not cells:
        said.append("never measured")
    else:
        held = f", so it counts {enough / (enough + cells):.0%}" if cells >= enough else ""
        place = "" if row["training_cells"] else " elsewhere, never here"
        said.append(f"{'well' if cells >= enough else 'thinly'} measured with {cells} cells{place}{held}")
    if row["nearest"] is not None:
        alike = "unlike" if row["distance"] >= 0.5 else "nearest to"
        said.append(f"{alike} {row['nearest']} before it ({row['distance']:.2f})")
    return "; ".join(said)


def _cell_numbers(row: Mapping[str, Any], published: PublishedEffects | None, place: int) -> dict[str, int | None]:
    """Say how many cells show what is expected; only where scores are in standard deviations of control cells."""
    if row["score_unit"] != UNITS["mean"] or not row["score"] or not row["effect"]:
        return {}
    control = row["effect"] / row["score"]  # a score is an effect over the control cells' standard deviation
    pooled = control
    if published is not None and place >= 0:
        own = published.in_objective & ~np.isin(published.genes, (row["targets_left_out"] or "").split("+"))
        if own.any():
            pooled = float(np.sqrt((control**2 + published.variance[place, own].mean(dtype=np.float64)) / 2))
    effect, genes = row["expected"] * control, max(row["genes_used"] or 1, 1)
    return {
        "cells_per_arm": cells_per_arm(effect, pooled),
        "cells_per_arm_least": cells_per_arm(effect, pooled / np.sqrt(genes)),
    }


def _notices(
    request: SuggestionRequest,
    batch: pl.DataFrame,
    basis: str,
    threshold: str,
    rows: npt.NDArray[np.int64],
    left_out: int,
) -> list[str]:
    said = [f"uncertainty: {basis}", f"relevance: the chance to reach {threshold}"]
    if left_out:
        said.append(f"{left_out} conditions failed or are refused, and are not proposed")
    if batch.height < request.batch:
        said.append(f"asked for {request.batch}, and there are {batch.height} to propose")
    lacking = int((rows < 0).sum())
    if lacking == len(rows):
        said.append(f"spread by labels: there are no predicted effects ({EFFECTS}) of these conditions")
    elif lacking:
        said.append(f"{EFFECTS} has no effects of {lacking:,} of {len(rows):,} conditions; these are spread by labels")
    return said


def read_effects(blobs: Blobs) -> PublishedEffects | None:
    """Read the predicted effects of published results; None where there are none.

    Raises
    ------
    ResultsError
        If the file is damaged.
    """
    try:
        content = read_published(blobs, EFFECTS)
    except BlobNotFound:
        return None
    try:
        with h5py.File(io.BytesIO(content), "r") as file:
            if file["X"].size > 2 * LARGEST_EXPORT:  # a small file can hold any number of equal rows
                raise ValueError(f"it has {file['X'].size:,} numbers")
            obs, var = read_elem(file["obs"]), read_elem(file["var"])
            effects, variance = file["X"][()], file["layers/variance"][()]
        labels = zip(obs["perturbation"].astype(str), obs["context"].astype(str), strict=True)
        found = PublishedEffects(
            {label: place for place, label in enumerate(labels)},
            np.asarray(effects, dtype=np.float32),
            np.asarray(variance, dtype=np.float32),
            tuple(map(str, var.index)),
            var["in_objective"].to_numpy().astype(bool),
        )
    except (OSError, KeyError, ValueError, TypeError, AttributeError) as error:
        reason = " ".join(str(error).split())[:200]
        raise ResultsError(
            f"{blobs.url}/{EFFECTS}: not readable as effects of a screen ({reason}); run again"
        ) from error
    if found.effects.shape != (len(found.labels), len(found.genes)) or found.variance.shape != found.effects.shape:
        raise ResultsError(f"{blobs.url}/{EFFECTS}: its tables don't fit one another; run the campaign again")
    return found
