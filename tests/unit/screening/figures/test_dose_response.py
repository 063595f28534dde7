from collections.abc import Callable
from typing import Any

import numpy as np
import polars as pl
import pytest

from screening.answers.dose_response import dose_table
from screening.errors import FigureError
from screening.figures import dose_response

DOSES = (0.1, 1.0, 10.0, 100.0, 1000.0)


@pytest.fixture
def dosed(decided_screen: Callable[..., Any]) -> tuple[pl.DataFrame, pl.DataFrame]:
    """Two drugs at five doses each: one with a half dose of 3, and one that does nothing."""
    labels = {f"{name}@{repr(dose).removesuffix('.0')}": (name, dose) for name in ("GOOD", "NONE") for dose in DOSES}
    scores = {
        label: {"cell_type=T": dose / (dose + 3.0) if name == "GOOD" else 0.0} for label, (name, dose) in labels.items()
    }
    hits, _ = decided_screen(scores)
    known = pl.col("perturbation").replace_strict({label: dose for label, (_, dose) in labels.items()})
    hits = hits.with_columns(dose=known.cast(pl.Float64), perturbation_type=pl.lit("drug"))
    doses = dose_table(hits, {label: name for label, (name, _) in labels.items()}, seed=0)
    assert doses is not None
    return hits, doses


def test_points_are_the_scores_and_the_curve_is_that_of_the_table(dosed: tuple[pl.DataFrame, pl.DataFrame]) -> None:
    figure = dose_response(*dosed)
    good, none = figure.axes
    assert good.get_title() == "GOOD"
    assert none.get_title() == "NONE\nflat"
    points = [line.get_xydata()[0] for line in good.get_lines() if len(line.get_xdata()) == 1]
    np.testing.assert_allclose(points, [(dose, dose / (dose + 3.0)) for dose in DOSES])
    (curve,) = [line for line in good.get_lines() if len(line.get_xdata()) > 2]
    np.testing.assert_allclose(curve.get_ydata(), curve.get_xdata() / (curve.get_xdata() + 3.0), atol=0.05)
    assert [text.get_text() for text in good.texts] == [f"EC50 {dosed[1]['ec50'][0]:.3g}"]
    assert not [line for line in none.get_lines() if len(line.get_xdata()) > 2]
    assert good.get_xscale() == "log"


def test_only_the_best_curves_are_shown(dosed: tuple[pl.DataFrame, pl.DataFrame]) -> None:
    figure = dose_response(*dosed, top=1)
    assert [panel.get_title() for panel in figure.axes] == ["GOOD"]
    assert "best 1 of 2" in figure.get_suptitle()


@pytest.mark.parametrize("doses", [None, pl.DataFrame({"perturbation": []})])
def test_without_doses_it_says_so(dosed: tuple[pl.DataFrame, pl.DataFrame], doses: pl.DataFrame | None) -> None:
    with pytest.raises(FigureError, match="no perturbation of this screen has a dose"):
        dose_response(dosed[0], doses)
