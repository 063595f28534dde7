from __future__ import annotations

import pytest

from campaigns.errors import SpecError
from campaigns.screen_spec import ScreenSpec
from campaigns.training_spec import TrainingSpec
from campaigns.validation import validate
from campaigns.yaml_source import parse_yaml


def test_valid_data_become_a_spec() -> None:
    assert validate(TrainingSpec, parse_yaml(b"minutes: 2\n", "a.yaml", {})) == TrainingSpec(minutes=2.0)


def test_a_mistake_in_a_union_is_told_once() -> None:
    text = b"kind: screen\nname: a\nmodel: m\ncontexts: 3\nperturbations: {genetic: 3}\nobjective: 3\noutput: o\n"
    with pytest.raises(SpecError) as caught:
        validate(ScreenSpec, parse_yaml(text, "a.yaml", {}))
    assert [(problem.line, problem.field) for problem in caught.value.problems] == [
        (4, "contexts"),
        (5, "perturbations.genetic"),
        (6, "objective"),
    ]


def test_long_values_and_blocks_are_not_repeated() -> None:
    with pytest.raises(SpecError) as caught:
        validate(TrainingSpec, parse_yaml(f"seed: {'x' * 500}\nthreads: {{a: secret}}\n".encode(), "a.yaml", {}))
    assert "a text of 500 characters" in str(caught.value)
    assert "a mapping" in str(caught.value)
    assert "secret" not in str(caught.value)


def test_an_unknown_key_that_looks_like_a_union_s_tag_is_named() -> None:
    with pytest.raises(SpecError) as caught:
        validate(TrainingSpec, parse_yaml(b"minutes: 2\n<model>: 3\n", "a.yaml", {}))
    assert [(problem.line, problem.field) for problem in caught.value.problems] == [(2, '["<model>"]')]
    assert "unknown key '<model>'" in str(caught.value)
