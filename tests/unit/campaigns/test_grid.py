from __future__ import annotations

import copy
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from campaigns import EmptyGridError, Loaded, ScreenSpec, Vocabulary, VocabularyError, build_grid

Screen = Callable[..., Loaded[ScreenSpec]]


def contexts(loaded: Loaded[ScreenSpec], vocabulary: Vocabulary) -> list[str]:
    return [context.label for context in build_grid(loaded.spec, vocabulary, loaded.source).contexts]


def perturbations(loaded: Loaded[ScreenSpec], vocabulary: Vocabulary) -> list[str]:
    return [perturbation.label for perturbation in build_grid(loaded.spec, vocabulary, loaded.source).perturbations]


@pytest.mark.parametrize(
    ("chosen", "labels"),
    [
        ("all_seen", ["cell_type=B cells, donor=D1", "cell_type=T cells, donor=D1"]),
        ("{cell_type: all_seen, donor: all_seen}", ["cell_type=B cells, donor=D1", "cell_type=T cells, donor=D1"]),
        ("{cell_type: all_seen, donor: [D1]}", ["cell_type=B cells, donor=D1", "cell_type=T cells, donor=D1"]),
        (
            "[{cell_type: [T cells, B cells], donor: D1}]",
            ["cell_type=B cells, donor=D1", "cell_type=T cells, donor=D1"],
        ),
        ("[{cell_type: B cells}, {donor: D1}]", ["cell_type=B cells", "donor=D1"]),
        ("[{cell_type: B cells}, {cell_type: [B cells]}]", ["cell_type=B cells"]),
        ("[{}]", ["all cells"]),
    ],
)
def test_contexts(screen: Screen, vocabulary: Vocabulary, chosen: str, labels: list[str]) -> None:
    assert contexts(screen(contexts=chosen), vocabulary) == labels


def test_contexts_come_from_a_table(screen: Screen, vocabulary: Vocabulary, write: Callable[..., Path]) -> None:
    path = write("cell_type,donor\nB cells,D1\nT cells,\n", "contexts.csv")
    assert contexts(screen(contexts=f"{{file: {path}}}"), vocabulary) == [
        "cell_type=B cells, donor=D1",
        "cell_type=T cells",
    ]


def test_contexts_without_controls_are_skipped_with_a_notice(screen: Screen, vocabulary: Vocabulary) -> None:
    grid = build_grid(screen().spec, vocabulary)
    assert grid.notices == (
        "2 contexts have fewer than 5 control cells and are left out: "
        "cell_type=B cells, donor=D2, cell_type=T cells, donor=D2",
    )


@pytest.mark.parametrize(
    ("chosen", "line", "said"),
    [
        ("[{cell_type: B cell}]", 4, "contexts[0].cell_type: unknown cell_type 'B cell'; nearest: B cells"),
        ("\n  - donor: D1\n  - donor: [D1, D9]", 6, "contexts[1].donor[1]: unknown donor 'D9'; known: D1, D2"),
        ("{tissue: all_seen}", 4, "contexts.tissue: unknown factor of a context 'tissue'; known: cell_type, donor"),
        ("{dono: [D1, D2]}", 4, "unknown factor of a context 'dono'; nearest: donor"),
        (
            "[{cell_type: B cells, donor: D2}]",
            4,
            "contexts[0]: context 'cell_type=B cells, donor=D2' has 3 control cells",
        ),
        ("{file: no.csv}", 4, "contexts.file: no.csv can't be read"),
    ],
)
def test_contexts_that_cannot_be_are_told(
    screen: Screen, vocabulary: Vocabulary, chosen: str, line: int, said: str
) -> None:
    loaded = screen(contexts=chosen)
    with pytest.raises(VocabularyError) as caught:
        build_grid(loaded.spec, vocabulary, loaded.source)
    assert any(said in str(problem) and problem.line == line for problem in caught.value.problems), caught.value


def test_problems_of_a_table_have_its_lines(screen: Screen, vocabulary: Vocabulary, write: Callable[..., Path]) -> None:
    path = write("cell_type,dono\nB cells,\nB cel,D1\n", "contexts.csv")
    with pytest.raises(VocabularyError) as caught:
        build_grid(screen(contexts=f"{{file: {path}}}").spec, vocabulary)
    assert [problem.line for problem in caught.value.problems] == [3, 3]
    assert "unknown factor of a context 'dono'" in str(caught.value)


@pytest.mark.parametrize(
    ("chosen", "labels"),
    [
        ("genetic: all_seen", ["IRF1", "JAK2+STAT1", "STAT1", "STAT2"]),
        ("genetic: [STAT2, STAT1]", ["STAT1", "STAT2"]),
        ("genetic: [STAT2+IRF1, IRF1 + STAT2]", ["IRF1+STAT2"]),
        ("genetic: [JAK2]", ["JAK2"]),
        ("cytokine: all_seen", ["IFNB1"]),
        ("drug: all_seen", ["(+)-JQ1", "Drug_01@0.1", "Drug_01@1", "Drug_01@10", "Drug_02@1", "Drug_02@5"]),
        ("drug: [Drug_02, (+)-JQ1]", ["(+)-JQ1", "Drug_02@1", "Drug_02@5"]),
        ("drug: [{name: Drug_01, doses: [1, 0.1]}]", ["Drug_01@0.1", "Drug_01@1"]),
        ("drug: [Drug_02+Drug_01]", ["Drug_01@1+Drug_02@1"]),
        ("drug: [{name: Drug_02+Drug_01, doses: [2]}]", ["Drug_01@2+Drug_02@2"]),
        ("genetic: [STAT1]\n  cytokine: [IFNB1]", ["IFNB1", "STAT1"]),
    ],
)
def test_perturbations(screen: Screen, vocabulary: Vocabulary, chosen: str, labels: list[str]) -> None:
    assert perturbations(screen(genetic=chosen), vocabulary) == labels


def test_perturbations_come_from_a_list(screen: Screen, vocabulary: Vocabulary, write: Callable[..., Path]) -> None:
    path = write("# mine\nSTAT1\nSTAT2+IRF1\n", "targets.txt")
    assert perturbations(screen(genetic=f"genetic: {{file: {path}}}"), vocabulary) == ["IRF1+STAT2", "STAT1"]


@pytest.mark.parametrize(
    ("chosen", "line", "said"),
    [
        ("genetic: [STAT1,\n    STAT11]", 7, "perturbations.genetic[1]: unknown perturbation 'STAT11'; nearest: STAT1"),
        ("genetic: [STAT1+STAT11]", 6, "unknown perturbation 'STAT11'"),
        ("genetic: [STAT1+STAT1]", 6, "'STAT1+STAT1' has a part twice"),
        ("genetic: [STAT1+]", 6, "has an empty part"),
        ("genetic: [control]", 6, "'control' is the control, which is added by itself"),
        ("genetic: [STAT1+control]", 6, "'control' is the control"),
        (
            "genetic: [IFNB1]",
            6,
            "'IFNB1' is a cytokine perturbation in this model; list it under perturbations.cytokine",
        ),
        ("cytokine: [{name: IFNB1, doses: [1]}]", 6, "the model was trained on IFNB1 without doses"),
        ("drug: [(+)-JQ1+Drug_01]", 6, "no seen dose in common; name `doses`"),
        ("drug: {file: no.txt}", 6, "perturbations.drug.file: no.txt can't be read"),
    ],
)
def test_perturbations_that_cannot_be_are_told(
    screen: Screen, vocabulary: Vocabulary, chosen: str, line: int, said: str
) -> None:
    loaded = screen(genetic=chosen)
    with pytest.raises(VocabularyError) as caught:
        build_grid(loaded.spec, vocabulary, loaded.source)
    assert any(said in str(problem) and problem.line == line for problem in caught.value.problems), caught.value


def test_problems_of_a_list_have_its_lines(screen: Screen, vocabulary: Vocabulary, write: Callable[..., Path]) -> None:
    path = write("STAT1\n\nSTAT9\n", "targets.txt")
    with pytest.raises(VocabularyError, match=r"targets.txt:3: unknown perturbation 'STAT9'"):
        build_grid(screen(genetic=f"genetic: {{file: {path}}}").spec, vocabulary)


def test_all_problems_are_told_together(screen: Screen, vocabulary: Vocabulary) -> None:
    loaded = screen(contexts="[{donor: D8}, {donor: D9}]", genetic="genetic: [X, Y]")
    with pytest.raises(VocabularyError) as caught:
        build_grid(loaded.spec, vocabulary, loaded.source)
    assert len(caught.value.problems) == 4


def test_what_is_named_twice_and_doses_not_seen_are_noticed(screen: Screen, vocabulary: Vocabulary) -> None:
    loaded = screen(
        contexts="[{donor: D1}]", genetic="genetic: [STAT1, STAT1]\n  drug: [{name: Drug_01, doses: [0.5]}]"
    )
    assert build_grid(loaded.spec, vocabulary).notices == (
        "1 perturbations are named twice and count once: STAT1",
        "1 doses weren't seen in training, the model has to guess: Drug_01@0.5",
    )


def test_every_context_has_its_control_first(screen: Screen, vocabulary: Vocabulary) -> None:
    grid = build_grid(screen(genetic="genetic: [STAT1]").spec, vocabulary)
    labels = [condition.label for condition in grid.conditions()]
    assert labels == [
        "control in cell_type=B cells, donor=D1",
        "STAT1 in cell_type=B cells, donor=D1",
        "control in cell_type=T cells, donor=D1",
        "STAT1 in cell_type=T cells, donor=D1",
    ]
    assert len(grid) == len(labels)


def test_a_grid_without_perturbations_is_refused_with_the_reason(
    screen: Screen, vocabulary_json: dict[str, Any]
) -> None:
    data = copy.deepcopy(vocabulary_json)
    del data["perturbations"]["IFNB1"]
    loaded = screen(genetic="cytokine: all_seen")
    with pytest.raises(EmptyGridError, match=r":5: perturbations: .*has seen no cytokine perturbation"):
        build_grid(loaded.spec, Vocabulary.from_json(data), loaded.source)


def test_a_grid_without_contexts_is_refused_with_the_reason(screen: Screen, vocabulary_json: dict[str, Any]) -> None:
    data = copy.deepcopy(vocabulary_json)
    for seen in data["contexts"]:
        seen["control_cells"] = 4
    loaded = screen()
    with pytest.raises(EmptyGridError, match=r":4: contexts: .*4 contexts have fewer than 5 control cells"):
        build_grid(loaded.spec, Vocabulary.from_json(data), loaded.source)


def test_a_model_without_factors_has_one_context(screen: Screen, vocabulary_json: dict[str, Any]) -> None:
    data = copy.deepcopy(vocabulary_json)
    data["factors"] = {}
    data["contexts"] = [{"factors": {}, "control_cells": 20, "cells": 300}]
    assert contexts(screen(), Vocabulary.from_json(data)) == ["all cells"]
