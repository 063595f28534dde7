from dataclasses import replace
from typing import Any

import pytest

from lingshu_core.checkpoint import CheckpointHeader
from lingshu_core.vocabulary import SeenContext, Vocabulary
from screening.models.card_limits import limits

NOTHING: dict[str, Any] = {"gates": None, "privacy": None, "scores": None}
QUIET = {"value": 0.5, "words": "fine", "alarm": False}


@pytest.fixture
def header(words: Vocabulary) -> CheckpointHeader:
    return CheckpointHeader(words, (), {"licence": "CC BY 4.0"}, "ab" * 32)


def test_what_was_not_measured_is_a_limit(header: CheckpointHeader) -> None:
    found = limits(header, NOTHING)
    assert found[0] == "Whether its cells look like real ones was not measured."
    assert "What its cells give away of the training's donors was not measured." in found
    assert "It has not been scored against baselines on held-out cells." in found
    assert not any("licence" in limit for limit in found)


def test_failed_gates_and_alarms_come_first(header: CheckpointHeader) -> None:
    gates = [
        {"context": {"cell_type": "T cells"}, "parts": [], "verdict": "fail"},
        {"context": {}, "parts": [["A", None]], "perturbation": "A", "verdict": "fail"},
        {"context": {"cell_type": "B cells"}, "parts": [], "verdict": "undecided"},
    ]
    privacy = {"membership": QUIET, "duplicates": {"value": 3.0, "words": "3 cells are copies", "alarm": True}}
    found = limits(header, {"gates": gates, "privacy": privacy, "scores": {}})
    assert found[0] == "Cells of T cells; A in all cells are not like real ones: the gate failed."
    assert found[1].startswith("1 gate could not be decided")
    assert found[2] == "Privacy (duplicates): 3 cells are copies."
    assert not any("scored" in limit for limit in found)


def test_the_same_reason_is_told_once(header: CheckpointHeader) -> None:
    absent = {"value": None, "words": "no donors", "alarm": False}
    found = limits(
        header, {**NOTHING, "privacy": {"membership": absent, "distance_ratio": absent, "duplicates": QUIET}}
    )
    assert "Privacy (membership, distance ratio): no donors." in found


def test_scarce_cells_and_pairs_without_cells_are_told(header: CheckpointHeader) -> None:
    found = limits(header, NOTHING)
    assert "3 of 3 contexts have fewer than 40 control cells: T cells, D1; T cells, D2; B cells, D1." in found
    assert "4 perturbations with fewer than 20 cells in all: A; B; A+B; C." in found
    assert any(limit.startswith("8 of 12 pairs of context and perturbation have no training cell") for limit in found)


def test_features_adapted_contexts_licence_and_baselines_are_told(words: Vocabulary) -> None:
    adapted = SeenContext({"cell_type": "T cells", "donor": "D9"}, 50, 50, {}, adapted=True)
    known = replace(words, contexts=(*words.contexts, adapted), described={"A": "genetic", "NEW": "genetic"})
    card = {"licence": "not stated", "model": "baseline"}
    found = limits(CheckpointHeader(known, (), card, ""), NOTHING)
    assert "Known by their control cells alone: T cells, D9." in found
    assert "1 perturbation known by features alone: NEW." in found
    assert "The licence of its data is not stated." in found
    assert any(limit.startswith("A baseline:") for limit in found)


def test_long_lists_are_cut(words: Vocabulary) -> None:
    many = replace(words, described={f"G{number}": "genetic" for number in range(20)})
    found = limits(CheckpointHeader(many, (), {}, ""), NOTHING)
    assert any(limit.endswith("G7 and 12 more.") for limit in found)
