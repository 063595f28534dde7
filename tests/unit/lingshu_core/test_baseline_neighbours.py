from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sklearn.linear_model import Ridge

from lingshu_core.baseline_neighbours import (
    NEIGHBOURS,
    STRENGTHS,
    Choice,
    choices_from_json,
    choices_to_json,
    choose_neighbours,
    choose_ridge,
    nearest_weights,
    ridge_weights,
)


def task(count: int = 20, dims: int = 6, noise: float = 0.1) -> tuple[np.ndarray, np.ndarray]:  # type: ignore[type-arg]
    draw = np.random.default_rng(3)
    known = draw.normal(size=(count, dims))
    return known, known @ draw.normal(size=(dims, 30)) + noise * draw.normal(size=(count, 30))


@pytest.mark.parametrize("strength", [0.01, 1.0, 100.0])
def test_ridge_weights_predict_as_sklearn_does(strength: float) -> None:
    known, effects = task()
    asked = np.random.default_rng(1).normal(size=(4, 6))
    centred = known - known.mean(axis=0)
    penalty = strength * np.square(centred).sum() / len(known)
    expected = Ridge(alpha=penalty).fit(known, effects).predict(asked)
    weights = ridge_weights(known, asked, strength)
    np.testing.assert_allclose(weights @ effects, expected, atol=1e-8)
    np.testing.assert_allclose(weights.sum(axis=1), 1.0)


def test_leaving_one_out_in_closed_form_is_leaving_one_out() -> None:
    known, effects = task(count=8)
    found = choose_ridge(known, effects)
    penalty = found.value * np.square(known - known.mean(axis=0)).sum() / len(known)
    left_out = []
    for one in range(8):
        rest = np.arange(8) != one
        left_out.append(Ridge(alpha=penalty).fit(known[rest], effects[rest]).predict(known[[one]])[0])
    mean = np.stack([effects[np.arange(8) != one].mean(axis=0) for one in range(8)])
    ratio = np.square(effects - np.stack(left_out)).mean() / np.square(effects - mean).mean()
    assert found.error == pytest.approx(ratio)
    assert found.value in STRENGTHS


def test_features_that_say_nothing_are_not_listened_to() -> None:
    draw = np.random.default_rng(0)
    found = choose_ridge(draw.normal(size=(30, 5)), draw.normal(size=(30, 200)))
    assert found.value >= 10
    assert found.error <= 1.0
    assert choose_ridge(*task()).error < 0.2


def test_infinite_strength_is_the_mean() -> None:
    known, effects = task()
    weights = ridge_weights(known, known[:1], np.inf)
    np.testing.assert_allclose(weights @ effects, [effects.mean(axis=0)])


def test_equal_or_few_features_leave_the_mean() -> None:
    assert choose_ridge(np.ones((5, 2)), np.random.default_rng(0).normal(size=(5, 3))) == Choice(np.inf, 1.0)
    assert choose_ridge(np.eye(2), np.eye(2)) == Choice(np.inf, 1.0)
    assert choose_ridge(np.eye(5), np.empty((5, 0))) == Choice(np.inf, 1.0)  # a low-rank model of rank 0
    assert choose_neighbours(np.eye(2), np.eye(2)) == Choice(1, 1.0)


def test_the_nearest_by_cosine_have_the_say() -> None:
    known = np.array([[1.0, 0.0], [0.0, 1.0], [-1.0, 0.0]])
    weights = nearest_weights(known, np.array([[5.0, 1.0]]), 1)
    np.testing.assert_array_equal(weights, [[1.0, 0.0, 0.0]])
    both = nearest_weights(known, np.array([[5.0, 5.0]]), 3)
    np.testing.assert_allclose(both, [[0.5, 0.5, 0.0]])  # who points the other way has none


def test_nobody_is_its_own_neighbour() -> None:
    """With orthogonal features nobody is like anybody: everyone is predicted as the mean of the others."""
    found = choose_neighbours(np.eye(6), np.random.default_rng(0).normal(size=(6, 9)))
    assert found.error == pytest.approx(1.0)
    known, effects = task()
    assert choose_neighbours(known, effects).error < 1.0
    assert choose_neighbours(known, effects).value in (*NEIGHBOURS, len(known) - 1)


@given(st.integers(1, 12), st.integers(1, 20))
def test_weights_of_neighbours_sum_to_one(count: int, neighbours: int) -> None:
    draw = np.random.default_rng(count)
    weights = nearest_weights(draw.normal(size=(count, 3)), draw.normal(size=(2, 3)), neighbours)
    np.testing.assert_allclose(weights.sum(axis=1), 1.0)
    assert (weights >= 0).all()


def test_choices_survive_json() -> None:
    choices = {0: Choice(np.inf, 1.0), 3: Choice(5.0, 0.7)}
    assert choices_from_json(choices_to_json(choices)) == choices
