import numpy as np
import polars as pl
import pytest

from screening.evaluating.evaluation_plots import (
    MOST_FOLDS,
    MOST_POINTS,
    draw_agreement,
    draw_coverage,
    draw_folds,
    draw_scores,
)

PNG = b"\x89PNG\r\n"


@pytest.fixture
def summary() -> pl.DataFrame:
    return pl.DataFrame(
        {
            "metric": ["wmse"] * 4,
            "model": ["m", "additive", "ridge", "replicate"],
            "role": ["model", "baseline", "baseline", "replicate"],
            "mean": [0.2, 0.3, None, 0.1],
            "mean_low": [0.1, None, None, 0.05],
            "mean_high": [0.3, None, None, 0.15],
        }
    )


def test_scores_are_drawn_also_where_one_was_not_run(summary: pl.DataFrame) -> None:
    picture = draw_scores(summary, ["wmse"])
    assert picture is not None
    assert picture.startswith(PNG)
    assert draw_scores(summary, ["wmse"]) == picture  # the same scores are the same file
    assert draw_scores(summary.with_columns(pl.lit(0.2).alias("mean")), ["wmse"]) != picture


def test_there_is_no_picture_of_nothing(summary: pl.DataFrame) -> None:
    assert draw_scores(summary, ["pds_l1"]) is None
    assert draw_scores(summary.with_columns(pl.lit(None, pl.Float64).alias("mean")), ["wmse"]) is None
    assert draw_agreement({}) is None
    none = pl.DataFrame(schema=dict.fromkeys(("metric", "model", "fold"), pl.String) | {"value": pl.Float64})
    assert draw_folds(none, "wmse", ["m"]) is None
    assert draw_coverage(pl.DataFrame()) is None


def test_many_points_are_thinned_the_same_way() -> None:
    rng = np.random.default_rng(0)
    real = rng.normal(size=MOST_POINTS + 5_000)
    pairs = {"m": (real * 0.5, real), "flat": (np.zeros_like(real), real)}
    picture = draw_agreement(pairs)
    assert picture is not None
    assert draw_agreement(pairs) == picture


def test_effects_that_are_all_zero_can_be_drawn() -> None:
    assert draw_agreement({"m": (np.zeros(3), np.zeros(3))}) is not None


@pytest.mark.parametrize("folds", [1, MOST_FOLDS + 5])
def test_folds_side_by_side(folds: int) -> None:
    scores = pl.DataFrame(
        [("wmse", name, f"fold {fold}", 0.1 * fold) for fold in range(folds) for name in ("m", "additive")],
        schema=["metric", "model", "fold", "value"],
        orient="row",
    )
    picture = draw_folds(scores, "wmse", ["m", "additive", "never run"])
    assert picture is not None
    assert picture.startswith(PNG)


def test_coverage_with_its_interval() -> None:
    table = pl.DataFrame(
        {"model": ["m", "m"], "level": [0.5, 0.9], "coverage": [0.4, 0.8], "low": [0.3, 0.7], "high": [0.5, 0.9]}
    )
    picture = draw_coverage(table)
    assert picture is not None
    assert picture.startswith(PNG)
