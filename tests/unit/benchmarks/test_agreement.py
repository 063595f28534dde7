from __future__ import annotations

import numpy as np
import pytest

from benchmarks.agreement import perturbation_discrimination

RNG = np.random.default_rng(0)
REAL = {name: RNG.normal(size=30) for name in "ABCDEF"}
ALL_GENES = {name: np.ones(30, dtype=bool) for name in REAL}


def test_the_real_effects_tell_themselves_apart() -> None:
    assert perturbation_discrimination(REAL, REAL, ALL_GENES) == 1.0


def test_one_prediction_for_all_is_chance() -> None:
    same = dict.fromkeys(REAL, np.mean(list(REAL.values()), axis=0))
    # Ranks are 0 to n − 1 in some order, so the mean of 1 − rank / n is (n + 1) / 2n.
    assert perturbation_discrimination(same, REAL, ALL_GENES) == pytest.approx(7 / 12)


def test_equal_distances_count_half() -> None:
    flat = {name: np.zeros(3) for name in "AB"}
    assert perturbation_discrimination(flat, flat, dict.fromkeys("AB", np.ones(3, dtype=bool))) == pytest.approx(0.75)


def test_genes_left_out_of_a_prediction_count_for_no_distance() -> None:
    wrong = {name: np.append(effect[:-1], 1e3) for name, effect in REAL.items()}
    without = {name: np.arange(30) < 29 for name in REAL}
    assert perturbation_discrimination(wrong, REAL, without) == 1.0


def test_only_the_predictions_asked_for_are_scored() -> None:
    swapped = {"A": REAL["B"], "B": REAL["B"]}
    # A's own effect is nearer than none but B's and possibly others: B alone scores 1.
    assert perturbation_discrimination({"B": REAL["B"]}, REAL, ALL_GENES) == 1.0
    assert perturbation_discrimination(swapped, REAL, ALL_GENES) < 1.0
