from collections.abc import Callable
from typing import Any

import polars as pl
import pytest

from screening.report.question import objective_words, read_question
from screening.report.source import ReportSource

STATE = {"kind": "population", "group": {"state": "activated"}}
QUESTIONS: list[tuple[dict[str, Any], str]] = [
    ({"kind": "signature", "up": ["A"], "down": ["B", "C"]}, "raise A and lower B and C"),
    (
        {"kind": "signature", "reference": {"mode": "reverse", "from": {"s": "ill"}, "to": {"s": "well"}}},
        "reverse the change from s ill to s well",
    ),
    (
        {"kind": "signature", "reference": {"mode": "mimic", "from": {"t": "T", "s": "a"}, "to": {"s": "b", "t": "T"}}},
        "imitate the change from s a to s b (cells of t T)",
    ),
    ({"kind": "markers", "genes": {"A": "up", "B": "down"}}, "raise A and lower B"),
    ({"kind": "markers", "genes": ["A", "B"], "direction": "down"}, "lower A and B"),
    ({"kind": "target_state", "group": {"s": "naive"}}, "bring cells toward the state of real cells (s naive)"),
    (STATE | {"measure": "e_distance"}, "bring the population of cells nearer to real cells (state activated)"),
    (
        STATE | {"measure": "state_share", "direction": "down"},
        "bring fewer cells into the state of real cells (state activated)",
    ),
    (STATE | {"measure": "heterogeneity"}, "make cells answer less evenly on the way to real cells (state activated)"),
    ({"kind": "connectivity", "up": ["A", "B", "C"], "down": []}, "act like the query (3 genes up, 0 down)"),
]


@pytest.mark.parametrize(("objective", "words"), QUESTIONS)
def test_every_objective_is_said_in_words(objective: dict[str, Any], words: str) -> None:
    assert objective_words(objective, {}) == words


def test_the_question_of_a_screen(source: Callable[..., ReportSource]) -> None:
    question = read_question(source())
    assert question.lead == "Which perturbations lower the 2 genes of INTERFERON, in B cells and T cells?"
    facts = dict(question.facts)
    assert facts["Screened"] == "6 genetic perturbations; with their contexts 6 conditions."
    assert "8 paired replicates of 16 cells" in facts["Compared with"]
    assert "at most 10 %" in facts["A hit is"]
    assert facts["Notes"].startswith("Gene set INTERFERON: 2 of its 3 genes")
    assert "Side effects" not in facts


def test_doses_are_counted_and_names_once(
    source: Callable[..., ReportSource], row: Callable[..., dict[str, Any]], table: Callable[..., pl.DataFrame]
) -> None:
    drugs = [row(f"X@{dose}", "T", 0.1, perturbation_type="drug", dose=dose) for dose in (0.1, 1.0)]
    facts = dict(read_question(source(hits=table(drugs))).facts)
    assert facts["Screened"] == "1 drug at 2 doses; with their contexts 2 conditions."


def test_without_a_null_nothing_is_promised(source: Callable[..., ReportSource], hits: pl.DataFrame) -> None:
    bare = hits.with_columns(null_blocks=pl.lit(None, pl.Int64))
    assert "Not decided here" in dict(read_question(source(hits=bare)).facts)["A hit is"]


def test_side_effects_are_part_of_the_question(source: Callable[..., ReportSource]) -> None:
    safety = {"signatures": [{"name": "apoptosis"}], "spare": [{"cell_type": ["NK"]}]}
    facts = dict(read_question(source(spec={"safety": safety})).facts)
    assert facts["Side effects"] == "1 side effect (apoptosis); cells to be spared: cell_type NK."
