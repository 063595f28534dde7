from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from campaigns.conditions import CONTROL, PerturbationPart
from campaigns.errors import VocabularyError
from campaigns.generation_condition import resolve_condition
from campaigns.generation_spec import GenerateSpec
from campaigns.vocabulary import SeenContext, SeenPerturbation, Vocabulary

WORDS = Vocabulary(
    genes=("A", "B"),
    factors={"cell_type": ("B cells", "T cells"), "donor": ("D1",)},
    contexts=(SeenContext({"cell_type": "B cells", "donor": "D1"}, 5, 9),),
    perturbations={
        "STAT1": SeenPerturbation("genetic", 9),
        "JAK2": SeenPerturbation("genetic", 4),
        "TNF": SeenPerturbation("cytokine", 4),
        "drug": SeenPerturbation("drug", 4, (0.1, 1.0)),
        "mail@home": SeenPerturbation("cytokine", 4),
    },
    control="ctrl",
)
ATLAS = Vocabulary(("A",), {}, (SeenContext({}, 9, 9),), {}, "control")


def ask(**changes: Any) -> GenerateSpec:
    return GenerateSpec.model_validate({"kind": "generate", "model": "m", "output": "c.h5ad", **changes})


@pytest.mark.parametrize(
    ("label", "parts"),
    [
        ("STAT1", [("STAT1", None)]),
        ("STAT1+JAK2", [("JAK2", None), ("STAT1", None)]),
        ("drug@0.1", [("drug", 0.1)]),
        ("drug@5 + TNF", [("TNF", None), ("drug", 5.0)]),
        ("mail@home", [("mail@home", None)]),
    ],
)
def test_perturbations_are_read(label: str, parts: list[tuple[str, float | None]]) -> None:
    found = resolve_condition(ask(perturbation=label, context={"donor": "D1"}), WORDS)
    assert found.perturbation.parts == tuple(PerturbationPart(*part) for part in parts)
    assert found.context.label == "donor=D1"


@pytest.mark.parametrize("label", [None, "ctrl"])
def test_nothing_or_the_control_is_the_control(label: str | None) -> None:
    assert resolve_condition(ask(perturbation=label), WORDS).perturbation == CONTROL


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"context": {"cell_typ": "B cells"}}, "unknown factor of a context 'cell_typ'; nearest: cell_type"),
        ({"context": {"cell_type": "B cell"}}, "unknown cell_type 'B cell'; nearest: B cells"),
        ({"start": {"path": "p", "keep": 0.1, "columns": {"tissue": "t"}}}, "unknown factor of a context 'tissue'"),
        ({"perturbation": "STAT2"}, "unknown perturbation 'STAT2'; nearest: STAT1"),
        ({"perturbation": "drug"}, "write one, such as drug@0.1, drug@1"),
        ({"perturbation": "drug@0"}, "must be a positive number"),
        ({"perturbation": "drug@nan"}, "must be a positive number"),
        ({"perturbation": "STAT1@2"}, "trained on STAT1 without doses"),
        ({"perturbation": "STAT1+"}, "has an empty part"),
        ({"perturbation": "STAT1+STAT1"}, "has a part twice"),
        ({"perturbation": "drug@1+drug@0.1"}, "has a part twice"),
    ],
)
def test_unknown_names_are_told_with_the_nearest(changes: dict[str, Any], said: str) -> None:
    with pytest.raises(VocabularyError) as caught:
        resolve_condition(ask(**changes), WORDS)
    assert said in str(caught.value)


def test_an_atlas_has_no_perturbation() -> None:
    assert resolve_condition(ask(), ATLAS).label == "control in all cells"
    with pytest.raises(VocabularyError, match="without perturbations"):
        resolve_condition(ask(perturbation="STAT1"), ATLAS)


def test_the_depth_of_start_cells_is_no_factor() -> None:
    start = {"path": "p", "keep": 0.1, "columns": {"depth": "n_counts"}}
    assert resolve_condition(ask(start=start), WORDS).perturbation == CONTROL


@pytest.mark.parametrize(
    ("label", "said"),
    [
        ("new drug", "was trained on with doses; write one, such as new drug@0.1"),
        ("IRF1@0.5", "the model was trained on IRF1 without doses; leave `@0.5` out"),
    ],
)
def test_what_was_never_seen_takes_doses_as_its_type_does(label: str, said: str) -> None:
    words = replace(WORDS, described={"new drug": "drug", "IRF1": "genetic"})
    with pytest.raises(VocabularyError) as raised:
        resolve_condition(ask(perturbation=label), words)
    assert said in str(raised.value)
    parts = resolve_condition(ask(perturbation="new drug@0.3"), words).perturbation.parts
    assert parts == (PerturbationPart("new drug", 0.3),)
