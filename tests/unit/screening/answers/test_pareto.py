from random import Random

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from screening.answers.pareto import pareto_layers

FEW = st.integers(0, 4).map(float)  # few values, so that ties are frequent
POINTS = st.tuples(st.integers(0, 25), st.integers(1, 3)).flatmap(lambda shape: arrays(float, shape, elements=FEW))


def dominates(first: np.ndarray, second: np.ndarray) -> bool:
    return bool((first <= second).all() and (first < second).any())


@given(POINTS)
def test_the_front_is_non_dominated_and_complete(points: np.ndarray) -> None:
    layers = pareto_layers(points)
    best = [not any(dominates(other, point) for other in points) for point in points]
    assert (layers == 1).tolist() == best


@given(POINTS)
def test_every_layer_is_the_front_of_what_is_left(points: np.ndarray) -> None:
    layers = pareto_layers(points)
    assert (layers >= 1).all()
    for number in range(1, layers.max(initial=0) + 1):
        left = layers >= number
        assert (pareto_layers(points[left]) == 1).tolist() == (layers[left] == number).tolist()


@given(POINTS, st.randoms(use_true_random=False))
def test_the_order_of_points_does_not_matter(points: np.ndarray, random: Random) -> None:
    order = list(range(len(points)))
    random.shuffle(order)
    assert pareto_layers(points[order]).tolist() == pareto_layers(points)[order].tolist()


def test_equal_points_share_a_layer() -> None:
    points = np.array([[0.0, 1.0], [0.0, 1.0], [1.0, 1.0], [1.0, 0.0]])
    assert pareto_layers(points).tolist() == [1, 1, 2, 1]


@pytest.mark.parametrize("number", [1, 40])
def test_a_chain_has_as_many_layers_as_points(number: int) -> None:
    chain = np.repeat(np.arange(float(number))[:, None], 3, axis=1)
    assert pareto_layers(chain).tolist() == list(range(1, number + 1))
