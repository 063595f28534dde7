import numpy as np
import polars as pl
import pytest
from scipy import stats

from screening.errors import FigureError
from screening.figures import calibration
from screening.figures.calibration import left_out_p_values

Decided = tuple[pl.DataFrame, pl.DataFrame]


def test_p_values_of_nothing_are_uniform(decided: Decided) -> None:
    p_values = left_out_p_values(decided[1])
    assert len(p_values) == 60  # 30 in each of two contexts
    assert stats.kstest(p_values, "uniform").pvalue > 0.05


def test_a_pseudo_perturbation_is_held_against_the_others() -> None:
    """One that is far out may not widen the null that it is held against."""
    scores = [*stats.norm.ppf(np.linspace(0.02, 0.98, 29)), 12.0]
    rows = {"perturbation": [f"n{i}" for i in range(30)], "context": "all", "status": "done", "score": scores}
    null = pl.DataFrame(
        rows | {"training_cells_all": 30, "cells": 512, "members": None, "score_unit": "log1p counts per 10k"}
    )
    assert left_out_p_values(null).min() < 1e-3


def test_conditions_and_pseudo_perturbations_are_drawn_in_order(decided: Decided) -> None:
    panel = calibration(*decided).axes[0]
    conditions, nothing = panel.get_lines()[-2:]
    assert len(conditions.get_xdata()) == 6
    assert len(nothing.get_xdata()) == 60
    assert (np.diff(conditions.get_ydata()) <= 0).all()
    np.testing.assert_allclose(nothing.get_xdata()[0], -np.log10(0.5 / 60))


def test_without_a_null_or_with_too_small_a_one_it_says_so(decided: Decided) -> None:
    hits, null = decided
    with pytest.raises(FigureError, match="the model has no null"):
        calibration(hits, None)
    few = null.group_by("context", maintain_order=True).head(10)
    with pytest.raises(FigureError, match="none of its contexts has 20 pseudo-perturbations"):
        calibration(hits, few)
