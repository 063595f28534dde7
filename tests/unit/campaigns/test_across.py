from __future__ import annotations

from collections.abc import Callable

import pytest

from campaigns import Context, Loaded, ScreenSpec, Vocabulary, VocabularyError, build_grid
from campaigns.across import comparable, finest, resolve_across, varying
from campaigns.across_spec import AcrossSpec

Screen = Callable[..., Loaded[ScreenSpec]]

B1, T1, B2 = (Context.of({"cell_type": t, "donor": d}) for t, d in (("B", "1"), ("T", "1"), ("B", "2")))
B = Context.of({"cell_type": "B"})


def test_a_context_that_others_make_more_specific_is_left_out() -> None:
    assert set(finest([B1, B, B2])) == {B1, B2}
    assert set(finest([T1, B])) == {T1, B}
    assert set(finest([Context(()), B])) == {B}


def test_the_only_factor_that_varies_is_the_default() -> None:
    assert resolve_across(None, [B1, T1]).factor == "cell_type"
    assert resolve_across(None, [B1, B2, B]).factor == "donor"
    assert resolve_across(None, [B1]).factor is None
    assert resolve_across(None, [B1, T1, B2]).factor is None
    assert resolve_across(AcrossSpec(factor="donor"), [B1, T1, B2]).factor == "donor"


def test_patients_are_asked_for_by_name() -> None:
    assert resolve_across(None, [B1, B2]).donor is None
    assert resolve_across(AcrossSpec(modes=("patient",), donor="sample"), [B1, B2]).donor == "sample"


def test_what_varies_and_what_is_compared() -> None:
    assert varying([B1, T1, B2]) == {"cell_type": ("B", "T"), "donor": ("1", "2")}
    assert comparable([T1, B2, B1, B], "cell_type") == (B1, B2, T1)


WRONG = {
    "an unknown factor": (
        "{factor: cell_typ}",
        "across.factor: unknown factor of a context 'cell_typ'; nearest: cell_type",
    ),
    "a factor with one value": ("{factor: donor}", "all contexts that name 'donor' have the same, 'D1'"),
    "no donors": (
        "{factor: cell_type, modes: [patient], donor: batch}",
        "across.donor: unknown factor of a context 'batch'",
    ),
    "one donor": ("{modes: [patient]}", "the mode patient needs two donors or more: all contexts that name"),
}


@pytest.mark.parametrize("name", WRONG)
def test_what_is_refused_is_told_in_a_line(screen: Screen, vocabulary: Vocabulary, name: str) -> None:
    block, told = WRONG[name]
    loaded = screen(contexts=f"all_seen\nacross: {block}")
    with pytest.raises(VocabularyError) as refused:
        build_grid(loaded.spec, vocabulary, loaded.source)
    (line,) = str(refused.value).splitlines()
    assert told in line


def test_a_factor_that_no_context_names_is_told(screen: Screen, vocabulary: Vocabulary) -> None:
    loaded = screen(contexts="{cell_type: all_seen}\nacross: {factor: donor}")
    with pytest.raises(
        VocabularyError, match="nothing can be compared: no context of the screen names a factor 'donor'"
    ):
        build_grid(loaded.spec, vocabulary, loaded.source)


def test_one_context_has_nothing_to_be_compared_with(screen: Screen, vocabulary: Vocabulary) -> None:
    loaded = screen(contexts="[{cell_type: B cells}]\nacross: {modes: [pan]}")
    with pytest.raises(VocabularyError, match="one context, cell_type=B cells, and nothing to compare it with"):
        build_grid(loaded.spec, vocabulary, loaded.source)


def test_two_factors_that_vary_are_told(screen: Screen, vocabulary_of_four: Vocabulary) -> None:
    loaded = screen()
    (notice,) = build_grid(loaded.spec, vocabulary_of_four, loaded.source).notices
    assert "contexts differ in cell_type and donor" in notice
    assert "across: {factor: cell_type}" in notice
    asked = screen(contexts="all_seen\nacross: {modes: [pan]}")
    with pytest.raises(VocabularyError, match="contexts differ in cell_type and donor; name one as `factor`"):
        build_grid(asked.spec, vocabulary_of_four, asked.source)
    named = screen(contexts="all_seen\nacross: {factor: donor, modes: [pan, patient]}")
    assert build_grid(named.spec, vocabulary_of_four, named.source).notices == ()


def test_unknown_contexts_are_told_alone(screen: Screen, vocabulary: Vocabulary) -> None:
    loaded = screen(contexts="{cell_type: [B cells, T cell]}\nacross: {factor: cell_type}")
    with pytest.raises(VocabularyError) as refused:
        build_grid(loaded.spec, vocabulary, loaded.source)
    assert "across" not in str(refused.value)


@pytest.fixture
def vocabulary_of_four(vocabulary_json: dict[str, object]) -> Vocabulary:
    contexts = [
        {"factors": {"cell_type": t, "donor": d}, "control_cells": 9, "cells": 40}
        for t in ("B cells", "T cells")
        for d in ("D1", "D2")
    ]
    return Vocabulary.from_json({**vocabulary_json, "contexts": contexts})
