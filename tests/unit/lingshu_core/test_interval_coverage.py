import numpy as np
import pytest

from lingshu_core.errors import CalibrationError
from lingshu_core.interval_coverage import (
    bootstrap_interval,
    calibrated_apart,
    calibration_table,
    coverage,
    cross_coverage,
    cross_table,
    paired_table,
    stratum_coverage,
)
from lingshu_core.uncertainty import Conformal, Prediction, fit_conformal


def made(number: int, *, error: float = 0.1, genes: int = 100) -> Prediction:
    rng = np.random.default_rng(number)
    effect = rng.normal(size=genes)
    real = effect + error * rng.normal(size=genes)
    return Prediction(f"c{number}", f"g{number}", effect, real, np.full(genes, 0.05))


@pytest.fixture(scope="module")
def conformal() -> Conformal:
    return fit_conformal([made(number) for number in range(20)])


def test_coverage_is_the_mean_over_groups_of_the_share_inside(conformal: Conformal) -> None:
    right = made(50)
    right = Prediction("right", "a", right.effect, right.effect, right.real_se)
    half = made(51, genes=10)
    real = np.where(np.arange(10) < 5, half.effect, half.effect + 100)
    wrong = Prediction("wrong", "b", half.effect, real, half.real_se)
    found = coverage(conformal, [right, wrong], 0.9)
    assert (found.value, found.groups, found.level) == (0.75, 2, 0.9)
    assert found.low <= 0.75 <= found.high


def test_conditions_of_a_group_are_counted_together(conformal: Conformal) -> None:
    ten, thirty = made(1, genes=10), made(2, genes=30)
    inside = Prediction("x", "one", ten.effect, ten.effect, ten.real_se)
    outside = Prediction("y", "one", thirty.effect, thirty.effect + 100, thirty.real_se)
    found = coverage(conformal, [inside, outside], 0.9)
    assert (found.value, found.groups) == (0.25, 1)
    assert np.isnan([found.low, found.high]).all()


def test_the_interval_of_a_coverage_holds_as_often_as_it_says() -> None:
    inside = 0
    for trial in range(300):
        values = np.random.default_rng(trial).normal(0.9, 0.05, size=8)
        low, high = bootstrap_interval(values)
        inside += low <= 0.9 <= high
    assert 0.9 < inside / 300 < 0.99


def test_a_table_rises_with_the_level(conformal: Conformal) -> None:
    rows = calibration_table(conformal, [made(number) for number in range(50, 60)])
    assert [row.level for row in rows] == sorted(row.level for row in rows)
    assert all(row.value == pytest.approx(row.level, abs=0.06) for row in rows)
    widths = [row.width for row in rows]
    assert widths == sorted(widths)


def test_without_a_split_each_group_is_predicted_from_the_others() -> None:
    many = [made(number, error=0.05 * (number + 1)) for number in range(6)]
    by_hand = [coverage(fit_conformal([o for o in many if o is not each]), [each], 0.9).value for each in many]
    found = cross_coverage(many, 0.9)
    assert found.value == pytest.approx(np.mean(by_hand))
    assert found.groups == 6
    assert [row.level for row in cross_table(many, (0.5, 0.9))] == [0.5, 0.9]


def test_folds_with_calibrations_of_their_own_are_summed_up() -> None:
    first, second = [made(number) for number in range(8)], [made(number, error=1.0) for number in range(20, 28)]
    pairs = [(fit_conformal(first[:6]), first[6:]), (fit_conformal(second[:6]), second[6:])]
    (found,) = paired_table(pairs, (0.9,))
    by_hand = [coverage(conformal, [each], 0.9).value for conformal, asked in pairs for each in asked]
    assert found.value == pytest.approx(np.mean(by_hand))
    assert found.groups == 4


def test_no_group_teaches_its_own_calibration() -> None:
    many = [made(number) for number in range(12)]
    for conformal, asked in calibrated_apart(many):
        assert conformal.groups == 12 - len({each.group for each in asked})


def test_more_groups_than_folds_are_all_predicted() -> None:
    found = cross_coverage([made(number) for number in range(23)], 0.9)
    assert found.groups == 23
    assert found.value == pytest.approx(0.9, abs=0.04)


def test_groups_without_an_answer_are_left_out(conformal: Conformal) -> None:
    silent = Prediction("s", "s", np.zeros(3), np.full(3, np.nan), np.zeros(3))
    assert coverage(conformal, [made(50), made(51), silent], 0.9).groups == 2
    assert cross_coverage([made(1), made(2), made(3), silent], 0.9).groups == 3
    with pytest.raises(CalibrationError, match="none has one"):
        coverage(conformal, [silent], 0.9)


def test_two_groups_can_not_teach_each_other() -> None:
    with pytest.raises(CalibrationError, match="1 group"):
        cross_coverage([made(1), made(2)], 0.9)


def test_strata_have_all_values(conformal: Conformal) -> None:
    many = [made(number) for number in range(50, 60)]
    found = stratum_coverage(conformal, many, 0.9)
    assert sum(values for values, _ in found) == 1_000
    assert len(found) == len(conformal.edges) + 1
