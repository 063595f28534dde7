from __future__ import annotations

import itertools
from collections.abc import Callable
from typing import Any

import numpy as np
import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from lingshu_core.effect_scores import Truth
from lingshu_core.errors import ConfigurationError
from lingshu_core.score_noise import bootstrap_scores
from lingshu_core.score_summary import (
    COMPARISON,
    SUMMARY,
    compare,
    in_words,
    interval,
    judge,
    scale_scores,
    summarise,
)


def _scores(**models: list[float]) -> pl.DataFrame:
    return _table("pearson_delta", **models)


def _table(metric: str, **models: list[float]) -> pl.DataFrame:
    return pl.DataFrame(
        [
            {"model": model, "metric": metric, "fold": "f", "label": f"P{number}", "value": value}
            for model, values in models.items()
            for number, value in enumerate(values)
        ]
    )


RNG = np.random.default_rng(0)
CLEAR = RNG.normal(0.3, 0.1, size=12).tolist()
NOTHING = RNG.normal(0.0, 0.1, size=12).tolist()


# --- intervals


def test_a_summary_has_mean_and_median_with_intervals() -> None:
    found = summarise(_scores(ours=CLEAR))
    assert found.schema == SUMMARY
    row = found.to_dicts()[0]
    assert row["units"] == 12
    assert row["mean"] == pytest.approx(np.mean(CLEAR))
    assert row["mean_low"] < row["mean"] < row["mean_high"]
    assert row["median_low"] <= row["median"] <= row["median_high"]


@pytest.mark.parametrize("values", [[0.5], [0.5, 0.6]])
def test_very_few_units_have_no_interval(values: list[float]) -> None:
    row = summarise(_scores(ours=values)).to_dicts()[0]
    assert row["mean"] == pytest.approx(np.mean(values))
    assert row["mean_low"] is row["median_high"] is None


def test_values_that_are_all_the_same_or_nearly_have_an_interval_too() -> None:
    assert interval(np.full(5, 0.3), np.mean) == (0.3, 0.3)
    low, high = interval(np.r_[np.zeros(4), 1.0], np.mean)
    assert low is not None
    assert high is not None
    assert 0.0 <= low <= 0.2 <= high <= 1.0


@given(st.integers(0, 2**32 - 1), st.floats(-5, 5), st.floats(0.1, 10))
def test_intervals_move_with_the_values(seed: int, shift: float, factor: float) -> None:
    values = np.random.default_rng(seed).normal(size=8)
    low, high = interval(values, np.median)
    assert interval(factor * values + shift, np.median) == pytest.approx((factor * low + shift, factor * high + shift))


def test_intervals_cover() -> None:
    rng = np.random.default_rng(1)
    hits = [low <= 0.7 <= high for low, high in (interval(rng.exponential(0.7, size=30), np.mean) for _ in range(150))]
    assert 0.84 < np.mean(hits) < 0.99


def test_folds_and_seeds_of_one_unit_are_no_further_evidence() -> None:
    once = _scores(ours=CLEAR)
    thrice = pl.concat([once, once.with_columns(fold=pl.lit("g")), once.with_columns(pl.col("value") + 0.0)])
    assert summarise(thrice).equals(summarise(once))
    assert compare(
        pl.concat([thrice, _scores(base=NOTHING), _scores(base=NOTHING).with_columns(fold=pl.lit("g"))]),
        models=["ours"],
        baselines=["base"],
    ).equals(compare(pl.concat([once, _scores(base=NOTHING)]), models=["ours"], baselines=["base"]))


def test_another_unit_may_be_resampled() -> None:
    table = _scores(ours=CLEAR).with_columns(donor=pl.col("label").str.slice(1).cast(pl.Int64) % 4)
    row = summarise(table, unit="donor").to_dicts()[0]
    assert row["units"] == 4


# --- paired tests


def _compared(*tables: pl.DataFrame, **options: Any) -> dict[str, Any]:
    return compare(pl.concat(tables), models=["ours"], baselines=["base"], **options).to_dicts()[0]


def test_a_clear_difference_is_a_verdict() -> None:
    row = _compared(_scores(ours=CLEAR, base=NOTHING))
    assert row["verdict"] == "better"
    assert row["low"] > 0
    assert row["p_bootstrap"] < 0.01
    differences = np.array(CLEAR) - NOTHING
    assert row["difference"] == pytest.approx(differences.mean())
    assert row["p_wilcoxon"] == pytest.approx(stats.wilcoxon(differences).pvalue)
    assert _compared(_scores(ours=NOTHING, base=CLEAR))["verdict"] == "worse"


@pytest.mark.parametrize(
    ("metric", "ours", "verdict"),
    [("mae", 0.1, "better"), ("pearson_delta", 0.1, "worse"), ("classifier_auc", 0.45, "better")],
)
def test_differences_are_positive_where_the_model_is_better(metric: str, ours: float, verdict: str) -> None:
    rng = np.random.default_rng(0)
    table = _table(metric, ours=(ours + 0.01 * rng.normal(size=9)).tolist(), base=[0.8] * 9)
    row = _compared(table)
    assert row["verdict"] == verdict
    assert (row["difference"] > 0) == (verdict == "better")


@pytest.mark.parametrize("units", [1, 2, 5])
def test_five_units_decide_nothing_however_clear(units: int) -> None:
    row = _compared(_scores(ours=[1.0] * units, base=[0.0] * units))
    assert row["verdict"] == "undecided"
    assert row["p_wilcoxon"] is row["p_bootstrap"] is row["p_holm"] is None
    assert row["reason"].endswith("no test can decide")


def test_ties_and_zeros_are_gone_through_one_by_one() -> None:
    differences = np.array([0.5, 0.5, 0.5, 0.5, 0.0, -0.5, 0.5])
    ranks = stats.rankdata(np.abs(differences))[np.array(differences) != 0]
    every = [abs(np.dot(signs, ranks)) for signs in itertools.product([-1, 1], repeat=6)]
    assert judge(differences).p_wilcoxon == pytest.approx(np.mean(np.array(every) >= abs(5 * 4.5 - 4.5) - 1e-9))


def test_six_units_that_all_agree_decide() -> None:
    row = _compared(_scores(ours=[0.5, 0.6, 0.7, 0.8, 0.9, 0.95], base=[0.1] * 6))
    assert row["verdict"] == "better"
    assert row["p_wilcoxon"] == pytest.approx(2 / 2**6)


def test_what_crosses_or_stays_the_same_is_undecided() -> None:
    same = _compared(_scores(ours=CLEAR, base=CLEAR))
    assert (same["verdict"], same["reason"], same["p_wilcoxon"]) == ("undecided", "the scores are the same", 1.0)
    mixed = judge(np.array([0.1, -0.2, 0.15, -0.05, 0.02, -0.12, 0.08]))
    assert mixed.verdict == "undecided"
    assert "holds 0" in mixed.reason
    outlier = judge(np.array([0.1, 0.1, 0.2, -0.09, 0.15, 5.0]))  # one perturbation alone makes the mean
    assert outlier.verdict == "undecided"
    assert "signed-rank test can't tell" in outlier.reason


@given(st.integers(0, 2**32 - 1), st.integers(6, 25))
def test_turning_the_comparison_round_turns_the_verdict(seed: int, units: int) -> None:
    differences = np.random.default_rng(seed).normal(0.3, 1.0, size=units)
    there, back = judge(differences), judge(-differences)
    assert {there.verdict, back.verdict} in ({"better", "worse"}, {"undecided"})
    assert there.p_wilcoxon == pytest.approx(back.p_wilcoxon)


def test_equal_models_are_rarely_told_apart() -> None:
    rng = np.random.default_rng(2)
    wrong = [judge(rng.normal(size=9)).verdict != "undecided" for _ in range(120)]
    assert np.mean(wrong) < 0.1


def test_only_questions_that_both_answered_are_compared() -> None:
    row = _compared(_scores(ours=CLEAR, base=NOTHING[:7]))
    assert row["units"] == 7


def test_every_pair_and_metric_has_a_row_but_a_model_is_not_its_own_rival() -> None:
    table = pl.concat([_scores(a=CLEAR, b=NOTHING, c=NOTHING), _table("mae", a=CLEAR, b=NOTHING)])
    found = compare(table, models=["a", "b"], baselines=["b", "c"])
    assert found.schema == COMPARISON
    assert found.select("model", "baseline", "metric").rows() == [
        ("a", "b", "pearson_delta"),
        ("a", "b", "mae"),
        ("a", "c", "pearson_delta"),
        ("b", "c", "pearson_delta"),
    ]


def test_many_comparisons_are_corrected_for() -> None:
    table = pl.concat([_scores(a=CLEAR, b=NOTHING, c=NOTHING), _table("mae", a=CLEAR, b=NOTHING, c=CLEAR)])
    found = compare(table, models=["a"], baselines=["b", "c"])
    expected = np.sort(found["p_wilcoxon"].to_numpy())
    holm = np.minimum(1, np.maximum.accumulate(expected * np.arange(len(expected), 0, -1)))
    assert np.sort(found["p_holm"].to_numpy()) == pytest.approx(holm)


def test_metrics_that_are_only_shown_are_not_compared() -> None:
    assert compare(_table("mmd_p", ours=CLEAR, base=NOTHING), models=["ours"], baselines=["base"]).is_empty()


def test_names_that_nobody_knows_are_refused() -> None:
    with pytest.raises(ConfigurationError, match="no scores of 'scvi'; there are: base, ours"):
        compare(_scores(ours=CLEAR, base=NOTHING), models=["ours"], baselines=["scvi"])
    with pytest.raises(ConfigurationError, match="unknown metrics magic"):
        compare(_table("magic", ours=CLEAR, base=NOTHING), models=["ours"], baselines=["base"])


# --- what the real cells decide


def _noise(spread: float, **models: list[float]) -> pl.DataFrame:
    rng = np.random.default_rng(3)
    return pl.concat(
        [
            _scores(**{model: (np.array(values) + spread * rng.normal(size=len(values))).tolist()}).with_columns(
                draw=pl.lit(draw)
            )
            for draw in range(200)
            for model, values in models.items()
        ]
    )


def test_questions_are_decided_where_the_difference_is_beyond_the_noise() -> None:
    ours, base = [0.5, 0.5, 0.1, 0.3], [0.0, 0.45, 0.6, 0.29]
    row = _compared(_scores(ours=ours, base=base), noise=_noise(0.05, ours=ours, base=base))
    # noise of a difference: .05 · √2 · 1.96 = .14
    assert (row["decided"], row["decided_better"], row["decided_of"]) == (2, 1, 4)
    assert (
        "2 of 4 questions are decided beyond the noise of the real cells, 1 of them for ours."
        in in_words(pl.DataFrame([row], schema=COMPARISON))[0]
    )


def test_without_draws_nothing_is_said_about_single_questions() -> None:
    other = _noise(0.05, ours=CLEAR, base=NOTHING).with_columns(metric=pl.lit("mae"))
    for noise in (None, other):
        row = _compared(_scores(ours=CLEAR, base=NOTHING), noise=noise)
        assert row["decided"] is row["decided_of"] is None
        assert "questions" not in in_words(pl.DataFrame([row], schema=COMPARISON))[0]


def test_where_nothing_happens_the_real_cells_decide_little(make_screened: Callable[..., Any]) -> None:
    # Two guesses of the same size in opposite directions, where the truth is no effect: only chance favours either.
    decided, asked = 0, 0
    for seed in range(8):
        some = make_screened(seed=seed, strength=0.0)
        truth = Truth(some.cells, some.questions)
        guess = 0.05 * np.sin(np.arange(len(some.cells.genes)))
        models = {
            "ours": dict.fromkeys(truth.answers, guess),
            "base": dict.fromkeys(truth.answers, -guess),
        }
        scores = [truth.scores(effects).values.with_columns(model=pl.lit(name)) for name, effects in models.items()]
        noise = bootstrap_scores(truth, models, metrics=["error_norm"])
        row = compare(
            pl.concat(scores).filter(pl.col("metric") == "error_norm"), models=["ours"], baselines=["base"], noise=noise
        ).to_dicts()[0]
        decided, asked = decided + row["decided"], asked + row["decided_of"]
    assert asked == 48
    assert decided / asked < 0.15


# --- words and scales


def test_words_say_who_by_how_much_and_why_not() -> None:
    clear = in_words(compare(_scores(ours=CLEAR, base=NOTHING), models=["ours"], baselines=["base"]))[0]
    assert clear.startswith("pearson_delta: ours is better than base (+0.")
    assert "over 12 units; p = 0.0" in clear
    few = in_words(compare(_scores(ours=[0.1], base=[0.2]), models=["ours"], baselines=["base"]))[0]
    assert few == "pearson_delta: undecided between ours and base (-0.1 over 1 units): 1 unit: no test can decide."


def test_our_metrics_on_the_scale_from_baseline_to_replicate() -> None:
    table = pl.concat(
        [
            _table("mae", base=[1.0, 1.1, 0.9, 1.0, 1.0], replicate=[0.5, 0.6, 0.4, 0.5, 0.5], ours=[0.75] * 5),
            _table("pearson_delta", base=[0.1] * 5, replicate=[0.9] * 5, ours=[0.9] * 5),
        ]
    )
    found = scale_scores(table, baseline="base", replicate="replicate")
    assert set(found["model"]) == {"ours"}
    means = dict(found.group_by("metric").agg(pl.col("value").mean()).iter_rows())
    assert means == pytest.approx({"mae.scaled": 0.5, "pearson_delta.scaled": 1.0})


@pytest.mark.parametrize(
    ("base", "replicate"),
    [
        ([0.5] * 5, [0.5, 0.6, 0.4, 0.55, 0.45]),  # no better
        ([0.5] * 5, [0.4] * 5),  # worse
        ([0.1] * 4, [0.9] * 4),  # too few
    ],
)
def test_a_scale_without_length_is_none(base: list[float], replicate: list[float]) -> None:
    table = _scores(base=base, replicate=replicate, ours=[0.7] * len(base))
    assert scale_scores(table, baseline="base", replicate="replicate").is_empty()
