from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from screening.answers.context_scores import COMPUTATION, MEASURED, ContextScores

Make = Callable[..., Any]
T, B = "cell_type=T", "cell_type=B"


def test_scores_are_laid_out_by_perturbation_and_context(decided_screen: Make) -> None:
    scores = ContextScores.of(*decided_screen({"B": {T: 0.2, B: 0.3}, "A": {T: 0.1, B: None}}), [B, T])
    assert scores.perturbations == ("A", "B")
    assert scores.above[1].tolist() == [0.3, 0.2]
    assert np.isnan(scores.above[0, 0])
    assert scores.obstacles[0, 0] == "failed: it exploded"
    assert scores.obstacles[0, 1] == ""
    assert scores.errors == MEASURED


def test_noise_that_contexts_share_is_measured_on_the_null(decided_screen: Make) -> None:
    table = {"A": {T: 0.2, B: 0.3}}
    one = ContextScores.of(*decided_screen(table), [B, T])
    two = ContextScores.of(*decided_screen(table, own=0.05, blocks=400), [B, T])
    assert one.noise_correlation == pytest.approx(1.0)
    assert two.noise_correlation == pytest.approx(0.5, abs=0.1)


def test_a_mean_is_as_noisy_as_one_context_if_they_share_all_of_it(decided_screen: Make) -> None:
    scores = ContextScores.of(*decided_screen({"A": {T: 0.2, B: 0.3}}), [B, T])
    weights = scores.averaging(np.array([True, True]))
    assert weights.tolist() == [[0.5, 0.5]]
    assert scores.mean(weights) == pytest.approx([0.25])
    assert np.sqrt(scores.variance(weights)) == pytest.approx(scores.null_sd[:, 0], rel=1e-3)
    assert (scores.variance(weights, widened=True) > scores.variance(weights)).all()


@pytest.mark.parametrize("tails", ["learned", "heaviest", "normal", "empirical"])
def test_p_values_of_one_context_are_those_of_the_ranked_table(decided_screen: Make, tails: Any) -> None:
    hits, null = decided_screen({"A": {T: 0.2, B: 0.03}, "C": {T: 0.01, B: 0.0}}, tails=tails)
    scores = ContextScores.of(hits, null, [B, T], tails)
    found = scores.p_values(scores.above / scores.null_sd)
    by_row = {(row["perturbation"], row["context"]): row["p_null"] for row in hits.iter_rows(named=True)}
    expected = [[by_row[name, context] for context in scores.contexts] for name in scores.perturbations]
    assert found == pytest.approx(np.array(expected))


def test_a_difference_is_ranked_among_mirror_images_too(decided_screen: Make) -> None:
    scores = ContextScores.of(*decided_screen({"A": {T: 0.2, B: 0.3}}, tails="empirical"), [B, T], "empirical")
    skewed = replace(scores, blocks=np.full((20, 2), -2.0))
    assert skewed.p_values(np.array([1.0])) == pytest.approx([1 / 41])
    assert skewed.p_values(np.array([1.0]), mirrored=True) == pytest.approx([1.0])


def test_without_a_null_the_noise_is_that_of_the_computation(decided_screen: Make) -> None:
    scores = ContextScores.of(*decided_screen({"A": {T: 0.2, B: 0.3}}, blocks=0), [B, T])
    assert scores.errors == COMPUTATION
    assert scores.degrees is None
    assert np.isnan(scores.noise_correlation)
    assert scores.own_variance == pytest.approx(np.full((1, 2), 1e-6))
    assert "too sure" in scores.doubt
    assert "the model has no null" in scores.obstacles[0, 0]
