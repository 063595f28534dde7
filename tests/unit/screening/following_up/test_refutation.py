import math
from typing import Any

import numpy as np
import pytest

from screening.following_up.refutation import (
    Claim,
    Standing,
    genes_to_measure,
    make_claim,
    refutation,
    spread_of_a_cell,
)

DOWN, VARIANCE = np.array([-1.0, -1.0, 0.0, -1.0]), np.array([0.25, 0.25, 9.0, 0.25])
HERE = Standing("here")


def row(**changes: Any) -> dict[str, Any]:
    told = {"perturbation": "A", "context": "T cells", "decision": "hit", "gate": "pass", "score": 0.4, "effect": 0.2}
    null = {"posterior_mean": 0.36, "low_90": 0.2, "high_90": 0.5, "minimum_effect": 0.1}
    return (
        told | null | {"score_low": 0.39, "score_high": 0.41, "training_cells": 12, "training_cells_all": 30} | changes
    )


def said(standing: Standing = HERE, weights: np.ndarray = DOWN, **changes: Any) -> str:
    found = row(**changes)
    claim = make_claim(found, 0.0, weights, VARIANCE, "mean")
    return refutation(found, claim, standing, weights, "mean", ["G1", "G2"])


def test_a_claim_is_in_the_unit_of_effects() -> None:
    claim = make_claim(row(), 0.0, DOWN, VARIANCE, "mean")  # half a log1p count is one of the score
    assert (claim.predicted, claim.low, claim.high, claim.least) == pytest.approx((0.18, 0.1, 0.25, 0.05))
    assert claim.threshold == claim.least


def test_the_larger_minimum_effect_counts() -> None:
    assert make_claim(row(), 0.15, DOWN, VARIANCE, "mean").least == pytest.approx(0.075)


def test_without_a_null_the_interval_is_of_the_computation() -> None:
    claim = make_claim(row(minimum_effect=None, high_90=None), 0.0, DOWN, VARIANCE, "mean")
    assert (claim.low, claim.high) == pytest.approx((0.195, 0.205))
    assert (claim.least, claim.has_null, claim.threshold) == (None, False, claim.low)
    asked = make_claim(row(minimum_effect=None, high_90=None), 0.2, DOWN, VARIANCE, "mean")
    assert (asked.least, asked.has_null) == (pytest.approx(0.1), False)
    text = said(minimum_effect=None, high_90=None)
    assert "Without a null nothing says which effect is too small to matter" in text


def test_cells_are_those_of_the_power_of_a_one_sided_test() -> None:
    """Simulated: with the cells that are asked for, nine of ten experiments of nothing refute the claim."""
    claim = make_claim(row(), 0.0, DOWN, VARIANCE, "mean")
    assert claim.cells_most is not None
    random, n, sd = np.random.default_rng(0), claim.cells_most, 0.5  # all genes together: the sd of one gene
    measured = random.normal(0.0, sd, (4000, 2, n)).mean(axis=2)
    bound = measured[:, 0] - measured[:, 1] + 1.6449 * sd * math.sqrt(2 / n)
    assert (bound < claim.threshold).mean() == pytest.approx(0.90, abs=0.015)
    assert claim.cells_least == pytest.approx(claim.cells_most / 3, abs=1)  # of three genes the mean varies a third


def test_spread_counts_the_genes_of_the_objective_only() -> None:
    assert spread_of_a_cell(DOWN, VARIANCE, "mean") == pytest.approx((0.5 / math.sqrt(3), 0.5))
    assert spread_of_a_cell(np.array([2.0, 0, 0, 0]), VARIANCE, "share") == pytest.approx((0.25, 0.25))


def test_the_sentence_has_claim_test_cells_and_genes() -> None:
    text = said()
    assert "In T cells, A lowers the 3 genes of the objective by 0.18 log1p counts per 10k on average" in text
    assert "(90 % interval 0.1 to 0.25, above the null)" in text
    assert "As a hit it is refuted if the upper 95 % bound" in text
    assert "under the minimum effect, 0.05 log1p counts per 10k; under 0.1, the lower end" in text
    assert "depth-matched means of G1, G2 and 1 more of the objective" in text
    assert "12 cells of it here were in the training" in text


@pytest.mark.parametrize(
    ("weights", "words"),
    [
        (np.array([1.0, 1.0, 0, 0]), "raises the 2 genes of the objective"),
        (np.array([-1.0, 0, 0, 0]), "lowers the gene of the objective"),
        (np.array([1.0, -1.0, -1.0, 0]), "moves the 3 genes of the objective the ways asked (1 up, 2 down)"),
    ],
)
def test_the_direction_is_said(weights: np.ndarray, words: str) -> None:
    assert words in said(weights=weights)


def test_where_nothing_is_claimed_nothing_refutes() -> None:
    assert "Nothing would refute it: there is no claim." in said(posterior_mean=-0.1, low_90=-0.2, high_90=0.1)
    found = row(minimum_effect=None, high_90=None, score_low=-0.1)
    claim = make_claim(found, 0.0, DOWN, VARIANCE, "mean")
    text = refutation(found, claim, HERE, DOWN, "mean", ["G1"])
    assert claim.cells_least is None
    assert "no effect at all is as well within what is predicted" in text
    assert "of the computation alone, as the model has no null" in text


@pytest.mark.parametrize(
    ("standing", "words"),
    [
        (Standing("elsewhere"), "No cell of it was seen in this context, 30 were in others"),
        (Standing("parts"), "No cell of this combination was seen"),
        (Standing("features"), "it was learned from controls"),
        (
            Standing("features", ("A",), "B", 0.25),
            "No cell of A was seen: the claim rests on features alone; the nearest",
        ),
        (Standing("features", ("A",)), "No cell of A was seen: the claim rests on features alone."),
        (Standing("here", on_target="against expectation"), "The own target does not change as"),
        (Standing("here", on_target="as expected"), "Make sure that the experiment hits the target"),
    ],
)
def test_what_it_rests_on_is_said(standing: Standing, words: str) -> None:
    assert words in said(standing)


def test_a_gate_that_fails_is_said() -> None:
    assert "gate: fail" in said(gate="fail")
    assert "gate: warn" in said(gate="warn")
    assert "gate" not in said(gate="pass")


def test_shares_have_words_of_their_own() -> None:
    found = row(score=0.2, effect=0.2)
    claim = Claim(0.2, 0.1, 0.3, 0.05, True, 10, 20)
    text = refutation(found, claim, HERE, DOWN, "share", ["G1"])
    assert "goes 0.2 of the way between the two groups of cells, over 3 genes" in text
    assert "minimum effect, 0.05 of the way" in text


def test_the_genes_that_carry_the_effect_come_first() -> None:
    effect = np.array([-0.1, -0.5, -9.0, 0.3])
    assert genes_to_measure(effect, DOWN, ["A", "B", "C", "D"]) == ["B", "A", "D"]
    assert genes_to_measure(effect, DOWN, ["A", "B", "C", "D"], most=1) == ["B"]
