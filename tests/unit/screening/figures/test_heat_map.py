import numpy as np
import polars as pl

from screening.figures import heat_map
from screening.figures.marks import MARKS

Decided = tuple[pl.DataFrame, pl.DataFrame]


def test_cells_are_scores_above_the_null_and_gaps_stay_gaps(decided: Decided) -> None:
    hits = decided[0].filter(~((pl.col("perturbation") == "WEAK") & (pl.col("cell_type") == "B")))
    figure = heat_map(hits)
    panel = figure.axes[0]
    found = panel.collections[0].get_array()
    centre = dict(hits.select("context", "null_centre").drop_nulls().iter_rows())
    assert [label.get_text() for label in panel.get_xticklabels()] == ["B", "T"]
    assert panel.get_xlabel() == "cell_type"
    assert [label.get_text() for label in panel.get_yticklabels()] == ["STRONG", r"\$one\$", "WEAK"]
    np.testing.assert_allclose(found[0], [0.8 - centre["cell_type=B"], 0.9 - centre["cell_type=T"]])
    assert bool(np.ma.getmaskarray(found)[2, 0])


def test_decisions_are_marked_in_their_shape(decided: Decided) -> None:
    panel = heat_map(decided[0]).axes[0]
    (hits,) = [line for line in panel.get_lines() if line.get_marker() == MARKS["hit"].shape]
    assert {tuple(point) for point in hits.get_xydata()} == {(0.5, 0.5), (1.5, 0.5), (1.5, 1.5)}


def test_only_the_best_perturbations_are_shown(decided: Decided) -> None:
    figure = heat_map(decided[0], top=1)
    assert [label.get_text() for label in figure.axes[0].get_yticklabels()] == ["STRONG"]
    assert "Best 1 of 3 perturbations" in figure.get_suptitle()
