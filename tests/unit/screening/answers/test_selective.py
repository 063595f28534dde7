from collections.abc import Callable
from typing import Any

import numpy as np
import polars as pl
import pytest

from campaigns.screen_spec import HitsSpec
from screening.answers.context_groups import ContextGroups
from screening.answers.context_scores import ContextScores
from screening.answers.selective import COLUMNS, SELECTIVE, selective_table
from screening.deciding.decisions import FAILED, NOT, UNDECIDED

Make = Callable[..., Any]


def selective(screen: Any, weak: float = 1.0) -> pl.DataFrame:
    hits, null = screen
    labels = sorted(hits["context"].unique())
    groups = ContextGroups.of(ContextScores.of(hits, null, labels), [label[-1] for label in labels], 0.0)
    shared = {"factor": "cell_type", "score_unit": "u"}
    return selective_table(groups, HitsSpec(), weak, shared, np.full(groups.above.shape, 20))


def row(*scores: float | None) -> dict[str, float | None]:
    return {f"cell_type={name}": score for name, score in zip("BMT", scores, strict=True)}


def decisions(table: pl.DataFrame) -> dict[tuple[str, str], str]:
    return {(p, c): d for p, c, d in table.select("perturbation", "context", "decision").iter_rows()}


def test_strong_here_and_weak_elsewhere(decided_screen: Make) -> None:
    table = selective(decided_screen({"one": row(0.6, 0.05, 0.0), "all": row(0.6, 0.6, 0.6)}))
    found = decisions(table)
    assert found["one", "B"] == SELECTIVE
    assert [found["one", name] for name in "MT"] == [NOT, NOT]
    assert {found["all", name] for name in "BMT"} == {UNDECIDED}
    best = table.row(0, named=True)
    assert (best["perturbation"], best["context"], best["rank"]) == ("one", "B", 1)
    assert best["difference"] == pytest.approx(0.575)
    assert best["strongest_other"] == "M"
    assert best["difference_low"] < 0.575 < best["difference_high"]


def test_the_noise_of_a_difference_is_that_of_both_sides(decided_screen: Make) -> None:
    best = selective(decided_screen({"A": row(0.6, 0.0, 0.0)})).row(0, named=True)
    # σ² here and σ²/2 for the mean of two others, although the null is the same in all contexts.
    assert best["difference_z"] == pytest.approx(0.6 / (0.0508 * 1.5**0.5), rel=0.02)


def test_a_share_can_be_asked_for(decided_screen: Make) -> None:
    screen = decided_screen({"A": row(0.9, 0.55, 0.5)})
    assert decisions(selective(screen))["A", "B"] == SELECTIVE
    assert decisions(selective(screen, weak=0.3))["A", "B"] == NOT


def test_what_stands_in_the_way_is_told(decided_screen: Make) -> None:
    found = selective(decided_screen({"A": row(0.9, None, 0.0)}))
    assert decisions(found) == {("A", "B"): UNDECIDED, ("A", "M"): FAILED, ("A", "T"): UNDECIDED}
    assert "in cell_type=M: failed: it exploded" in found["decision_reason"][0]
    without = selective(decided_screen({"A": row(0.9, 0.0, 0.0)}, blocks=0))
    assert set(without["decision"]) == {UNDECIDED}
    assert without["decision_reason"][0].startswith("Monte Carlo only, which is too sure")


def test_columns_are_those_that_are_described_and_the_order_of_rows_changes_nothing(decided_screen: Make) -> None:
    hits, null = decided_screen({"A": row(0.9, 0.2, 0.0), "B": row(0.1, 0.2, 0.9)})
    table = selective((hits, null))
    assert dict(table.schema) == {name: kind for name, (kind, _) in COLUMNS.items()}
    assert selective((hits.reverse(), null)).equals(table, null_equal=True)


def test_where_all_contexts_are_the_same_selective_hits_are_as_rare_as_promised(decided_screen: Make) -> None:
    random, any_hit = np.random.default_rng(3), 0
    for _ in range(60):
        scores = 0.5 + 0.05 * random.normal(size=(20, 3))
        table = selective(decided_screen({f"P{i}": row(*each) for i, each in enumerate(scores)}))
        any_hit += SELECTIVE in table["decision"].to_list()
    assert any_hit <= 12  # binomial, 99 %: 60 screens of 10 %
