import polars as pl
import pytest

from screening.errors import FigureError
from screening.figures import rank_plot

Decided = tuple[pl.DataFrame, pl.DataFrame]


def test_the_best_are_on_top_with_score_intervals_and_ranks(decided: Decided) -> None:
    hits, _ = decided
    best = hits.filter(pl.col("status") == "done").sort("rank").head(3)
    figure = rank_plot(hits.sample(fraction=1, shuffle=True, seed=1), objective="a question", top=3)
    (panel,) = figure.axes
    names = [label.get_text() for label in panel.get_yticklabels()]
    assert names == ["1  STRONG · T", "2  STRONG · B", r"3  \$one\$ · T"]
    points = [line for line in panel.get_lines() if line.get_marker() == "o"]
    assert [tuple(line.get_xydata()[0]) for line in points] == [(0.9, 2.0), (0.8, 1.0), (0.7, 0.0)]
    ends = [
        (row["null_centre"] + row["low_90"], row["null_centre"] + row["high_90"]) for row in best.iter_rows(named=True)
    ]
    drawn = [
        tuple(line.get_xdata())
        for line in panel.get_lines()
        if line.get_linewidth() == 1 and len(line.get_xdata()) == 2
    ]
    assert drawn == ends
    assert [text.get_text() for text in panel.texts] == [
        f"ranks {low}–{high}" for low, high in best.select("rank_low", "rank_high").iter_rows()
    ]


def test_the_title_says_objective_predicted_steps_guidance_and_paths(decided: Decided) -> None:
    figure = rank_plot(decided[0], objective="a question")
    title = figure.get_suptitle().replace("\n", " ")
    assert all(each in title for each in ("(predicted)", "a question", "6 geometric steps", "guidance 0.5", "direct"))
    assert figure.axes[0].get_xlabel() == "score (mean log1p counts per 10k)"


def test_without_a_null_there_are_scores_alone(decided_screen: object) -> None:
    hits, null = decided_screen({"A": {"cell_type=T": 0.5}, "B": {"cell_type=T": 0.1}}, blocks=0)  # type: ignore[operator]
    assert null is None
    panel = rank_plot(hits).axes[0]
    assert [label.get_text() for label in panel.get_yticklabels()] == ["1  A", "2  B"]
    assert not panel.texts


@pytest.mark.parametrize("hits", [pl.DataFrame({"a": [1]}), None])
def test_no_score_is_no_plot(decided: Decided, hits: pl.DataFrame | None) -> None:
    failed = decided[0].filter(pl.col("status") == "failed")
    with pytest.raises(
        FigureError, match=r"nothing to draw: (this is no ranked table|none of 1 conditions has a score)"
    ):
        rank_plot(failed if hits is None else hits)
