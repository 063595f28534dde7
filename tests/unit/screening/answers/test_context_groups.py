from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from screening.answers.context_groups import ContextGroups, false_discoveries
from screening.answers.context_scores import ContextScores

Make = Callable[..., Any]
LABELS = ["cell_type=B, donor=1", "cell_type=T, donor=1", "cell_type=T, donor=2"]


def grouped(screen: Any, minimum: float = 0.0) -> ContextGroups:
    return ContextGroups.of(ContextScores.of(*screen, LABELS), ["B", "T", "T"], minimum)


def test_contexts_of_a_value_are_averaged(decided_screen: Make) -> None:
    groups = grouped(decided_screen({"A": dict(zip(LABELS, (0.5, 0.1, 0.3), strict=True))}))
    assert groups.values == ("B", "T")
    assert groups.above.tolist() == [pytest.approx([0.5, 0.2])]
    assert (groups.p[0] < 0.01).all()


def test_a_context_that_failed_is_left_out_of_the_mean_and_told(decided_screen: Make) -> None:
    groups = grouped(decided_screen({"A": dict(zip(LABELS, (0.5, None, 0.3), strict=True))}))
    assert groups.above[0].tolist() == pytest.approx([0.5, 0.3])
    assert groups.obstacle(0) == "in cell_type=T, donor=1: failed: it exploded"


def test_variances_of_weighted_sums_are_those_of_their_contexts(decided_screen: Make) -> None:
    groups = grouped(decided_screen({"A": dict(zip(LABELS, (0.5, 0.1, 0.3), strict=True))}, own=0.05))
    for place in range(2):
        weights = np.eye(2)[[place]]
        assert groups.variance_of(weights) == pytest.approx(groups.widened_variance[:, place])


def test_a_minimum_effect_can_be_asked_for(decided_screen: Make) -> None:
    screen = decided_screen({"A": dict.fromkeys(LABELS, 0.5)})
    assert (grouped(screen, 0.4).least == 0.4).all()
    assert (grouped(screen).least < 0.4).all()


def test_adjusted_p_values_keep_their_shape() -> None:
    q = false_discoveries(np.array([[0.01, np.nan], [0.02, 0.5]]))
    assert q[0, 0] == q[1, 0] == pytest.approx(0.03)
    assert np.isnan(q[0, 1])
    assert np.isnan(false_discoveries(np.array([np.nan]))).all()
