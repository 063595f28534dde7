import numpy as np
import polars as pl
import pytest

from screening.errors import FigureError
from screening.figures import volcano
from screening.figures.marks import MARKS

Decided = tuple[pl.DataFrame, pl.DataFrame]


def test_every_scored_condition_is_a_point_in_the_shape_of_its_decision(decided: Decided) -> None:
    hits = decided[0].filter(pl.col("status") == "done")
    panel = volcano(decided[0]).axes[0]
    for name, mark in MARKS.items():
        own = hits.filter(pl.col("decision") == name).sort("rank")
        (line,) = [
            each for each in panel.get_lines() if each.get_marker() == mark.shape and each.get_color() == mark.colour
        ]
        np.testing.assert_allclose(line.get_xdata(), own["score"] - own["null_centre"])
        np.testing.assert_allclose(line.get_ydata(), -np.log10(own["q_value"].to_numpy()))
    assert "FDR under the model" in panel.get_ylabel()


def test_hits_are_named_best_first_where_there_is_room(decided: Decided) -> None:
    def names(labels: int) -> list[str]:
        return [text.get_text() for text in volcano(decided[0], labels=labels).axes[0].texts]

    assert names(0) == []
    assert names(1) == ["STRONG · T"]
    assert r"\$one\$ · T" in names(5)
    assert not any("WEAK" in name for name in names(5))


def test_without_a_null_it_says_what_to_train(decided: Decided) -> None:
    bare = decided[0].with_columns(q_value=pl.lit(None, pl.Float64))
    with pytest.raises(FigureError, match=r"no q_value: .* train with `pseudo_perturbations`"):
        volcano(bare)
