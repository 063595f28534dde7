"""The `split` block of an evaluation."""

from __future__ import annotations

import inspect
from typing import Any, get_args

import pytest
from pydantic import TypeAdapter

import campaigns.split_spec
from campaigns.errors import SpecError
from campaigns.spec import Spec
from campaigns.split_spec import CombinationSplit, GeneFamilySplit, SplitRules, SplitSpec, UnseenPerturbationSplit
from campaigns.validation import validate
from campaigns.yaml_source import Source

KINDS = {member.model_fields["kind"].annotation: member for member in get_args(get_args(SplitSpec)[0])}
NEEDED = {"scaffold": {"file": "drugs.tsv"}, "tanimoto": {"file": "drugs.tsv"}}
KIND_NAMES = sorted(name for kind in KINDS for name in get_args(kind))


class Block(Spec):
    split: SplitSpec


def read(**content: Any) -> Any:
    return validate(Block, Source("evaluation.yaml", {"split": content})).split


@pytest.mark.parametrize("kind", KIND_NAMES)
def test_every_kind_has_defaults_and_can_be_written_and_read(kind: str) -> None:
    spec = read(kind=kind, **NEEDED.get(kind, {}))
    assert spec.kind == kind
    assert spec.controls == "halved"
    assert TypeAdapter(SplitSpec).validate_json(spec.model_dump_json()) == spec


def test_there_are_as_many_kinds_as_promised() -> None:
    assert KIND_NAMES == [
        "batch",
        "combination",
        "donor_perturbation",
        "double_unseen",
        "gene_family",
        "guide",
        "parts",
        "replicate",
        "scaffold",
        "tanimoto",
        "unseen_context",
        "unseen_perturbation",
    ]


def test_every_field_is_described() -> None:
    blocks = [
        found for _, found in inspect.getmembers(campaigns.split_spec, inspect.isclass) if issubclass(found, Spec)
    ]
    fields = [(block.__name__, name, field) for block in blocks for name, field in block.model_fields.items()]
    assert not [(block, name) for block, name, field in fields if name != "kind" and not field.description]


def test_one_name_stands_for_a_list_and_numbers_are_names() -> None:
    spec = read(kind="combination", factor="donor", values=101, pool=["cell_type"])
    assert isinstance(spec, CombinationSplit)
    assert spec.values == ("101",)
    assert spec.columns == ("donor", "cell_type")


def test_columns_are_those_that_the_data_have_to_name() -> None:
    assert read(kind="guide").columns == ("guide",)
    assert read(kind="unseen_perturbation").columns == ()
    assert read(kind="batch", column="plate", pool=["donor"]).columns == ("plate", "donor")


def test_families_are_chosen_by_kind() -> None:
    spec = read(kind="gene_family", families={"kind": "paralogues", "file": "pairs.tsv", "identity": "percent"})
    assert isinstance(spec, GeneFamilySplit)
    assert spec.families.kind == "paralogues"


@pytest.mark.parametrize(
    ("content", "field", "message"),
    [
        ({"kind": "random"}, "split.kind", "unseen_perturbation"),
        ({"kind": "combination", "folds": 0}, "split.folds", "greater than or equal to 1"),
        ({"kind": "unseen_perturbation", "folds": 1}, "split.folds", "greater than or equal to 2"),
        (
            {"kind": "unseen_perturbation", "folds": 3, "perturbations": ["A"]},
            "split.folds",
            "leave one of the two out",
        ),
        ({"kind": "combination", "values": ["a", "a"]}, "split.values", "'a' is listed twice"),
        ({"kind": "combination", "calibration": 1.0}, "split.calibration", "less than 1"),
        ({"kind": "combination", "minimum_cells": 1}, "split.minimum_cells", "greater than or equal to 2"),
        ({"kind": "scaffold"}, "split", "file"),
        ({"kind": "combination", "own_controls": "none"}, "split.own_controls", "unknown"),
        ({"kind": "parts", "seen": [0, 0]}, "split.seen", "listed twice"),
        (
            {"kind": "gene_family", "families": {"kind": "paralogues", "file": "p.tsv", "threshold": 50}},
            "split.families.threshold",
            "name it with `identity`",
        ),
    ],
)
def test_what_is_wrong_is_named(content: dict[str, Any], field: str, message: str) -> None:
    with pytest.raises(SpecError) as raised:
        read(**content)
    assert raised.value.field == field
    assert message in str(raised.value)


def test_a_list_of_perturbations_needs_no_folds() -> None:
    spec = read(kind="unseen_perturbation", perturbations="STAT1")
    assert isinstance(spec, UnseenPerturbationSplit)
    assert spec.perturbations == ("STAT1",)


def test_all_rules_are_in_the_core_too() -> None:
    from lingshu_core.split_builder import KINDS as CORE_KINDS
    from lingshu_core.split_builder import SplitRules as CoreRules

    assert set(SplitRules.model_fields) == set(inspect.signature(CoreRules).parameters)
    assert sorted(CORE_KINDS) == KIND_NAMES
