from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from lingshu_core.gene_scores import GENE_METRICS, Answer, correlation, gene_scores
from lingshu_core.metric_catalogue import METRICS
from lingshu_core.real_effects import MeanPerturbation

RAW = np.array([1.0, -1.0, 2.0, 0.25, 0.5, -0.5])
MEAN = np.array([0.5, -0.5, 0.5, 0.0, 0.0, 0.0])
WEIGHTS = np.array([0.2, 0.2, 0.4, 0.0, 0.1, 0.1])
EVERY = np.ones(6, dtype=bool)


def _answer(**fields: object) -> Answer:
    plain = {
        "raw": RAW,
        "matched": RAW,
        "used": EVERY,
        "weights": WEIGHTS,
        "responds": EVERY,
        "mean": MeanPerturbation(MEAN, 3),
    }
    return Answer(**{**plain, **fields})


def _values(predicted: np.ndarray, answer: Answer | None = None) -> dict[str, float]:
    found = gene_scores(predicted, answer or _answer())
    return {name: float(value[0]) for name, value in found.items() if not isinstance(value, str)}


def test_a_perfect_prediction_has_the_best_value_of_every_metric() -> None:
    found = _values(RAW)
    assert sorted(found) == sorted(GENE_METRICS)
    for name, value in found.items():
        assert value == pytest.approx(METRICS[name].best), name


def test_no_change_is_the_zero_of_every_scale() -> None:
    found = _values(np.zeros(6))
    assert found["pearson_delta"] == found["pearson_delta_matched"] == found["spearman_de"] == 0.0
    assert found["direction_fidelity"] == 0.5
    assert found["error_norm"] == 1.0
    assert found["mae"] == pytest.approx(np.abs(RAW).mean())


def test_the_mean_perturbation_has_no_skill_and_is_the_centre() -> None:
    found = _values(MEAN)
    assert found["mae_skill"] == pytest.approx(0.0)
    assert found["pearson_systema"] == 0.0
    assert found["pearson_delta"] > 0.7  # which is why the centre is subtracted


def test_values_by_hand() -> None:
    guess = np.array([1.0, 1.0, 1.0, 0.0, 0.5, -0.5])
    found, error = _values(guess), guess - RAW
    assert found["wmse"] == pytest.approx(0.2 * 4 + 0.4 * 1)
    assert found["mae"] == pytest.approx(3.25 / 6)
    assert found["error_norm"] == pytest.approx(np.sqrt(5.0625) / np.sqrt(RAW @ RAW))
    assert found["direction_fidelity"] == pytest.approx((1 + 0 + 1 + 0.5 + 1 + 1) / 6)
    assert found["mae_skill"] == pytest.approx(1 - np.abs(error).mean() / np.abs(MEAN - RAW).mean())
    centred = RAW - MEAN
    spread = WEIGHTS @ (centred - WEIGHTS @ centred) ** 2
    assert found["weighted_r2_delta"] == pytest.approx(1 - WEIGHTS @ error**2 / spread)
    assert found["pearson_systema"] == pytest.approx(np.corrcoef(guess - MEAN, centred)[0, 1])


def test_only_genes_that_count_count() -> None:
    used = np.array([True, True, True, True, True, False])
    plain = _values(RAW + 0.1 * np.arange(6), _answer(used=used))
    spoiled = RAW + 0.1 * np.arange(6)
    spoiled[5] = 1e6
    assert _values(spoiled, _answer(used=used)) == pytest.approx(plain)


@given(st.permutations(range(6)), st.integers(0, 2**32 - 1))
def test_the_order_of_genes_does_not_matter(order: list[int], seed: int) -> None:
    guess, at = np.random.default_rng(seed).normal(size=6), np.array(order)
    turned = replace(_answer(), raw=RAW[at], matched=RAW[at], weights=WEIGHTS[at], mean=MeanPerturbation(MEAN[at], 3))
    assert _values(guess[at], turned) == pytest.approx(_values(guess))


@pytest.mark.parametrize(
    ("fields", "missing"),
    [
        ({"used": ~EVERY}, set(GENE_METRICS)),
        ({"matched": "depths do not overlap"}, {"pearson_delta_matched"}),
        ({"mean": None}, {"pearson_systema", "weighted_r2_delta", "mae_skill"}),
        ({"mean": MeanPerturbation(MEAN, 1)}, {"pearson_systema", "weighted_r2_delta"}),
        ({"responds": np.arange(6) < 4}, {"direction_fidelity", "spearman_de"}),
    ],
)
def test_what_the_real_cells_cannot_carry_has_a_reason(fields: dict[str, object], missing: set[str]) -> None:
    found = gene_scores(RAW, _answer(**fields))
    assert {name for name, value in found.items() if isinstance(value, str)} == missing
    assert all(value for value in found.values() if isinstance(value, str))


def test_an_effect_that_is_the_same_for_all_genes_cannot_be_correlated_with() -> None:
    assert np.isnan(correlation(RAW, np.ones((1, 6)))).all()
    assert np.isnan(correlation(np.zeros(6), np.ones((1, 6)))).all()


def test_many_draws_are_scored_at_once() -> None:
    rng = np.random.default_rng(0)
    guess, draws = rng.normal(size=6), rng.normal(size=(4, 6))
    together = gene_scores(guess, _answer(), draws)
    for number, draw in enumerate(draws):
        for name, value in _values(guess, _answer(raw=draw)).items():
            if name != "pearson_delta_matched":
                assert together[name][number] == pytest.approx(value), name
