from __future__ import annotations

import copy
from collections.abc import Callable
from typing import Any

import pytest

from campaigns.conditions import Context
from campaigns.errors import VocabularyError
from campaigns.vocabulary import Vocabulary


def test_a_vocabulary_survives_json(vocabulary: Vocabulary) -> None:
    assert Vocabulary.from_json(vocabulary.to_json()) == vocabulary


def test_the_file_is_the_one_described(vocabulary: Vocabulary, vocabulary_json: dict[str, Any]) -> None:
    assert vocabulary.to_json() == vocabulary_json


def test_features_and_methods_survive_json(vocabulary_json: dict[str, Any]) -> None:
    more = {
        "methods": {"STAT1": "CRISPRi"},
        "described": {"genetic": ["STAT1", "STAT3"], "environment": ["hypoxia"]},
        "structures": True,
    }
    found = Vocabulary.from_json({**vocabulary_json, **more})
    assert found.described == {"STAT1": "genetic", "STAT3": "genetic", "hypoxia": "environment"}
    assert found.to_json() == {**vocabulary_json, **more}
    assert (found.type_of("hypoxia"), found.type_of("Drug_01"), found.type_of("x")) == ("environment", "drug", None)


def test_keys_that_are_meant_for_others_are_left_alone(vocabulary_json: dict[str, Any]) -> None:
    data = copy.deepcopy(vocabulary_json)
    data["parts"] = ["STAT1"]
    data["perturbations"]["STAT1"]["depth_log_ratio"] = 0.1
    assert Vocabulary.from_json(data) == Vocabulary.from_json(vocabulary_json)


def test_parts_of_combinations_are_known(vocabulary: Vocabulary) -> None:
    assert vocabulary.part_types["JAK2"] == "genetic"
    assert "STAT1+JAK2" not in vocabulary.part_types
    assert vocabulary.part_doses["Drug_01"] == (0.1, 1.0, 10.0)


@pytest.mark.parametrize(
    ("factors", "cells"),
    [
        ({"cell_type": "B cells", "donor": "D1"}, 12),
        ({"cell_type": "T cells", "donor": "D2"}, 0),
        ({"cell_type": "B cells"}, 15),
        ({"donor": "D1"}, 21),
        ({}, 24),
    ],
)
def test_control_cells_are_pooled_over_factors_left_out(
    vocabulary: Vocabulary, factors: dict[str, str], cells: int
) -> None:
    assert vocabulary.control_cells(Context.of(factors)) == cells


def _set(*path: Any) -> Callable[[dict[str, Any]], None]:
    def change(data: Any) -> None:
        *way, last, value = path
        for key in way:
            data = data[key]
        data[last] = value

    return change


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (_set("format", 2), "format: isn't a vocabulary of format 1"),
        (_set("genes", []), "genes: is empty"),
        (_set("genes", ["A", "A"]), "genes: lists a name twice"),
        (_set("genes", ["A", 3]), "genes: must be a list of names"),
        (_set("factors", []), "factors: must be a mapping"),
        (_set("factors", "donor", "D1"), "factors.donor: must be a list of names"),
        (_set("contexts", {}), "contexts: must be a list"),
        (_set("contexts", 0, 3), "contexts[0]: must have factors"),
        (
            _set("contexts", 1, "factors", {"donor": "D1"}),
            "contexts[1].factors: must give a value for each of cell_type",
        ),
        (_set("contexts", 0, "factors", "donor", "D9"), "contexts[0].factors.donor: 'D9' isn't among"),
        (_set("contexts", 0, "factors", "donor", []), "contexts[0].factors.donor: [] isn't among"),
        (_set("contexts", 0, "control_cells", -1), "contexts[0].control_cells: must be a number of cells"),
        (_set("contexts", 0, "cells", True), "contexts[0].cells: must be a number of cells"),
        (_set("perturbations", []), "perturbations: must be a mapping"),
        (_set("methods", []), "methods: must be a mapping"),
        (_set("methods", {"STAT1": "siRNA"}), 'methods["STAT1"]: must be one of knockout, CRISPRi, CRISPRa'),
        (_set("described", []), "described: must be a mapping"),
        (_set("described", {"gene": ["A"]}), "described.gene: must be one of genetic, cytokine, drug, environment"),
        (_set("described", {"drug": ["A", "A"]}), "described.drug: lists a name twice"),
        (_set("structures", 1), "structures: must be true or false"),
        (_set("perturbations", "STAT1", None), 'perturbations["STAT1"]: must have type'),
        (_set("perturbations", "STAT1", "type", "chemical"), "type: must be one of genetic, cytokine, drug"),
        (_set("perturbations", "STAT1", "cells", "3"), "cells: must be a number of cells"),
        (_set("perturbations", "Drug_01", "doses", [0]), "doses: must be a list of positive numbers"),
        (_set("perturbations", "A+", {"type": "drug", "cells": 1, "doses": []}), "has an empty part"),
        (_set("control", ""), "control: must be the label"),
        (_set("control", "STAT1"), "the control isn't listed"),
    ],
)
def test_what_has_another_shape_is_refused(
    vocabulary_json: dict[str, Any], change: Callable[[dict[str, Any]], None], said: str
) -> None:
    data = copy.deepcopy(vocabulary_json)
    change(data)
    with pytest.raises(VocabularyError) as caught:
        Vocabulary.from_json(data, "model/vocabulary.json")
    assert said in str(caught.value)
    assert caught.value.file == "model/vocabulary.json"


@pytest.mark.parametrize("data", [None, [], "x", 3, {}])
def test_what_is_no_vocabulary_at_all_is_refused(data: object) -> None:
    with pytest.raises(VocabularyError, match="isn't a vocabulary of format 1"):
        Vocabulary.from_json(data)
