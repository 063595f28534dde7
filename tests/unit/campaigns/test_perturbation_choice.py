from __future__ import annotations

import gzip
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from campaigns import EmptyGridError, Grid, Loaded, ScreenSpec, Vocabulary, VocabularyError, build_grid
from campaigns.conditions import FEATURES_ONLY
from campaigns.validation import validate
from campaigns.yaml_source import Source

Screen = Callable[..., Loaded[ScreenSpec]]
Write = Callable[..., Path]

DESCRIBED = {"genetic": ["STAT1", "STAT3", "MYC"], "drug": ["Drug_01", "Drug_04"], "cytokine": ["IL2"]}


@pytest.fixture
def described(vocabulary_json: dict[str, Any]) -> Vocabulary:
    """The small vocabulary, with features of a few names and of structures."""
    return Vocabulary.from_json({**vocabulary_json, "described": DESCRIBED, "structures": True})


def no_fluorine(smiles: str) -> str | None:
    """Stand in for a chemist, who isn't in this room."""
    return "it has fluorine" if "F" in smiles else None


def grid_of(loaded: Loaded[ScreenSpec], vocabulary: Vocabulary) -> Grid:
    return build_grid(loaded.spec, vocabulary, loaded.source, no_fluorine)


def problems(loaded: Loaded[ScreenSpec], vocabulary: Vocabulary) -> list[str]:
    with pytest.raises(VocabularyError) as caught:
        grid_of(loaded, vocabulary)
    return [f"{problem.line}: {problem.field}: {problem.text}" for problem in caught.value.problems]


@pytest.mark.parametrize(
    ("chosen", "seen", "unseen"),
    [
        ("genetic: all_described", ["STAT1"], ["MYC", "STAT3"]),
        ("genetic: [STAT1, STAT3, STAT2]", ["STAT1", "STAT2"], ["STAT3"]),
        ("genetic: [STAT1+STAT3, STAT2+STAT1]", ["STAT1+STAT2"], ["STAT1+STAT3"]),
        ("genetic: [MYC+STAT3+STAT2]", [], ["MYC+STAT2+STAT3"]),
        ("genetic: [STAT2+IRF1+STAT1]", ["IRF1+STAT1+STAT2"], []),
        (
            "drug: all_described",
            ["Drug_01@0.1", "Drug_01@1", "Drug_01@10"],
            [f"Drug_04@{dose}" for dose in ("0.1", "1", "10", "5", "7")],
        ),
        ("drug: [{name: Drug_04, doses: [1]}]", [], ["Drug_04@1"]),
        ("drug: [Drug_04+Drug_02]", [], ["Drug_02@1+Drug_04@1", "Drug_02@5+Drug_04@5"]),
        ("drug: [Drug_04+(+)-JQ1]", [], ["(+)-JQ1+Drug_04"]),
        ("cytokine: all_described", [], ["IL2"]),
        ("drug: [{name: NEW-1, smiles: CCO, doses: [0.5]}]", [], ["NEW-1@0.5"]),
        ("drug: [{name: NEW-1, smiles: CCO}]", [], [f"NEW-1@{dose}" for dose in ("0.1", "1", "10", "5", "7")]),
        (
            "drug: [NEW-1+Drug_03, {name: NEW-1, smiles: CCO, doses: [7]}]",
            [],
            ["Drug_03@7+NEW-1@7", "NEW-1@7"],
        ),
    ],
)
def test_what_was_seen_and_what_is_only_described(
    screen: Screen, described: Vocabulary, chosen: str, seen: list[str], unseen: list[str]
) -> None:
    grid = grid_of(screen(genetic=chosen), described)
    found = {False: [], True: []}
    for each in grid.perturbations:
        found[each in grid.features_only].append(each.label)
    assert found == {False: seen, True: unseen}


def test_the_support_of_conditions_is_that_of_their_perturbations(screen: Screen, described: Vocabulary) -> None:
    grid = grid_of(screen(contexts="[{donor: D1}]", genetic="genetic: [STAT1, STAT3]"), described)
    found = {condition.perturbation.label: grid.support(condition) for condition in grid.conditions()}
    assert found == {"control": "in_vocabulary", "STAT1": "in_vocabulary", "STAT3": "features_only"}


@given(st.lists(st.sampled_from([*DESCRIBED["genetic"], "STAT2", "JAK2"]), min_size=1, max_size=4, unique=True))
def test_any_combination_of_seen_and_described_parts_can_be_asked_in_any_order(names: list[str]) -> None:
    vocabulary = Vocabulary.from_json(
        {
            "format": 1,
            "genes": ["A"],
            "factors": {},
            "contexts": [{"factors": {}, "control_cells": 9, "cells": 9}],
            "perturbations": {"STAT2+JAK2": {"type": "genetic", "cells": 9, "doses": []}},
            "control": "control",
            "described": DESCRIBED,
        }
    )
    data = {
        "kind": "screen",
        "name": "x",
        "model": "m",
        "contexts": "all_seen",
        "perturbations": {"genetic": ["+".join(names)]},
        "objective": {"kind": "markers", "genes": {"A": "up"}},
        "output": "o",
    }
    spec = validate(ScreenSpec, Source("screen.yaml", data))
    (found,) = build_grid(spec, vocabulary).perturbations
    assert found.label == "+".join(sorted(names))
    assert (vocabulary.support(found) == FEATURES_ONLY) == bool(set(names) & set(DESCRIBED["genetic"]))


@pytest.mark.parametrize(
    ("chosen", "said"),
    [
        (
            "genetic: [STAT33]",
            "unknown perturbation 'STAT33'; nearest: STAT3, STAT2, STAT1; nor is it among the 3 genetic",
        ),
        ("genetic: [IL2]", "'IL2' is a cytokine perturbation in this model; list it under perturbations.cytokine"),
        ("genetic: [STAT3+IL2]", "'STAT3+IL2' mixes types: STAT3 (genetic), IL2 (cytokine)"),
        ("environment: [hypoxia]", "unknown perturbation 'hypoxia'; none is known; the model"),
        ("environment: [hypoxia]", "the model has no features of environment perturbations, so only seen ones"),
        ("cytokine: [{name: IL2, doses: [1]}]", "the model was trained on cytokine perturbations without doses"),
        ("drug: [NEW-1]", "nor is it among the 2 drug perturbations that the model has features of; give its `smiles`"),
        ("drug: [{name: NEW-1, smiles: CF}]", "smiles: structure of 'NEW-1': it has fluorine; correct it or leave"),
        ("drug: [{name: Drug_01, smiles: CF}]", "structure of 'Drug_01': it has fluorine"),
        (
            "drug: [{name: NEW-1, smiles: CCO}, {name: NEW-1, smiles: CCN}]",
            "drug[1].smiles: 'NEW-1' has another structure further up",
        ),
        ("drug: [{name: control, smiles: CCO}]", "'control' is the control, which is added by itself"),
        ("drug: [{name: A+, smiles: CCO}]", "has an empty part"),
        ("drug: [{name: NEW-1, smiles: CCO}]\n  environment: [NEW-1]", "'NEW-1' is a drug perturbation in this model"),
        ("drug: {file: no.tsv, name: id}", "drug.file: no.tsv can't be read"),
    ],
)
def test_what_the_model_cannot_be_asked_is_told(screen: Screen, described: Vocabulary, chosen: str, said: str) -> None:
    found = problems(screen(genetic=chosen), described)
    assert any(said in problem for problem in found), found


def test_a_model_without_features_says_how_to_get_them(screen: Screen, vocabulary: Vocabulary) -> None:
    (found,) = problems(screen(genetic="genetic: [STAT3]"), vocabulary)
    assert (
        "the model has no features of genetic perturbations, so only seen ones can be asked; train it with `fea"
        in found
    )


@pytest.mark.parametrize("type", ["genetic", "drug"])
def test_all_described_of_a_model_without_features_is_empty(screen: Screen, vocabulary: Vocabulary, type: str) -> None:
    with pytest.raises(EmptyGridError, match=f"the model has no features of {type} perturbations.*`features:`"):
        grid_of(screen(genetic=f"{type}: all_described"), vocabulary)


def test_a_model_that_reads_structures_and_no_names_asks_for_one(screen: Screen, vocabulary_json: Any) -> None:
    model = Vocabulary.from_json({**vocabulary_json, "structures": True})
    (found,) = problems(screen(genetic="drug: [NEW-1]"), model)
    assert "give its structure: {name: …, smiles: …}" in found


def test_structures_need_a_model_that_reads_them(screen: Screen, vocabulary: Vocabulary) -> None:
    chosen = "drug: [{name: NEW-1, smiles: CCO}, {name: NEW-2, smiles: CCN}, {name: Drug_01, smiles: CCN}]"
    (found,) = problems(screen(genetic=chosen), vocabulary)
    assert found.startswith("6: perturbations.drug[0].smiles: 2 drugs are given by structure (NEW-1, NEW-2)")
    assert "train it with `features:` of `smiles`" in found


def test_a_structure_of_a_known_drug_is_not_used_and_that_is_said(screen: Screen, described: Vocabulary) -> None:
    loaded = screen(contexts="[{donor: D1}]", genetic="drug: [{name: Drug_03, smiles: CCO}]")
    grid = grid_of(loaded, described)
    assert grid.notices == ("1 drugs are known to the model by name, so their `smiles` tell scaffolds only: Drug_03",)
    assert [part.smiles for each in grid.perturbations for part in each.parts] == [None]


TABLE = "id\tstructure\tweight\nNEW-1\tCCO\t3\nDrug_03\t\t4\nNEW-2\tCCN\t\n"


@pytest.mark.parametrize("suffix", ["tsv", "tsv.gz", "csv"])
def test_a_library_comes_from_a_table(screen: Screen, described: Vocabulary, tmp_path: Path, suffix: str) -> None:
    path = tmp_path / f"library.{suffix}"
    text = (TABLE.replace("\t", ",") if suffix == "csv" else TABLE).encode()
    path.write_bytes(gzip.compress(text) if suffix.endswith("gz") else text)
    grid = grid_of(screen(genetic=f"drug: {{file: {path}, name: id, smiles: structure, doses: [7]}}"), described)
    assert [(each.label, each.parts[0].smiles) for each in grid.perturbations] == [
        ("Drug_03@7", None),
        ("NEW-1@7", "CCO"),
        ("NEW-2@7", "CCN"),
    ]


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("id\tsmile\nA\tCCO\n", "6: perturbations.drug.smiles: {path} has no column 'smiles'; nearest: smile"),
        ("id\tsmiles\nA\tCCO\nB\tCF\n", "3: : structure of 'B': it has fluorine"),
        ("id\tsmiles\nA\tCCO name\n", "2: : structure of 'A': it has white space"),
        ("id\tsmiles\nA\tCCO\n\tCCO\n", "3: : has nothing in column 'id'"),
        ("id\tsmiles\nA\tCCO\nB\t\n", "3: : unknown perturbation 'B'"),
        ("id\tsmiles\nA\tCCO\tx\n", "2: : has more cells than the header's 2"),
        ("id\tsmiles\nA+B\tCCO\n", "2: : 'A+B': a plus sign joins drugs, and a structure belongs to one"),
        ("id\tsmiles\nA\tCCO\nA\tCCN\n", "3: : 'A' has another structure further up"),
        ("", "has no column 'id'; none is known"),
    ],
)
def test_what_is_wrong_in_a_library_is_told_with_its_line(
    screen: Screen, described: Vocabulary, write: Write, text: str, said: str
) -> None:
    path = write(text, "library.tsv")
    found = problems(screen(genetic=f"drug: {{file: {path}, name: id, smiles: smiles}}"), described)
    assert any(said.format(path=path) in problem for problem in found), found


def test_a_list_in_a_file_may_have_doses(screen: Screen, vocabulary: Vocabulary, write: Write) -> None:
    path = write("Drug_01\nDrug_02\n", "drugs.txt")
    grid = grid_of(screen(genetic=f"drug: {{file: {path}, doses: [1]}}"), vocabulary)
    assert [each.label for each in grid.perturbations] == ["Drug_01@1", "Drug_02@1"]


METHODS = {
    "KLF1 (CRISPRa)": {"type": "genetic", "cells": 9, "doses": []},
    "KLF1 (CRISPRi)+STAT2": {"type": "genetic", "cells": 9, "doses": []},
}


@pytest.fixture
def two_methods(vocabulary_json: dict[str, Any]) -> Vocabulary:
    """KLF1 activated and repressed, STAT1 activated, STAT2 repressed, STAT3 and MYC only described."""
    return Vocabulary.from_json(
        {
            **vocabulary_json,
            "genes": [*vocabulary_json["genes"], "KLF1"],
            "perturbations": {**vocabulary_json["perturbations"], **METHODS},
            "methods": {
                "KLF1 (CRISPRa)": "CRISPRa",
                "KLF1 (CRISPRi)": "CRISPRi",
                "STAT1": "CRISPRa",
                "STAT2": "CRISPRi",
            },
            "described": {"genetic": ["STAT1", "STAT3", "MYC (CRISPRa)"]},
        }
    )


@pytest.mark.parametrize(
    ("chosen", "labels"),
    [
        ("[KLF1 (CRISPRa)]", ["KLF1 (CRISPRa)"]),
        ("[KLF1 (CRISPRi)]", ["KLF1 (CRISPRi)"]),
        ("[KLF1 (CRISPRa)+KLF1 (CRISPRi)]", ["KLF1 (CRISPRa)+KLF1 (CRISPRi)"]),
        ("[STAT1 (CRISPRa)]", ["STAT1"]),
        ("[STAT1 (CRISPRa)+STAT2 (CRISPRi)]", ["STAT1+STAT2"]),
        ("[MYC]", ["MYC (CRISPRa)"]),
        ("all_described", ["MYC (CRISPRa)", "STAT1"]),
    ],
)
def test_a_method_may_be_written_and_is_left_out_where_the_data_have_one(
    screen: Screen, two_methods: Vocabulary, chosen: str, labels: list[str]
) -> None:
    grid = grid_of(screen(genetic=f"genetic: {chosen}"), two_methods)
    assert [each.label for each in grid.perturbations] == labels


@pytest.mark.parametrize(
    ("chosen", "said"),
    [
        ("[KLF1]", "'KLF1' is known by several methods; name one: KLF1 (CRISPRa), KLF1 (CRISPRi)"),
        ("[KLF1 (knockout)]", "the cells had KLF1 by CRISPRa and CRISPRi only"),
        ("[STAT1 (CRISPRi)]", "known: STAT1; the cells had STAT1 by CRISPRa only"),
        ("[STAT1+STAT1 (CRISPRa)]", "has a part twice, once with its method"),
        ("[STAT3]", "'STAT3' was never seen, and the model has learned CRISPRi and CRISPRa, while its features"),
        ("[STAT3 (CRISPRa)]", "; the model has learned CRISPRi and CRISPRa, while its"),
    ],
)
def test_another_method_than_the_seen_one_is_refused(
    screen: Screen, two_methods: Vocabulary, chosen: str, said: str
) -> None:
    (found,) = problems(screen(genetic=f"genetic: {chosen}"), two_methods)
    assert said in found


def test_genes_whose_method_the_features_do_not_tell_are_left_out(screen: Screen, two_methods: Vocabulary) -> None:
    grid = grid_of(screen(contexts="[{donor: D1}]", genetic="genetic: all_described"), two_methods)
    assert grid.notices[0].startswith(
        "1 genetic perturbations were never seen and are left out: the model has learned CRISPRi and"
    )
    assert grid.notices[1].endswith("can't be left out of their scores: MYC")


def test_an_unseen_gene_has_the_one_method_that_was_learned(screen: Screen, vocabulary_json: dict[str, Any]) -> None:
    model = Vocabulary.from_json(
        {**vocabulary_json, "methods": {"STAT1": "knockout"}, "described": {"genetic": ["STAT3"]}}
    )
    grid = grid_of(screen(genetic="genetic: [STAT3 (knockout), STAT3]"), model)
    assert [each.label for each in grid.perturbations] == ["STAT3"]
    (found,) = problems(screen(genetic="genetic: [STAT3 (CRISPRa)]"), model)
    assert "unknown perturbation 'STAT3 (CRISPRa)'" in found


def test_a_target_with_a_method_is_a_gene_of_the_model(screen: Screen, two_methods: Vocabulary) -> None:
    loaded = screen(contexts="[{donor: D1}]", genetic="genetic: [KLF1 (CRISPRa)]")
    assert grid_of(loaded, two_methods).notices == ()


@pytest.mark.parametrize("chosen", ["[Drug_04]", "[{name: NEW-1, smiles: CCO}]", "[Drug_04, {name: N, smiles: C}]"])
def test_features_of_a_type_that_was_never_seen_are_of_no_use(
    screen: Screen, vocabulary_json: dict[str, Any], chosen: str
) -> None:
    seen = {"STAT1": vocabulary_json["perturbations"]["STAT1"]}
    model = Vocabulary.from_json({**vocabulary_json, "perturbations": seen, "described": DESCRIBED, "structures": True})
    found = problems(screen(genetic=f"drug: {chosen}"), model)
    assert all("the model was trained on no drug perturbation, so it can't have learned" in each for each in found)
    with pytest.raises(EmptyGridError, match="2 drug perturbations were never seen and are left out: the model was tr"):
        grid_of(screen(genetic="drug: all_described"), model)
