from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import polars as pl
import pytest

from lingshu_core.effect_scores import EFFECT_METRICS, Truth
from lingshu_core.errors import PredictionRefused
from lingshu_core.score_noise import (
    DRAWN_METRICS,
    NOISE,
    NOT_DRAWN,
    bootstrap_scores,
    drawn_effects,
    half_of,
    replicate_scores,
)


@pytest.fixture(scope="module")
def truth(screened: Any) -> Truth:
    return Truth(screened.cells, screened.questions, train=screened.train, fold="held out")


def _models(truth: Truth) -> dict[str, dict[str, np.ndarray]]:
    rng = np.random.default_rng(0)
    real = {label: answer.raw for label, answer in truth.answers.items()}
    return {
        "good": {label: effect + 0.05 * rng.normal(size=len(effect)) for label, effect in real.items()},
        "nothing": {label: np.zeros_like(effect) for label, effect in real.items()},
    }


def test_draws_scatter_around_the_measured_effect_as_its_standard_error_says(truth: Truth) -> None:
    question = truth.questions[0]
    draws = drawn_effects(truth, 400, 0)[question.label]
    scaled = np.log1p(1e4 * truth.cells.counts.toarray() / truth.cells.depth[:, None])
    expected = np.sqrt(
        sum(scaled[group].var(axis=0) / group.sum() for group in (question.perturbed, question.controls))
    )
    measured = truth.answers[question.label].raw
    kept = draws.mean(axis=0) @ measured / (measured @ measured)
    assert 0.9 < kept < 1.0
    used = truth.answers[question.label].used
    assert np.square(draws[:, used]).sum(axis=1).mean() == pytest.approx(np.square(measured[used]).sum(), rel=0.05)
    assert draws.std(axis=0) == pytest.approx(expected, rel=0.2)


def test_questions_with_the_same_controls_draw_the_same_ones(truth: Truth) -> None:
    first, second = list(drawn_effects(truth, 300, 0).values())[:2]
    together = np.mean([np.corrcoef(first[:, gene], second[:, gene])[0, 1] for gene in range(first.shape[1])])
    assert together > 0.1


def test_every_model_is_scored_against_the_same_draws(truth: Truth) -> None:
    found = bootstrap_scores(truth, _models(truth), draws=7)
    assert found.schema == NOISE
    assert set(found["metric"]) == set(DRAWN_METRICS) == set(EFFECT_METRICS) - set(NOT_DRAWN)
    assert found.height == 2 * len(DRAWN_METRICS) * len(truth.questions) * 7
    again = bootstrap_scores(truth, {"good": _models(truth)["good"]}, draws=7)
    assert again.equals(found.filter(pl.col("model") == "good"))
    assert not bootstrap_scores(truth, {"good": _models(truth)["good"]}, draws=7, seed=1).equals(again)


def test_the_draws_are_about_the_score(truth: Truth) -> None:
    models = _models(truth)
    found = bootstrap_scores(truth, models, draws=60, metrics=["pearson_delta", "pds_cosine"])
    drawn = found.filter(pl.col("model") == "good").group_by("metric").agg(pl.col("value").mean())
    measured = truth.scores(models["good"])
    for metric, value in drawn.iter_rows():
        assert value == pytest.approx(measured.mean(metric), abs=0.06)


def test_what_has_no_value_has_no_draws(screened: Any) -> None:
    few = Truth(screened.cells, screened.questions[:2])
    metrics = set(bootstrap_scores(few, _models(few), draws=2)["metric"])
    assert metrics.isdisjoint({"pds_l1", "pds_cosine", "pearson_systema", "weighted_r2_delta", "mae_skill"})
    assert bootstrap_scores(few, {}).schema == NOISE


def test_effects_are_checked_here_too(truth: Truth) -> None:
    with pytest.raises(PredictionRefused, match="never asked"):
        bootstrap_scores(truth, {"good": {"nobody": np.zeros(40)}})


def test_halves_are_disjoint_equal_and_repeatable() -> None:
    group = np.arange(50) % 2 == 0
    first, second = half_of(group, (0, 1), 0), half_of(group, (0, 1), 1)
    assert first.sum() == second.sum() == 12
    assert not (first & second).any()
    assert not ((first | second) & ~group).any()
    assert (half_of(group, (0, 1), 0) == first).all()
    assert (half_of(group, (0, 2), 0) != first).any()


def test_a_replicate_is_good_where_there_are_effects_and_not_where_there_are_none(
    truth: Truth, make_screened: Callable[..., Any]
) -> None:
    found = replicate_scores(truth, splits=3)
    assert found.values.height == len(EFFECT_METRICS) * len(truth.questions)
    assert found.mean("pearson_delta") > 0.8
    assert found.mean("pds_cosine") > 0.9
    none = make_screened(strength=0.0)
    noise = replicate_scores(Truth(none.cells, none.questions, train=none.train), splits=3)
    assert abs(noise.mean("pearson_delta") or 0.0) < 0.2
    assert 0.2 < (noise.mean("pds_cosine") or 0.0) < 0.8


def test_reasons_of_a_replicate_are_said_once(screened: Any) -> None:
    found = replicate_scores(Truth(screened.cells, screened.questions[:2], train=screened.train), splits=3)
    assert found.left_out.filter(pl.col("metric") == "pds_l1").height == 2
