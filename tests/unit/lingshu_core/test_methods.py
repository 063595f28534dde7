from __future__ import annotations

import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from campaigns.conditions import METHODS as PLAIN_METHODS
from campaigns.conditions import split_method as plain_split
from lingshu_core.errors import UnusableCells
from lingshu_core.methods import METHODS, canonical_methods, part_methods, split_method, target_of, told_apart
from lingshu_core.vocabulary import split_label


@pytest.mark.parametrize(
    ("text", "method"),
    [
        ("knockout", "knockout"),
        ("Knock-out", "knockout"),
        ("CRISPR-KO", "knockout"),
        ("CRISPR/Cas9", "knockout"),
        ("crispr_i", "CRISPRi"),
        ("CRISPRi", "CRISPRi"),
        ("CRISPR activation", "CRISPRa"),
    ],
)
def test_spellings_of_a_method(text: str, method: str) -> None:
    assert canonical_methods([text, text], "x") == [method, method]


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("CRISPRx", r"unknown method 'CRISPRx' \(did you mean CRISPRi?"),
        ("siRNA", "unknown method 'siRNA'; a method is"),
    ],
)
def test_other_methods_are_refused(text: str, said: str) -> None:
    with pytest.raises(UnusableCells, match=said):
        canonical_methods(["CRISPRi", text], "cells.h5ad: obs['m']")


@pytest.mark.parametrize(
    ("part", "target", "method"),
    [
        ("KLF1", "KLF1", None),
        ("KLF1 (CRISPRa)", "KLF1", "CRISPRa"),
        ("KLF1 (knockout)", "KLF1", "knockout"),
        ("KLF1 (crispra)", "KLF1 (crispra)", None),
        ("(+)-JQ1", "(+)-JQ1", None),
        (" (CRISPRa)", " (CRISPRa)", None),
    ],
)
def test_a_part_is_a_target_and_perhaps_a_method(part: str, target: str, method: str | None) -> None:
    assert split_method(part) == plain_split(part) == (target, method)
    assert target_of(part) == target


def test_both_rooms_know_the_same_methods() -> None:
    assert METHODS == PLAIN_METHODS


def test_only_targets_with_several_methods_are_told_apart() -> None:
    labels = pd.Series(["KLF1", "KLF1", "STAT1", "KLF1+STAT1", "control", "KLF1"], index=[3, 4, 5, 6, 7, 8])
    methods = pd.Series(["CRISPRa", "CRISPRi", "CRISPRa", "CRISPRa", "", ""], index=labels.index)
    assert told_apart(labels, methods).to_dict() == {
        3: "KLF1 (CRISPRa)",
        4: "KLF1 (CRISPRi)",
        5: "STAT1",
        6: "KLF1 (CRISPRa)+STAT1",
        7: "control",
        8: "KLF1",  # a drug of that name has no method
    }


CELLS = st.lists(
    st.tuples(st.sampled_from(["A", "B", "C", "A+B", "B+C"]), st.sampled_from(METHODS)), min_size=1, max_size=12
)


@given(CELLS, CELLS)
def test_files_may_be_told_apart_before_they_are_joined(
    first: list[tuple[str, str]], second: list[tuple[str, str]]
) -> None:
    labels, methods = (pd.Series(list(each)) for each in zip(*first, *second, strict=True))
    size = len(first)
    files = [told_apart(labels[:size], methods[:size]), told_apart(labels[size:], methods[size:])]
    assert told_apart(pd.concat(files), methods).tolist() == told_apart(labels, methods).tolist()


@given(CELLS)
def test_no_name_ever_has_two_methods(cells: list[tuple[str, str]]) -> None:
    labels, methods = (pd.Series(list(each)) for each in zip(*cells, strict=True))
    apart = told_apart(labels, methods)
    found: dict[str, set[str]] = {}
    for label, method in zip(apart, methods, strict=True):
        for part in split_label(label):
            found.setdefault(part, set()).add(method)
    assert all(len(of_part) == 1 for of_part in found.values())
    assert [sorted(map(target_of, split_label(label))) for label in apart] == [list(split_label(e)) for e in labels]


def test_the_vocabulary_records_the_method_of_every_part() -> None:
    obs = pd.DataFrame(
        [("A+B", "genetic", "CRISPRa"), ("C (CRISPRi)", "genetic", ""), ("D", "drug", ""), ("control", "none", "")],
        columns=["perturbation", "perturbation_type", "method"],
    )
    assert part_methods(obs) == {"A": "CRISPRa", "B": "CRISPRa", "C (CRISPRi)": "CRISPRi"}
    assert part_methods(obs.drop(columns="method")) == {"C (CRISPRi)": "CRISPRi"}
