from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
import scipy.sparse as sp

from lingshu_core.baselines import (
    ContextEffects,
    additive_effect,
    context_effects,
    nearest_context_effect,
    real_effect,
)
from lingshu_core.cells import Cells
from lingshu_core.errors import UnusableCells

SEEN = ContextEffects(
    contexts=("B cells", "T cells"),
    effects=np.array([[1.0, 0.0, -1.0], [3.0, 4.0, 1.0]]),
    controls=np.array([[5.0, 1.0, 0.0], [0.0, 1.0, 5.0]]),
    cells=np.array([1, 3]),
)


@pytest.fixture
def four_cells() -> Cells:
    """Depth 10,000: log1p counts per 10k are log1p of the counts."""
    counts = np.array([[0, 1], [0, 3], [2, 1], [6, 0], [1, 1], [5, 5]])
    obs = pd.DataFrame(
        {
            "perturbation": ["ctrl", "ctrl", "IFNB1", "IFNB1", "ctrl", "TNF"],
            "cell_type": ["B", "B", "B", "B", "T", "T"],
        }
    )
    return Cells(sp.csr_matrix(counts), ("X", "Y"), obs, np.full(6, 1e4), ("cell_type",), "ctrl", "four.h5ad")


def test_a_real_effect_is_a_difference_of_means(four_cells: Cells) -> None:
    perturbed = np.asarray(four_cells.obs["perturbation"] == "IFNB1")
    controls = four_cells.is_control & np.asarray(four_cells.obs["cell_type"] == "B")
    expected = [np.log([3, 7]).mean(), np.log([2, 1]).mean() - np.log([2, 4]).mean()]
    np.testing.assert_allclose(real_effect(four_cells, perturbed, controls), expected)


def test_effects_are_measured_where_both_kinds_of_cells_are(four_cells: Cells) -> None:
    found = context_effects(four_cells, "IFNB1", "cell_type")
    assert found.contexts == ("B",)
    assert found.cells.tolist() == [2]
    np.testing.assert_allclose(found.controls, [[0.0, np.log([2, 4]).mean()]])
    np.testing.assert_allclose(found.effects[0, 0], np.log([3, 7]).mean())
    assert context_effects(four_cells, "TNF", "cell_type").contexts == ("T",)


def test_a_perturbation_that_nothing_can_be_compared_with_is_refused(four_cells: Cells) -> None:
    with pytest.raises(UnusableCells, match="no cell_type has both control cells and cells with 'IL2'"):
        context_effects(four_cells, "IL2", "cell_type")


def test_the_additive_effect_is_a_mean_by_cells_or_by_contexts() -> None:
    np.testing.assert_allclose(additive_effect(SEEN, weighted=False), [2.0, 2.0, 0.0])
    np.testing.assert_allclose(additive_effect(SEEN, weighted=True), [2.5, 3.0, 0.5])


def test_the_nearest_context_is_the_one_with_the_most_similar_controls() -> None:
    for control, name, effect in (([4.0, 2.0, 1.0], "B cells", 0), ([1.0, 2.0, 9.0], "T cells", 1)):
        found, copied = nearest_context_effect(SEEN, np.array(control))
        assert found == name
        np.testing.assert_array_equal(copied, SEEN.effects[effect])
