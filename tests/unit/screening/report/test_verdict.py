from collections.abc import Callable
from typing import Any

import polars as pl

from screening.report.source import ReportSource
from screening.report.verdict import decided, judge


def test_what_came_of_it(source: Callable[..., ReportSource], hostile: str) -> None:
    verdict = judge(source())
    assert [(name, amount) for name, amount, _ in verdict.counts] == [
        ("hit", 2),
        ("undecided", 1),
        ("not", 1),
        ("refused", 1),
        ("failed", 1),
    ]
    assert verdict.lead == "2 of 6 conditions are hits, of 2 perturbations in 2 contexts."
    assert [leader.perturbation for leader in verdict.leaders] == [hostile, "STAT1"]
    assert "90 % interval 0.400 to 0.600; q 0.01; no training cell here" in verdict.leaders[1].known
    assert "FDR under the model is at most 10 %" in verdict.rate
    assert "20 pseudo-perturbations" in verdict.rate
    assert "Nothing here was measured" in verdict.limits[0]
    assert any("1 hit had no training cell" in limit for limit in verdict.limits)


def test_without_hits_the_best_are_named_as_what_they_are(
    source: Callable[..., ReportSource], hits: pl.DataFrame
) -> None:
    verdict = judge(source(hits=hits.filter(pl.col("decision") != "hit")))
    assert verdict.lead == "None of the 4 conditions is a hit."
    assert verdict.leaders[0].known.endswith("undecided")
    assert not verdict.leaders[0].is_hit
    assert "nothing was far enough" in verdict.rate


def test_without_a_null_it_says_so(source: Callable[..., ReportSource]) -> None:
    hits = source().hits.filter(pl.col("decision") != "hit")
    verdict = judge(source(manifest={"null": []}, hits=hits))
    assert verdict.lead == "4 conditions, ranked but not tested: the model has no null."
    assert "nothing was tested" in verdict.rate


def test_tables_of_older_versions_have_decisions_too(hits: pl.DataFrame) -> None:
    old = decided(hits.drop("decision"))["decision"].to_list()
    assert old == ["not decided"] * 5 + ["failed"]


def test_what_was_never_seen_is_told(
    source: Callable[..., ReportSource], row: Callable[..., dict[str, Any]], table: Callable[..., pl.DataFrame]
) -> None:
    unseen = table([row("NEW", "T", 0.4, support="features_only", decision="undecided", gate="fail")])
    limits = " ".join(judge(source(hits=unseen)).limits)
    assert "1 condition of 1 rest" in limits
    assert "No context passes its gate: fail." in limits
