import numpy as np
import pytest

from screening.following_up.condition_distances import EffectDistances, LabelDistances

LABELS = LabelDistances([["A", "c=T"], ["B", "c=T"], ["A", "B", "c=T"], ["C", "c=B"]])


def test_labels_are_unlike_by_what_they_do_not_share() -> None:
    assert LABELS.to(0).tolist() == pytest.approx([0.0, 2 / 3, 1 / 3, 1.0])


def test_effects_are_the_same_apart_or_opposite() -> None:
    effects = np.array([[1, 0], [1, 0], [-2, 0], [0, 0]], dtype=np.float32)
    distances = EffectDistances(effects, np.arange(4), LABELS)
    assert distances.to(0).tolist() == pytest.approx([0.0, 0.0, 1.0, 1.0])
    assert distances.to(3).tolist() == pytest.approx([1.0, 1.0, 1.0, 0.0])


def test_it_is_symmetric() -> None:
    effects = np.random.default_rng(0).normal(size=(4, 6)).astype(np.float32)
    distances = EffectDistances(effects, np.arange(4), LABELS)
    matrix = np.stack([distances.to(place) for place in range(4)])
    assert matrix == pytest.approx(matrix.T, abs=1e-6)
    assert ((matrix >= 0) & (matrix <= 1)).all()


def test_conditions_without_effects_go_by_their_labels() -> None:
    distances = EffectDistances(np.ones((2, 3), dtype=np.float32), np.array([0, 1, -1, -1]), LABELS)
    assert distances.to(0).tolist() == pytest.approx([0.0, 0.0, 1 / 3, 1.0])
    assert distances.to(2).tolist() == LABELS.to(2).tolist()
