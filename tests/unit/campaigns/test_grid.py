from __future__ import annotations

import copy
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from campaigns import EmptyGridError, Loaded, ScreenSpec, Vocabulary, VocabularyError, build_grid
from campaigns.errors import BudgetError
from campaigns.plan import make_plan
from campaigns.screen_spec import BudgetSpec

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
        "cell_type=B cells, donor=D2; cell_type=T cells, donor=D2",
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
        (
            "drug: all_seen",
            ["(+)-JQ1", "Drug_01@0.1", "Drug_01@1", "Drug_01@10", "Drug_02@1", "Drug_02@5", "Drug_03@7"],
        ),
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
        ("drug: [Drug_01+Drug_03]", 6, "no seen dose in common; name `doses`"),
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


@pytest.mark.parametrize("doses", ["", ", doses: [1]"])
def test_drugs_with_and_without_doses_get_one_answer(screen: Screen, vocabulary: Vocabulary, doses: str) -> None:
    loaded = screen(genetic=f"drug: [{{name: (+)-JQ1+Drug_01{doses}}}]")
    with pytest.raises(VocabularyError) as caught:
        build_grid(loaded.spec, vocabulary, loaded.source)
    (problem,) = caught.value.problems
    assert "can't be combined: the model was trained on Drug_01 with doses and on (+)-JQ1 without" in str(problem)


def _with(vocabulary_json: dict[str, Any], **labels: dict[str, Any]) -> Vocabulary:
    return Vocabulary.from_json({**vocabulary_json, "perturbations": {**vocabulary_json["perturbations"], **labels}})


@pytest.mark.parametrize(
    ("chosen", "labels"),
    [
        ("cytokine: [IFNB1+STAT1]", ["IFNB1+STAT1"]),
        ("drug: [STAT1+Drug_01]", ["Drug_01@1+STAT1@1"]),
        ("drug: [{name: STAT1+Drug_01, doses: [1]}]", ["Drug_01@1+STAT1@1"]),
        ("drug: [(+)-JQ1+Drug_02]", ["(+)-JQ1+Drug_02"]),
    ],
)
def test_what_was_seen_together_has_its_own_type_whatever_its_parts_are(
    screen: Screen, vocabulary_json: dict[str, Any], chosen: str, labels: list[str]
) -> None:
    seen = {
        "STAT1+IFNB1": {"type": "cytokine", "cells": 9, "doses": []},
        "STAT1+Drug_01": {"type": "drug", "cells": 9, "doses": [1]},
        "Drug_02+(+)-JQ1": {"type": "drug", "cells": 9, "doses": []},
    }
    assert perturbations(screen(genetic=chosen), _with(vocabulary_json, **seen)) == labels


@pytest.mark.parametrize("type", ["genetic", "cytokine"])
def test_types_that_were_not_seen_together_get_one_answer(screen: Screen, vocabulary: Vocabulary, type: str) -> None:
    loaded = screen(genetic=f"{type}: [STAT1+IFNB1]")
    with pytest.raises(VocabularyError) as caught:
        build_grid(loaded.spec, vocabulary, loaded.source)
    (problem,) = caught.value.problems
    assert "'STAT1+IFNB1' mixes types: STAT1 (genetic), IFNB1 (cytokine); combinations of" in str(problem)
    assert "list it under" not in str(problem)


def test_a_seen_mixture_under_another_type_is_sent_to_its_own(screen: Screen, vocabulary_json: dict[str, Any]) -> None:
    seen = {"STAT1+IFNB1": {"type": "cytokine", "cells": 9, "doses": []}}
    with pytest.raises(VocabularyError, match=r"'IFNB1\+STAT1' is a cytokine .* list it under perturbations.cytokine"):
        build_grid(screen(genetic="genetic: [IFNB1+STAT1]").spec, _with(vocabulary_json, **seen))


def test_doses_of_a_mixture_that_was_seen_without_are_refused(screen: Screen, vocabulary_json: dict[str, Any]) -> None:
    seen = {"Drug_02+(+)-JQ1": {"type": "drug", "cells": 9, "doses": []}}
    loaded = screen(genetic="drug: [{name: Drug_02+(+)-JQ1, doses: [1]}]")
    with pytest.raises(VocabularyError, match="without doses; leave `doses` out"):
        build_grid(loaded.spec, _with(vocabulary_json, **seen))


def test_targets_that_are_no_genes_of_the_model_are_noticed(screen: Screen, vocabulary_json: dict[str, Any]) -> None:
    some = Vocabulary.from_json({**vocabulary_json, "genes": ["STAT1", "IRF1", "GBP1"]})
    loaded = screen(contexts="[{donor: D1}]")
    assert build_grid(loaded.spec, some).notices == (
        "of 4 genetic targets, 2 are genes of the model; own targets of the others can't be left out of their scores: "
        "JAK2, STAT2",
    )
    none = Vocabulary.from_json({**vocabulary_json, "genes": ["ENSG1", "ENSG2"]})
    (notice,) = build_grid(loaded.spec, none).notices
    assert notice.startswith("NONE of 4 genetic targets is a gene of the model")
    assert "are the labels gene symbols like var_names?" in notice
    assert "genes: ENSG1, ENSG2" in notice


@pytest.mark.parametrize("chosen", ["cytokine: [IFNB1]", "drug: [Drug_01]"])
def test_cytokines_and_drugs_are_no_targets(screen: Screen, vocabulary_json: dict[str, Any], chosen: str) -> None:
    none = Vocabulary.from_json({**vocabulary_json, "genes": ["ENSG1"]})
    assert build_grid(screen(contexts="[{donor: D1}]", genetic=chosen).spec, none).notices == ()


def test_targets_do_not_matter_where_they_stay_in(screen: Screen, vocabulary_json: dict[str, Any]) -> None:
    none = Vocabulary.from_json({**vocabulary_json, "genes": ["ENSG1"]})
    loaded = screen(contexts="[{donor: D1}]", down="[IRF1, GBP1]\n  exclude_own_targets: false")
    assert build_grid(loaded.spec, none).notices == ()


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


def test_a_model_of_an_atlas_is_no_model_to_screen(screen: Screen, vocabulary_json: dict[str, Any]) -> None:
    vocabulary = Vocabulary.from_json({**vocabulary_json, "perturbations": {}})
    with pytest.raises(VocabularyError, match="trained on cells without perturbations"):
        build_grid(screen().spec, vocabulary)


@pytest.fixture
def with_null(vocabulary: Vocabulary) -> Vocabulary:
    return replace(vocabulary, pseudo=("null-1", "null-2"))


def test_the_null_is_in_every_context_and_comes_before_the_perturbations(
    screen: Screen, with_null: Vocabulary, vocabulary: Vocabulary
) -> None:
    loaded = screen()
    grid, plain = (build_grid(loaded.spec, words, loaded.source) for words in (with_null, vocabulary))
    assert [each.label for each in grid.null] == ["null-1", "null-2"]
    assert grid.perturbations == plain.perturbations
    assert len(grid) == len(list(grid.conditions())) == len(plain) + 2 * len(grid.contexts)
    first = [condition.perturbation.label for condition in grid.conditions()][:4]
    assert first[:3] == ["control", "null-1", "null-2"]
    assert all(grid.support(condition) == "in_vocabulary" for condition in grid.conditions())


def test_a_pseudo_perturbation_has_no_name_to_ask_for(screen: Screen, with_null: Vocabulary) -> None:
    loaded = screen(genetic="genetic: [null-1, STAT1+null-2]")
    with pytest.raises(VocabularyError) as caught:
        build_grid(loaded.spec, with_null, loaded.source)
    assert [str(problem).count("is a pseudo-perturbation") for problem in caught.value.problems] == [1, 1]


def test_the_null_counts_for_the_budget(screen: Screen, with_null: Vocabulary) -> None:
    loaded = screen()
    small = loaded.spec.model_copy(update={"budget": BudgetSpec(conditions=3)})
    with pytest.raises(BudgetError, match="perturbations \\+ 2 pseudo-perturbations \\+ control"):
        make_plan(
            small,
            with_null,
            model_digest="",
            control_set_digest=lambda _: "",
            panel_digest="",
            sampler_version="",
        )


def test_a_vocabulary_keeps_its_null(with_null: Vocabulary, vocabulary: Vocabulary) -> None:
    assert Vocabulary.from_json(with_null.to_json()) == with_null
    assert "pseudo_perturbations" not in vocabulary.to_json()
    with pytest.raises(VocabularyError, match="pseudo_perturbations"):
        Vocabulary.from_json(with_null.to_json() | {"pseudo_perturbations": "null-1"})
