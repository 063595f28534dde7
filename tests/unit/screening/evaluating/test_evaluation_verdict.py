from collections.abc import Callable

import polars as pl
import pytest

from screening.evaluating.evaluation_tables import Tables
from screening.evaluating.evaluation_verdict import verdicts

Standings = dict[str, tuple[str, str]]
"""Baseline → verdict in pearson_delta and in wmse."""


@pytest.fixture
def judged() -> Callable[..., str]:
    """Judge a model by made-up comparisons and return the words."""

    def judge(standings: Standings, not_run: str = "") -> tuple[str, str]:
        rows = [
            ("m", name, metric, verdict, True, 3, 2, 8)
            for name, verdicts in standings.items()
            for metric, verdict in zip(("pearson_delta", "wmse"), verdicts, strict=True)
        ]
        names = ("model", "baseline", "metric", "verdict", "deciding", "decided", "decided_better", "decided_of")
        contenders = ["m", *standings, *([not_run] if not_run else [])]
        runs = pl.DataFrame(
            {
                "model": contenders,
                "role": ["model"] + ["baseline"] * (len(contenders) - 1),
                "status": ["not run" if name == not_run else "done" for name in contenders],
                "reason": ["" for _ in contenders],
            }
        )
        summary = pl.DataFrame({"model": contenders, "metric": "pearson_delta", "mean": [0.5 for _ in contenders]})
        scores = pl.DataFrame({"metric": ["pearson_delta", "wmse"]})
        comparisons = pl.DataFrame(rows, schema=list(names), orient="row")
        (found,) = verdicts(Tables(scores, summary, comparisons, runs, pl.DataFrame()), "label")
        return found.judgement, found.words

    return judge


Judged = Callable[..., tuple[str, str]]


@pytest.mark.parametrize(
    ("standings", "judgement"),
    [
        ({"a": ("better", "better"), "b": ("better", "undecided")}, "earns its place"),
        ({"a": ("better", "better"), "b": ("undecided", "undecided")}, "undecided"),
        ({"a": ("better", "better"), "b": ("undecided", "worse")}, "does not earn its place"),
        ({"a": ("better", "better"), "b": ("better", "worse")}, "mixed"),
        ({"a": ("worse", "worse"), "b": ("better", "worse")}, "does not earn its place"),
        ({"a": ("undecided", "undecided")}, "undecided"),
    ],
)
def test_the_rule(judged: Judged, standings: Standings, judgement: str) -> None:
    assert judged(standings)[0] == judgement


def test_the_words_say_against_whom_and_where(judged: Judged) -> None:
    _, words = judged(
        {"a": ("better", "better"), "b": ("undecided", "worse"), "c": ("undecided", "undecided")}, not_run="d"
    )
    assert words.startswith("m does not earn its place on these cells: a baseline predicts better")
    assert "(judged by pearson_delta and wmse)" in words
    assert "It is better than a (pearson_delta, wmse)." in words
    assert "It is worse than b (wmse; pearson_delta undecided)." in words
    assert "It can't be told from c: the intervals of their differences cross zero." in words
    assert "Not run: d." in words
    assert "3 of 8 conditions are decided at all (pearson_delta)" in words


def test_mixed_words_name_both_sides(judged: Judged) -> None:
    assert "Beside a it is better in pearson_delta and worse in wmse." in judged({"a": ("better", "worse")})[1]


def test_without_a_baseline_nothing_is_won(judged: Judged) -> None:
    judgement, words = judged({})
    assert judgement == "undecided"
    assert words == "m is undecided: no baseline was run, so there is nothing to compare it with."
