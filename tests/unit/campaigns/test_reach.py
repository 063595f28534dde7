from __future__ import annotations

from typing import Any

import pytest

from campaigns import Vocabulary
from campaigns.reach import Reach


@pytest.fixture
def reach_of(vocabulary_json: dict[str, Any]) -> Any:
    return lambda **more: Reach(Vocabulary.from_json({**vocabulary_json, **more}))


@pytest.mark.parametrize(
    ("more", "name", "said"),
    [
        ({}, "STAT1", None),
        ({"described": {"genetic": ["STAT3"]}}, "STAT3", None),
        ({"described": {"environment": ["hypoxia"]}}, "hypoxia", "was trained on no environment perturbation"),
        (
            {"described": {"genetic": ["STAT3"]}, "methods": {"STAT1": "CRISPRa", "IRF1": "knockout"}},
            "STAT3",
            "has learned knockout and CRISPRa",
        ),
        (
            {"described": {"genetic": ["STAT3 (CRISPRa)"]}, "methods": {"STAT1": "CRISPRa", "IRF1": "knockout"}},
            "STAT3 (CRISPRa)",
            None,
        ),
    ],
)
def test_what_stands_against_a_name(reach_of: Any, more: dict[str, Any], name: str, said: str | None) -> None:
    obstacle = reach_of(**more).obstacle(name)
    assert obstacle is None if said is None else said in obstacle


def test_structures_need_a_model_that_reads_them_and_has_seen_drugs(reach_of: Any, vocabulary_json: Any) -> None:
    assert "can't read structures" in reach_of().structure_obstacle()
    assert reach_of(structures=True).structure_obstacle() is None
    genetic = {name: seen for name, seen in vocabulary_json["perturbations"].items() if seen["type"] == "genetic"}
    assert "no drug perturbation" in reach_of(structures=True, perturbations=genetic).structure_obstacle()


def test_names_that_cannot_be_asked_are_not_suggested(reach_of: Any) -> None:
    reach = reach_of(described={"genetic": ["STAT3"], "environment": ["hypoxia"]})
    assert "STAT3" in reach.alike("STAT4", "genetic")
    assert reach.alike("hypoxi", "environment") == ()
    assert reach.alike("IFNB", "environment") == ("IFNB1",)  # under another type, where it can be asked
