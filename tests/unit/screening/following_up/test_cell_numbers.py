import numpy as np
import pytest
from scipy import stats

from screening.following_up.cell_numbers import cells_per_arm


def test_it_is_the_textbook_number() -> None:
    assert cells_per_arm(0.5, 1.0) == 63  # 2 (1.960 + 0.842)² / 0.25 = 62.8
    assert cells_per_arm(1.0, 2.0) == 63


def test_so_many_cells_see_it_in_four_of_five_experiments() -> None:
    number = cells_per_arm(0.5, 1.0)
    random = np.random.default_rng(0)
    treated, control = random.normal(0.5, 1, (4000, number)), random.normal(0, 1, (4000, number))
    seen = stats.ttest_ind(treated, control, axis=1).pvalue < 0.05
    assert seen.mean() == pytest.approx(0.8, abs=0.025)


@pytest.mark.parametrize("effect", [0.0, -1.0, float("nan"), 1e-6])
def test_there_is_no_number_for_nothing(effect: float) -> None:
    assert cells_per_arm(effect, 1.0) is None


def test_an_arm_has_two_cells_at_least() -> None:
    assert cells_per_arm(100.0, 1.0) == 2
