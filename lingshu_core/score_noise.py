"""What the real cells can decide: the scores of predictions against the same experiment done once more.

Bootstrapped cells tell how much a score, or the difference of two models' scores, hangs on which cells happened to be
sequenced. Half of the cells predicting the other half tells what could be reached at all.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import replace

import numpy as np
import numpy.typing as npt
import polars as pl

from lingshu_core.effect_scores import DISCRIMINATIONS, EFFECT_METRICS, Effects, Truth, effect_of
from lingshu_core.gene_scores import gene_scores
from lingshu_core.real_effects import weighted_means
from lingshu_core.score_table import Scores, join_scores
from lingshu_core.splits import Question

Array = npt.NDArray[np.float64]
Mask = npt.NDArray[np.bool_]

NOISE = pl.Schema(
    {
        "model": pl.String,
        "metric": pl.String,
        "fold": pl.String,
        "label": pl.String,
        "draw": pl.Int64,
        "value": pl.Float64,
    }
)
NOT_DRAWN = ("pearson_delta_matched", "wmse", "weighted_r2_delta")
"""Effects at equal depth would need strata of their own in each draw. Weights are chosen by the measured effect, noise
and all; with the same weights in every draw the noise would look smaller than it is."""
DRAWN_METRICS = tuple(name for name in EFFECT_METRICS if name not in NOT_DRAWN)


def bootstrap_scores(
    truth: Truth,
    predicted: Mapping[str, Effects],
    *,
    draws: int = 100,
    seed: int = 0,
    metrics: Iterable[str] = DRAWN_METRICS,
) -> pl.DataFrame:
    """Score several models against redrawn real effects, the same draws for all of them.

    Genes that count and which of them respond stay as they are.

    Parameters
    ----------
    truth
        The questions and their real cells.
    predicted
        Model → label → effect, (genes,), ``log1p counts per 10k``.
    draws
        How often the cells of each group are drawn with replacement (`drawn_effects`).
    seed
        Of the draws.
    metrics
        Some of ``DRAWN_METRICS``.

    Returns
    -------
    polars.DataFrame
        Columns ``model, metric, fold, label, draw, value``, without values that don't exist.
    """
    wanted, real = set(metrics), drawn_effects(truth, draws, seed)
    parts = [pl.DataFrame(schema=NOISE)]
    for model, effects in predicted.items():
        truth.check(effects)
        for label, effect in effects.items():
            found = gene_scores(effect, truth.answers[label], real[label])
            parts += [_rows((model, metric, truth.fold, label), found[metric]) for metric in wanted & set(found)]
        for metric in wanted & set(DISCRIMINATIONS):
            for label, value in truth.told_apart(metric, effects, real).items():
                parts.append(_rows((model, metric, truth.fold, label), value))
    return pl.concat(parts).sort("model", "metric", "label", "draw")


def _rows(names: tuple[str, str, str, str], values: Array | str) -> pl.DataFrame:
    if isinstance(values, str):
        return pl.DataFrame(schema=NOISE)
    columns = dict(zip(("model", "metric", "fold", "label"), ([name] * len(values) for name in names), strict=True))
    table = pl.DataFrame({**columns, "draw": np.arange(len(values)), "value": values}, schema=NOISE)
    return table.filter(pl.col("value").is_finite())


def drawn_effects(truth: Truth, draws: int, seed: int) -> dict[str, Array]:
    """Return effects as repetitions of the experiment might measure them, label → (draws, genes).

    Cells are drawn with replacement within each group. A bootstrapped effect alone would hold the noise twice, that of
    the experiment and that of the draw, and where there is little but noise scores would change too little from draw to
    draw. So the draws scatter around the measured effect, shrunk by the share of its size that is noise, and are as
    large as it on average.
    """
    cells, rng = truth.cells, np.random.default_rng(seed)
    controls: dict[bytes, Array] = {}
    found = {}
    for question in truth.candidates:
        key = question.controls.tobytes()  # questions with the same controls draw the same ones
        if key not in controls:
            controls[key] = weighted_means(cells, question.controls, _bootstrap(question.controls, draws, rng))
        perturbed = weighted_means(cells, question.perturbed, _bootstrap(question.perturbed, draws, rng))
        measured, used = truth.effect(question.label), truth.used(question)
        found[question.label] = _as_large_as_measured(perturbed - controls[key], measured, used)
    return found


def _as_large_as_measured(drawn: Array, measured: Array, used: Mask) -> Array:
    """Take the experiment's own noise out of the centre of bootstrapped effects, (draws, genes).

    How large effect and noise are is asked of the genes that count: a knocked-out target alone can be larger than all.
    """
    size, noise = float(np.square(measured[used]).sum()), float(drawn[:, used].var(axis=0).sum())
    kept = np.sqrt(max(0.0, 1.0 - noise / size)) if size > 0 else 0.0
    return drawn - drawn.mean(axis=0) + kept * measured


def _bootstrap(group: Mask, draws: int, rng: np.random.Generator) -> Array:
    """Return the share of each cell in each draw, (draws, cells of the group)."""
    number = int(group.sum())
    return rng.multinomial(number, np.full(number, 1.0 / number), size=draws) / number


def replicate_scores(truth: Truth, *, splits: int = 5, seed: int = 0) -> Scores:
    """Score half of the real cells as a prediction of the other half: what a replicate of the experiment would get.

    Each half has controls of its own; questions that share controls share their halves. Means over the splits. Half
    the cells are noisier than all of them, so a model that averages well may do a little better than 1 on the scale of
    `lingshu_core.metrics.replicate_scaled`.

    Raises
    ------
    UnusableCells
        If a question has fewer than four perturbed or control cells.
    """
    parts = []
    for split in range(splits):
        first, second = ([_half(each, (seed, split), side) for each in truth.candidates] for side in (0, 1))
        asked = len(truth.questions)
        half = Truth(
            truth.cells,
            second[:asked],
            train=truth.train,
            fold=truth.fold,
            left_out_genes=truth.left_out_genes,
            candidates=second,
        )
        parts.append(
            half.scores({each.label: effect_of(truth.cells, each.perturbed, each.controls) for each in first[:asked]})
        )
    return _mean_scores(join_scores(parts))


def _mean_scores(scores: Scores) -> Scores:
    keys = ["metric", "fold", "label"]
    values = scores.values.group_by(keys, maintain_order=True).agg(pl.col("value").mean())
    left_out = scores.left_out.unique(keys, keep="first", maintain_order=True)
    return Scores(values, left_out.join(values, on=keys, how="anti"))


def _half(question: Question, seed: tuple[int, int], side: int) -> Question:
    perturbed, controls = (half_of(group, seed, side) for group in (question.perturbed, question.controls))
    return replace(question, perturbed=perturbed, controls=controls)


def half_of(group: Mask, seed: tuple[int, ...], side: int) -> Mask:
    """Return one of two random halves of a group, (cells,): the same group and seed give the same halves."""
    order = np.random.default_rng(seed).permutation(np.flatnonzero(group))
    size = len(order) // 2
    half = np.zeros_like(group)
    half[order[side * size : (side + 1) * size]] = True
    return half
