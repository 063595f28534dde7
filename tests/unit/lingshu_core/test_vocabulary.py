from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lingshu_core.errors import CheckpointError
from lingshu_core.vocabulary import VOCABULARY_FORMAT, Vocabulary, join_parts, part_types, split_label

PARTS = st.lists(st.from_regex(r"[A-Za-z0-9][A-Za-z0-9-]{0,6}|\(\+\)-[A-Z]{2}", fullmatch=True), min_size=1, max_size=4)


@pytest.fixture
def content(vocabulary: Vocabulary) -> dict[str, Any]:
    return json.loads(json.dumps(vocabulary.to_json()))


@pytest.mark.parametrize(
    ("label", "parts"),
    [
        ("STAT1", ("STAT1",)),
        ("STAT1+JAK2", ("JAK2", "STAT1")),
        (" STAT1 + JAK2 ", ("JAK2", "STAT1")),
        ("(+)-JQ1", ("(+)-JQ1",)),
        ("STAT1+(+)-JQ1", ("(+)-JQ1", "STAT1")),
        ("drug (R+S) salt", ("drug (R+S) salt",)),
    ],
)
def test_a_label_splits_at_plus_signs_outside_brackets(label: str, parts: tuple[str, ...]) -> None:
    assert split_label(label) == parts


@given(PARTS)
def test_splitting_undoes_joining_in_any_order(parts: list[str]) -> None:
    assert split_label(join_parts(parts)) == tuple(sorted(parts))
    assert join_parts(parts) == join_parts(parts[::-1])


def test_named_values_count_from_one_in_every_factor(vocabulary: Vocabulary) -> None:
    for factor, values in vocabulary.factors.items():
        assert [vocabulary.index(factor, value) for value in values] == list(range(1, len(values) + 1))
    assert [vocabulary.index("perturbation", part) for part in vocabulary.parts] == [1, 2, 3]
    assert vocabulary.index("donor", "D7") is None
    assert vocabulary.index("perturbation", vocabulary.control) is None


def test_the_vocabulary_survives_json(vocabulary: Vocabulary, content: dict[str, Any]) -> None:
    again = Vocabulary.from_json(content)
    assert again == vocabulary
    assert again.index("donor", "D2") == vocabulary.index("donor", "D2")


def test_a_newer_format_is_refused_with_both_numbers(content: dict[str, Any]) -> None:
    content["format"] = VOCABULARY_FORMAT + 1
    with pytest.raises(CheckpointError, match=r"format 2; this version reads format 1: train again or use"):
        Vocabulary.from_json(content)


@pytest.mark.parametrize("key", ["genes", "factors", "contexts", "perturbations", "parts", "control"])
def test_a_vocabulary_with_a_part_missing_is_refused(content: dict[str, Any], key: str) -> None:
    del content[key]
    with pytest.raises(CheckpointError, match=f"damaged.*{key}.*fetch the checkpoint again"):
        Vocabulary.from_json(content)


def test_a_vocabulary_of_the_wrong_shape_is_refused(content: dict[str, Any]) -> None:
    content["contexts"] = [{"cell": "B cells"}]
    with pytest.raises(CheckpointError, match="damaged"):
        Vocabulary.from_json(content)


def test_the_type_of_a_part_is_that_of_its_own_label() -> None:
    types = part_types({"B+IFNB1": "genetic", "IFNB1": "cytokine", "B": "genetic", "C+D": "drug"})
    assert types == {"IFNB1": "cytokine", "B": "genetic", "C": "drug", "D": "drug"}
