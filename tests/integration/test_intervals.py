"""Intervals of a model that was trained end to end, on a simulated screen whose true effects are known."""

from collections.abc import Callable

import numpy as np
import pytest

from benchmarks.coverage_questions import Answer, answers, simulated, train
from benchmarks.coverage_tables import half_of, split
from lingshu_core.abstention import abstention_curve
from lingshu_core.interval_coverage import coverage, cross_coverage, stratum_coverage
from lingshu_core.simulation_config import SimulationConfig
from lingshu_core.uncertainty import Prediction, Rule, fit_conformal

SCREEN = SimulationConfig(
    **{"genes": 200, "regulators": 80, "program_genes": 20, "cell_types": 3, "donors": 2, "knockouts": 76},
    **{"knockdowns": 0, "drugs": 0, "combinations": 0, "planted_knockouts": 4, "planted_knockdowns": 0},
    **{"planted_drugs": 0, "planted_combinations": 0, "control_cells": 150, "cells_per_condition": 40},
    **{"measured_share": 1.0, "truth_draws": 48, "hit_margin": 0.01, "seed": 0},
)
LEVEL = 0.9


@pytest.fixture(scope="module")
def found(tmp_path_factory: pytest.TempPathFactory) -> list[Answer]:
    """Every knock-out, held out in one of three cell types."""
    task = simulated(SCREEN, tmp_path_factory.mktemp("screen"), epochs=8)
    return answers(task, [train(task, seed=0)])


def true_genes(each: Answer) -> Prediction:
    true = np.asarray(each.true)
    return each.genes.of_truth(np.where(each.genes.counted, true, np.nan))


def halves(
    found: list[Answer], kind: Callable[[Answer], Prediction], seed: int = 0
) -> tuple[list[Prediction], list[Prediction]]:
    predictions = [kind(each) for each in found]
    return split(predictions, half_of([each.group for each in predictions], seed=seed))


@pytest.mark.parametrize("kind", [lambda each: each.genes, true_genes], ids=["measured", "true"])
def test_intervals_cover_what_they_say(found: list[Answer], kind: Callable[[Answer], Prediction]) -> None:
    # One halving tests 38 knock-outs, whose coverage is uncertain by some points: the mean of four is asked for.
    parts = [halves(found, kind, seed) for seed in range(4)]
    fitted = [(fit_conformal(calibrating), testing) for calibrating, testing in parts]
    tested = [coverage(conformal, testing, LEVEL) for conformal, testing in fitted]
    assert all(each.low <= LEVEL <= each.high or abs(each.value - LEVEL) < 0.05 for each in tested)
    assert 0.87 <= np.mean([each.value for each in tested]) <= 0.93
    assert 0.45 <= np.mean([coverage(conformal, testing, 0.5).value for conformal, testing in fitted]) <= 0.55
    assert 0.87 <= cross_coverage([kind(each) for each in found], LEVEL).value <= 0.93


def test_small_and_large_errors_are_both_covered(found: list[Answer]) -> None:
    calibrating, testing = halves(found, lambda each: each.genes)
    strata = stratum_coverage(fit_conformal(calibrating), testing, LEVEL)
    assert len(strata) == 3
    assert all(0.84 <= share <= 0.96 for _, share in strata)


def test_what_is_calibrated_on_measured_effects_covers_the_true_ones_and_more(found: list[Answer]) -> None:
    calibrating, measured = halves(found, lambda each: each.genes)
    _, true = halves(found, true_genes)
    conformal = fit_conformal(calibrating)
    inside = coverage(conformal, true, LEVEL)
    assert inside.value > LEVEL
    assert inside.width < 0.7 * coverage(conformal, measured, LEVEL).width


@pytest.mark.parametrize(("rule", "least"), [("hierarchical", 0.87), ("pooled", 0.8)])
def test_scores_of_conditions_are_covered(found: list[Answer], rule: Rule, least: float) -> None:
    calibrating, testing = halves(found, lambda each: each.score)
    assert coverage(fit_conformal(calibrating, rule=rule), testing, LEVEL).value >= least


def test_leaving_the_uncertain_genes_out_leaves_smaller_errors(found: list[Answer]) -> None:
    calibrating, _ = halves(found, lambda each: each.genes)
    _, testing = halves(found, true_genes)
    conformal = fit_conformal(calibrating)
    curve = abstention_curve(testing, [conformal.model_error(each) for each in testing])
    assert curve.gain_low > 0.5
    assert curve.error[10] < curve.random_low[10]
