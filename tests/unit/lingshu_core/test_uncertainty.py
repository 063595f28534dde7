"""Intervals on made-up predictions whose errors are known."""

import json
import math
from collections.abc import Callable, Sequence
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lingshu_core.errors import CalibrationError
from lingshu_core.interval_coverage import coverage, stratum_coverage
from lingshu_core.measured_effect import MeasuredEffect
from lingshu_core.uncertainty import Conformal, Prediction, fit_conformal

GENES = 400
NOISE = 0.1


def answered(number: int, *, noise: float = NOISE, genes: int = GENES, spread: bool = False) -> Prediction:
    """A condition whose model error is known: .02, a third of the predicted size, and a common shift of its own."""
    rng = np.random.default_rng(number)
    effect = rng.standard_t(3, genes) * 0.1
    scale = 0.02 + np.abs(effect) / 3
    if spread:
        scale = rng.choice([0.02, 0.2], genes)
    true = effect + scale * rng.normal(size=genes) * np.exp(0.3 * rng.normal())
    real_se = noise * rng.uniform(0.5, 1.5, genes)
    return Prediction(
        label=f"condition {number}",
        group=f"perturbation {number}",
        effect=effect,
        real=true + real_se * rng.normal(size=genes),
        real_se=real_se,
        spread=scale if spread else None,
    )


@pytest.fixture(scope="module")
def conformal() -> Conformal:
    return fit_conformal([answered(number) for number in range(40)])


@pytest.mark.parametrize(("level", "low", "high"), [(0.5, 0.47, 0.53), (0.9, 0.88, 0.92)])
def test_new_conditions_are_covered_as_often_as_asked(
    conformal: Conformal, level: float, low: float, high: float
) -> None:
    found = coverage(conformal, [answered(number) for number in range(1_000, 1_100)], level)
    assert low < found.value < high
    assert found.groups == 100


def test_small_and_large_effects_are_covered_alike(conformal: Conformal) -> None:
    found = stratum_coverage(conformal, [answered(number) for number in range(1_000, 1_100)], 0.9)
    assert len(found) == 3
    assert all(0.87 < share < 0.93 for _, share in found)


def test_intervals_are_wider_where_larger_errors_are_expected(conformal: Conformal) -> None:
    asked = replace(answered(1), effect=np.linspace(0, 2, GENES), real_se=np.full(GENES, NOISE))
    width = conformal.interval(asked, 0.9).width
    assert width[-1] > 4 * width[0]


def test_the_answer_is_not_looked_at(conformal: Conformal) -> None:
    asked = answered(1)
    unknown = replace(asked, real=np.full(GENES, np.nan))
    assert np.array_equal(conformal.interval(asked, 0.9).high, conformal.interval(unknown, 0.9).high)


def test_the_true_effect_is_covered_too_by_a_narrower_interval(conformal: Conformal) -> None:
    noisy = [answered(number) for number in range(1_000, 1_050)]
    # The same conditions without the noise of the cells: the draws before it are the same.
    true = [answered(number, noise=0.0) for number in range(1_000, 1_050)]
    found = coverage(conformal, true, 0.9)
    assert 0.87 < found.value < 0.97
    assert found.width < 0.7 * coverage(conformal, noisy, 0.9).width


def test_calibrated_against_true_effects_they_are_covered_as_asked() -> None:
    conformal = fit_conformal([answered(number, noise=0.0) for number in range(40)])
    new = [answered(number, noise=0.0) for number in range(1_000, 1_100)]
    assert 0.88 < coverage(conformal, new, 0.9).value < 0.92
    assert 0.47 < coverage(conformal, new, 0.5).value < 0.53


def test_the_spread_of_an_ensemble_makes_intervals_adapt() -> None:
    told = [answered(number, spread=True) for number in range(30)]
    untold = [replace(each, spread=None) for each in told]
    new = [answered(number, spread=True) for number in range(1_000, 1_040)]
    with_spread, without = fit_conformal(told), fit_conformal(untold)
    assert with_spread.scale.coefficients["spread²"] == pytest.approx(1.0, abs=0.3)
    blind = coverage(without, [replace(each, spread=None) for each in new], 0.9)
    seeing = coverage(with_spread, new, 0.9)
    assert 0.87 < seeing.value < 0.93
    assert seeing.width < 0.95 * blind.width


def test_monte_carlo_error_widens_the_interval(conformal: Conformal) -> None:
    asked = answered(1)
    wide = conformal.interval(replace(asked, mc_se=0.3), 0.9).width
    assert (wide > conformal.interval(asked, 0.9).width).all()
    assert (conformal.model_error(replace(asked, mc_se=0.3)) > 0.3).all()


def scores(values: Sequence[float]) -> list[Prediction]:
    """Predict 0 for every condition; the errors are the values."""
    zero = np.zeros(1)
    return [Prediction(f"c{i}", f"c{i}", zero, np.array([value]), zero) for i, value in enumerate(values)]


@pytest.mark.parametrize(("groups", "level"), [(19, 0.9), (20, 0.9), (9, 0.9), (30, 0.5), (199, 0.95)])
def test_with_one_score_a_group_the_hierarchical_rule_is_split_conformal(groups: int, level: float) -> None:
    errors = np.random.default_rng(groups).permutation(np.arange(1.0, groups + 1))
    conformal = fit_conformal(scores(errors), rule="hierarchical")
    rank = math.ceil((groups + 1) * level - 1e-9)
    half = conformal.half_width(scores([0.0])[0], level)
    # Levels are kept in steps of half a per cent and rounded up.
    assert rank <= half[0] <= rank + math.ceil(groups / 200)


@pytest.mark.parametrize(("groups", "level", "finite"), [(8, 0.9, False), (9, 0.9, True), (2, 0.5, True)])
def test_a_guarantee_takes_enough_groups(groups: int, level: float, finite: bool) -> None:
    conformal = fit_conformal(scores(range(1, groups + 1)), rule="hierarchical")
    assert np.isfinite(conformal.interval(scores([0.0])[0], level).width).all() == finite
    assert ("takes 9 groups, and there are 8" in conformal.promise(level)) != finite


def test_the_hierarchical_rule_keeps_its_word_with_few_groups_that_differ() -> None:
    shares = []
    for trial in range(60):
        many = [answered(trial * 100 + number, genes=50) for number in range(30)]
        conformal = fit_conformal(many[10:20], scaling=many[:10], rule="hierarchical")
        shares.append(coverage(conformal, many[20:], 0.9).value)
    assert np.mean(shares) > 0.9
    assert "at least 90%" in conformal.promise(0.9)
    assert "up to" not in conformal.promise(0.9)


def test_a_promise_names_what_it_rests_on(conformal: Conformal) -> None:
    assert "no guarantee" in conformal.promise(0.9)
    assert "40 held-out groups" in conformal.promise(0.9)
    assert "rough" not in conformal.promise(0.9)
    assert "rough" in fit_conformal([answered(number) for number in range(5)]).promise(0.9)
    own_scale = fit_conformal([answered(number) for number in range(12)], rule="hierarchical")
    assert "up to the fit of the scale" in own_scale.promise(0.9)


def test_a_group_counts_once_however_many_values_it_has() -> None:
    def flat(group: str, error: float, genes: int) -> Prediction:
        zero = np.zeros(genes)
        return Prediction(group, group, zero, np.full(genes, error), zero)

    many = [flat(f"small {i}", 1.0, 50) for i in range(9)] + [flat("large", 9.0, 20_000)]
    conformal = fit_conformal(many)
    assert conformal.half_width(flat("new", 0.0, 1), 0.85)[0] == pytest.approx(1.0)
    assert conformal.half_width(flat("new", 0.0, 1), 0.95)[0] == pytest.approx(9.0)


def test_two_conditions_of_a_group_are_one_group() -> None:
    many = [replace(answered(number), group=f"g{number % 4}") for number in range(12)]
    assert fit_conformal(many).groups == 4


def test_genes_left_out_count_neither_in_calibration_nor_in_coverage(conformal: Conformal) -> None:
    wrong = [replace(answered(n), real=np.where(np.arange(GENES) < 10, 50.0, answered(n).real)) for n in range(40)]
    mended = [each.without(np.arange(10)) for each in wrong]
    found = fit_conformal(mended)
    assert found.quantiles.max() < 0.5 * fit_conformal(wrong).quantiles.max()
    assert coverage(found, mended, 0.995).value > 0.99
    assert int(mended[0].counted.sum()) == GENES - 10
    assert np.isfinite(wrong[0].real).all()  # the original is as it was


@given(levels=st.tuples(st.floats(0.01, 0.99), st.floats(0.01, 0.99)), number=st.integers(0, 1_000))
def test_intervals_grow_with_the_level_and_lie_around_the_prediction(levels: tuple[float, float], number: int) -> None:
    conformal = fit_conformal([answered(number, genes=60) for number in range(6)])
    asked = answered(number, genes=60)
    inner, outer = (conformal.interval(asked, level) for level in sorted(levels))
    assert (outer.low <= inner.low).all()
    assert (inner.high <= outer.high).all()
    assert np.allclose((inner.low + inner.high) / 2, asked.effect)


@settings(max_examples=25)
@given(times=st.floats(0.01, 100.0))
def test_other_units_give_the_same_intervals_in_other_units(times: float) -> None:
    def scaled(each: Prediction) -> Prediction:
        return replace(each, effect=each.effect * times, real=each.real * times, real_se=each.real_se * times)

    many, asked = [answered(number, genes=100) for number in range(8)], answered(99, genes=100)
    plain = fit_conformal(many).interval(asked, 0.9)
    other = fit_conformal([scaled(each) for each in many]).interval(scaled(asked), 0.9)
    assert np.allclose(other.width, times * plain.width, rtol=1e-3)


@given(factor=st.floats(0.0, 5.0))
def test_more_noise_of_the_real_cells_never_narrows_an_interval(factor: float) -> None:
    conformal = fit_conformal([answered(number, genes=60) for number in range(6)])
    asked = answered(7, genes=60)
    noisy = replace(asked, real_se=asked.real_se * factor)
    wider, narrower = (noisy, asked) if factor >= 1 else (asked, noisy)
    assert (conformal.interval(wider, 0.9).width >= conformal.interval(narrower, 0.9).width).all()


def test_intervals_go_into_json_and_back(conformal: Conformal) -> None:
    back = Conformal.from_json(json.loads(json.dumps(conformal.to_json())))
    asked = answered(1)
    assert np.array_equal(back.interval(asked, 0.9).width, conformal.interval(asked, 0.9).width)
    assert back.promise(0.9) == conformal.promise(0.9)


@pytest.mark.parametrize(("part", "value"), [("format", 2), ("quantiles", None), ("groups", "many")])
def test_damaged_json_is_refused(conformal: Conformal, part: str, value: object) -> None:
    with pytest.raises(CalibrationError, match=r"format|damaged"):
        Conformal.from_json(conformal.to_json() | {part: value})


def test_json_without_a_part_is_refused(conformal: Conformal) -> None:
    content = conformal.to_json()
    del content["scale"]
    with pytest.raises(CalibrationError, match="scale"):
        Conformal.from_json(content)


def test_shards_of_an_ensemble_are_combined() -> None:
    rng = np.random.default_rng(0)
    noise = rng.normal(size=(1, 6, 3)) * 0.1  # shared between members
    members = np.array([1.0, 2.0, 3.0])[:, None, None]
    measured = MeasuredEffect(np.zeros(3), np.full(3, 0.1), np.ones(3))
    found = Prediction.of_shards("A", "A", members + noise, measured)
    assert found.spread == pytest.approx(np.ones(3))
    assert found.mc_se == pytest.approx(noise[0].std(axis=0, ddof=1) / np.sqrt(6))
    assert found.effect == pytest.approx(2.0 + noise[0].mean(axis=0))
    alone = Prediction.of_shards("A", "A", members[:1] + noise, measured)
    assert alone.spread is None
    assert Prediction.of_shards("A", "A", members[:1] + noise[:, :1], measured).mc_se == 0.0


def with_expression(each: Prediction) -> Prediction:
    return replace(each, expression=np.ones_like(each.effect))


@pytest.mark.parametrize(
    ("calibration", "message"),
    [
        (lambda: [answered(1)], "1 group"),
        (lambda: [], "0 group"),
        (lambda: [answered(1), replace(answered(2), real=np.full(GENES, np.nan))], "1 group"),
        (lambda: [answered(1), with_expression(answered(2))], "of a kind"),
    ],
)
def test_what_can_not_be_calibrated_on_is_refused(calibration: Callable[[], list[Prediction]], message: str) -> None:
    with pytest.raises(CalibrationError, match=message):
        fit_conformal(calibration())


def test_a_scale_from_the_calibration_groups_is_no_split() -> None:
    many = [answered(number) for number in range(6)]
    with pytest.raises(CalibrationError, match="perturbation 3"):
        fit_conformal(many[:4], scaling=many[3:])
    with pytest.raises(CalibrationError, match="another kind"):
        fit_conformal(many[:3], scaling=[with_expression(each) for each in many[3:]])


def test_an_unknown_rule_is_refused() -> None:
    with pytest.raises(CalibrationError, match="pooled and hierarchical"):
        fit_conformal([answered(1), answered(2)], rule="exact")  # type: ignore[arg-type]


@pytest.mark.parametrize("level", [0.0, 1.0, 90.0, -0.1, float("nan")])
def test_a_level_is_between_zero_and_one(conformal: Conformal, level: float) -> None:
    with pytest.raises(CalibrationError, match=r"such as 0\.9"):
        conformal.interval(answered(1), level)


def test_a_prediction_has_what_the_scale_is_made_of() -> None:
    conformal = fit_conformal([with_expression(answered(number)) for number in range(4)])
    with pytest.raises(CalibrationError, match="lacks expression"):
        conformal.interval(answered(9), 0.9)


@pytest.mark.parametrize("part", ["real_se", "spread", "mc_se"])
def test_errors_are_not_negative(part: str) -> None:
    with pytest.raises(CalibrationError, match=part):
        replace(answered(1), **{part: np.full(GENES, -0.1)})


@pytest.mark.parametrize("part", ["real", "real_se", "spread", "mc_se", "expression"])
def test_lengths_agree(part: str) -> None:
    with pytest.raises(CalibrationError, match=part):
        replace(answered(1), **{part: np.zeros(3)})


def test_a_baseline_that_predicts_no_change_has_intervals_too() -> None:
    many = [replace(answered(number), effect=np.zeros(GENES)) for number in range(12)]
    conformal = fit_conformal(many)
    assert 0.85 < coverage(conformal, [replace(answered(99), effect=np.zeros(GENES))], 0.9).value < 0.95


def test_predictions_that_were_never_wrong_have_narrow_intervals() -> None:
    zero = np.zeros(GENES)
    perfect = [replace(each, real=each.effect, real_se=zero) for each in map(answered, range(4))]
    width = fit_conformal(perfect).interval(replace(answered(9), real_se=zero), 0.9).width
    assert (width < 1e-5).all()
