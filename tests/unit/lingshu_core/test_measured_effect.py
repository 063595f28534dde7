import numpy as np
import pandas as pd
import pytest
import scipy.sparse as sp

from lingshu_core.cells import Cells
from lingshu_core.differences import matched_effect
from lingshu_core.errors import UnusableCells
from lingshu_core.measured_effect import measured_effect, measured_score

MEANS = np.array([0.0, 0.02, 0.5, 3.0, 20.0, 400.0])


def drawn(perturbed: int, controls: int, seed: int) -> Cells:
    """Cells without any effect, of varying depth; the first gene is never seen."""
    rng = np.random.default_rng(seed)
    depth = rng.lognormal(0.0, 0.4, size=perturbed + controls)
    counts = sp.csr_matrix(rng.poisson(MEANS * depth[:, None]))
    labels = ["A"] * perturbed + ["control"] * controls
    total = np.asarray(counts.sum(axis=1)).ravel().astype(float)
    genes = tuple(f"G{i}" for i in range(len(MEANS)))
    return Cells(counts, genes, pd.DataFrame({"perturbation": labels}), total, (), "control")


def test_the_anticipated_error_is_that_of_repeated_experiments() -> None:
    found = [drawn(40, 200, seed) for seed in range(100)]
    measured = [measured_effect(cells, ~cells.is_control, cells.is_control) for cells in found]
    spread = np.std([each.effect for each in measured], axis=0)
    anticipated = np.mean([each.standard_error for each in measured], axis=0)
    # The last gene is nearly all of the depth, and has next to no variance at a given depth.
    assert anticipated[1:5] == pytest.approx(spread[1:5], rel=0.25)


def test_the_effect_is_the_depth_matched_one() -> None:
    cells = drawn(50, 100, 0)
    found = measured_effect(cells, ~cells.is_control, cells.is_control)
    assert np.array_equal(found.effect, matched_effect(cells, ~cells.is_control, cells.is_control))
    assert found.expression == pytest.approx(cells.log1p_per_10k(cells.is_control))


def test_a_gene_that_no_cell_shows_has_an_error_all_the_same() -> None:
    cells = drawn(50, 100, 0)
    found = measured_effect(cells, ~cells.is_control, cells.is_control)
    assert found.effect[0] == 0
    assert 0 < found.standard_error[0] < found.standard_error[2]


def test_more_cells_leave_less_error() -> None:
    errors = []
    for perturbed in (20, 80, 320):
        cells = drawn(perturbed, 400, 1)
        errors.append(measured_effect(cells, ~cells.is_control, cells.is_control).standard_error[3])
    assert errors[0] > errors[1] > errors[2]


def test_groups_that_can_not_be_compared_are_refused() -> None:
    cells = drawn(10, 10, 0)
    with pytest.raises(UnusableCells):
        measured_effect(cells, np.zeros(20, dtype=bool), cells.is_control)


def test_the_error_of_a_score_is_that_of_repeated_experiments() -> None:
    weights = np.array([0.0, 0.5, 0.5, -1.0, 0.0, 0.0])
    found = [drawn(40, 200, seed) for seed in range(100)]
    scores = [measured_score(cells, ~cells.is_control, cells.is_control, weights) for cells in found]
    assert np.mean([each.standard_error for each in scores]) == pytest.approx(
        np.std([each.effect for each in scores]), rel=0.25
    )
    genes = measured_effect(found[0], ~found[0].is_control, found[0].is_control)
    assert scores[0].effect[0] == pytest.approx(genes.effect @ weights)
    assert scores[0].expression[0] == pytest.approx(genes.expression @ weights)
