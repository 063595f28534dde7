from __future__ import annotations

import numpy as np
import pytest

from lingshu_core.cells import Cells
from lingshu_core.errors import UnusableCells
from lingshu_core.replicate_ceiling import split_half_effects, split_halves


@pytest.fixture
def masks(cells: Cells) -> tuple[np.ndarray, np.ndarray]:  # type: ignore[type-arg]
    return np.asarray(cells.obs["perturbation"] == "STAT1"), cells.is_control


def test_halves_share_no_cell_and_leave_none_out(masks: tuple[np.ndarray, np.ndarray]) -> None:  # type: ignore[type-arg]
    halves = split_halves(*masks, seed=0, split=0)
    for mask, (first, second) in zip(masks, (halves.perturbed, halves.controls), strict=True):
        assert not (first & second).any()
        np.testing.assert_array_equal(first | second, mask)
        assert abs(int(first.sum()) - int(second.sum())) <= 1


def test_every_split_is_another_one_and_the_same_again(masks: tuple[np.ndarray, np.ndarray]) -> None:  # type: ignore[type-arg]
    first, again = (split_halves(*masks, seed=0, split=0) for _ in range(2))
    np.testing.assert_array_equal(first.perturbed[0], again.perturbed[0])
    for other in (split_halves(*masks, seed=0, split=1), split_halves(*masks, seed=1, split=0)):
        assert not np.array_equal(first.perturbed[0], other.perturbed[0])


def test_halves_agree_as_far_as_cells_allow(cells: Cells, masks: tuple[np.ndarray, np.ndarray]) -> None:  # type: ignore[type-arg]
    found = split_half_effects(cells, *masks, splits=6)
    assert len(found) == 6
    agreement = [np.corrcoef(each.prediction, each.truth)[0, 1] for each in found]
    controls = masks[1] & np.asarray(cells.obs["donor"] == "D1")
    null = split_half_effects(cells, controls, masks[1] & ~controls, splits=6)
    nothing = [np.corrcoef(each.prediction, each.truth)[0, 1] for each in null]
    assert np.median(agreement) > 0.6 > np.median(nothing)


def test_one_cell_has_no_halves(cells: Cells, masks: tuple[np.ndarray, np.ndarray]) -> None:  # type: ignore[type-arg]
    one = np.zeros(len(cells), dtype=bool)
    one[0] = True
    with pytest.raises(UnusableCells, match="1 perturbed and 48 control cells can't be split"):
        split_half_effects(cells, one, masks[1])
