from __future__ import annotations

import numpy as np
import pytest

from lingshu_core.drug_baselines import neighbour_effects
from lingshu_core.errors import ConfigurationError

EFFECTS = np.array([[1.0, 0.0], [0.0, 1.0], [9.0, 9.0]])


def test_the_nearest_count_by_similarity() -> None:
    found = neighbour_effects(np.array([[0.6, 0.2, 0.1]]), EFFECTS, 2)
    np.testing.assert_allclose(found, [[0.75, 0.25]])


def test_a_drug_like_none_gets_the_mean() -> None:
    np.testing.assert_allclose(neighbour_effects(np.zeros((1, 3)), EFFECTS, 2), [EFFECTS.mean(axis=0)])


def test_effects_keep_their_further_axes() -> None:
    assert neighbour_effects(np.ones((4, 3)), np.ones((3, 2, 5))).shape == (4, 2, 5)


@pytest.mark.parametrize(("known", "neighbours"), [(2, 5), (3, 0)])
def test_shapes_that_do_not_fit_are_refused(known: int, neighbours: int) -> None:
    with pytest.raises(ConfigurationError):
        neighbour_effects(np.ones((1, known)), EFFECTS, neighbours)
