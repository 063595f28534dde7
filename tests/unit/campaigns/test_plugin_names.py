from __future__ import annotations

from typing import Any

import pytest

from campaigns.errors import SpecError
from campaigns.plugin_names import FEATURES, MODELS, OBJECTIVES, check_plugins
from campaigns.training_spec import TrainSpec
from campaigns.validation import validate
from campaigns.yaml_source import Source, parse_yaml

INSTALLED = {MODELS: ("mine", "other"), OBJECTIVES: (), FEATURES: ("vectors",)}


def source(text: str) -> Source:
    return parse_yaml(text.encode(), "file.yaml")


def test_installed_plugins_pass_wherever_they_stand() -> None:
    text = (
        "models:\n  - name: a\n    model: {kind: plugin, plugin: mine}\n"
        "    features: {genetic: [{kind: plugin, plugin: vectors}]}\n"
    )
    check_plugins(source(text), INSTALLED.__getitem__)


def test_each_that_is_missing_is_told_with_its_line_and_the_nearest() -> None:
    text = (
        "model: {kind: plugin, plugin: mien}\nfeatures:\n  drug:\n    - {kind: plugin, plugin: vectors}\n"
        "    - {kind: plugin, plugin: mine}\nobjective: {kind: plugin, plugin: mine}\n"
    )
    with pytest.raises(SpecError) as refusal:
        check_plugins(source(text), INSTALLED.__getitem__)
    first, second, third = str(refusal.value).splitlines()
    assert first.startswith("file.yaml:1: model.plugin: no plugin 'mien' is installed (entry points lingshu.models); ")
    assert "mine" in first
    assert second.startswith("file.yaml:5: features.drug[1].plugin: no plugin 'mine' is installed")
    assert "no package here has any: install its package" in third


def training(**model: Any) -> Source:
    data = {"path": "cells.h5ad", "columns": {"perturbation": "p"}}
    return Source("file.yaml", {"kind": "train", "name": "x", "data": data, "output": "o", **model})


@pytest.mark.parametrize(
    ("fields", "told"),
    [
        ({"model": {"kind": "plugin"}}, "model.kind: plugin: say which one with `plugin: NAME`"),
        ({"model": {"kind": "additive", "plugin": "mine"}}, "model.plugin: additive is no plugin; write kind: plugin"),
        ({"model": {"settings": {"a": 1}}}, "model.settings: lingshu is no plugin"),
        (
            {"model": {"kind": "plugin", "plugin": "mine", "min_cells": 3}},
            "model.min_cells: plugin has no use for this",
        ),
        (
            {"model": {"kind": "plugin", "plugin": "m", "settings": {"a": [1]}}},
            "model.settings.a: must be a number, true",
        ),
        (
            {"model": {"kind": "plugin", "plugin": "mine"}, "training": {"epochs": 3}},
            "training.epochs: a plugin has `settings` of its own and isn't trained like the cell model; plugin has",
        ),
    ],
)
def test_fields_that_mean_nothing_are_refused(fields: dict[str, Any], told: str) -> None:
    with pytest.raises(SpecError) as refusal:
        validate(TrainSpec, training(**fields))
    assert told in str(refusal.value)
