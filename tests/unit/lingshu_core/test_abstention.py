import numpy as np
import pytest

from lingshu_core.abstention import ANSWERED, AbstentionCurve, Unit, abstention_curve
from lingshu_core.errors import CalibrationError
from lingshu_core.uncertainty import Prediction

GENES = 200


def made(number: int) -> Prediction:
    rng = np.random.default_rng(number)
    error = rng.exponential(size=GENES)
    return Prediction(f"c{number}", f"g{number}", np.zeros(GENES), error, np.zeros(GENES))


MANY = [made(number) for number in range(8)]


def test_who_knows_the_errors_gains_all() -> None:
    found = abstention_curve(MANY, [np.abs(each.real) for each in MANY])
    assert found.gain == pytest.approx(1.0)
    assert (np.diff(found.error) < 0).all()
    assert np.allclose(found.error, found.oracle)


def test_who_knows_nothing_gains_nothing() -> None:
    rng = np.random.default_rng(9)
    found = abstention_curve(MANY, [rng.random(GENES) for _ in MANY])
    assert found.gain == pytest.approx(0.0, abs=0.1)
    assert found.gain_low < 0 < found.gain_high
    inside = (found.random_low <= found.error) & (found.error <= found.random_high)
    assert inside[: len(ANSWERED) // 2].mean() > 0.6


def test_who_is_surest_where_most_wrong_loses() -> None:
    assert abstention_curve(MANY, [-each.real for each in MANY]).gain < -0.5


def test_the_same_uncertainty_for_all_is_exactly_chance() -> None:
    # Genes are in the order of their errors: an order among equals would give it away.
    ordered = [Prediction(e.label, e.group, e.effect, np.sort(e.real), e.real_se) for e in MANY]
    found = abstention_curve(ordered, [np.ones(GENES) for _ in ordered])
    assert found.gain == pytest.approx(0.0, abs=1e-12)
    assert found.error == pytest.approx(np.full(len(ANSWERED), found.random_area))


def test_everything_answered_is_the_mean_error() -> None:
    found = abstention_curve(MANY, [each.real for each in MANY])
    mean = np.mean([each.real.mean() for each in MANY])
    for curve in (found.error, found.random, found.oracle):
        assert curve[0] == pytest.approx(mean)
    assert found.random_area == pytest.approx(mean)


def test_whole_conditions_are_left_unanswered() -> None:
    hard = [Prediction(e.label, e.group, e.effect, e.real * (i + 1), e.real_se) for i, e in enumerate(MANY)]
    sizes = [np.full(GENES, float(i)) for i in range(len(hard))]
    found: AbstentionCurve = abstention_curve(hard, sizes, "condition")
    assert found.gain == pytest.approx(1.0)
    assert abstention_curve(hard, sizes[::-1], "condition").gain < 0


def test_genes_left_out_do_not_count() -> None:
    far = [Prediction(e.label, e.group, e.effect, np.append(e.real[1:], 1e6), e.real_se) for e in MANY]
    found = abstention_curve([each.without([GENES - 1]) for each in far], [each.real for each in MANY])
    assert found.random_area < 2


def test_a_single_group_has_no_interval() -> None:
    found = abstention_curve(MANY[:1], [MANY[0].real])
    assert np.isnan([found.gain_low, found.gain_high]).all()


@pytest.mark.parametrize(
    ("uncertainty", "unit", "message"),
    [([np.ones(GENES)], "gene", "8 predictions have 1"), ([np.ones(3)] * 8, "gene", "shape")],
)
def test_an_uncertainty_a_value_is_needed(uncertainty: list[np.ndarray], unit: Unit, message: str) -> None:
    with pytest.raises(CalibrationError, match=message):
        abstention_curve(MANY, uncertainty, unit)


def test_one_value_makes_no_curve() -> None:
    with pytest.raises(CalibrationError, match="at least two answered conditions"):
        abstention_curve(MANY[:1], [MANY[0].real], "condition")
    silent = Prediction("s", "s", np.zeros(3), np.full(3, np.nan), np.zeros(3))
    with pytest.raises(CalibrationError, match="none has one"):
        abstention_curve([silent], [np.ones(3)])
