"""What every split promises, on experiments of any make-up; and what it says where it can't be had."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
import pandas as pd
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from lingshu_core.errors import SplitError
from lingshu_core.relations import Relations
from lingshu_core.split_builder import KINDS, SplitRules, build_split
from lingshu_core.split_leaks import fold_leaks
from lingshu_core.split_table import CellTable, targets_of
from lingshu_core.splits import Fold, Question, Split

MakeTable = Callable[..., CellTable]
Built = Callable[..., Split]
Case = tuple[int, str, SplitRules, dict[str, Any]]
STRUCTURES = {
    "STAT1": "c1ccccc1CC",
    "STAT2": "c1ccccc1CCC",
    "JAK2": "C1CCNCC1",
    "IRF1": "CCO",
    "MYC": "C1CCNCC1C",
    "A1CF": "OC(=O)C",
}
RELATIONS = Relations(structures=STRUCTURES, file="drugs.tsv")
OPTIONS: Mapping[str, st.SearchStrategy[dict[str, Any]]] = {
    "unseen_perturbation": st.fixed_dictionaries({"folds": st.integers(2, 3), "perturbations": st.just(None)})
    | st.fixed_dictionaries({"folds": st.just(2), "perturbations": st.just(("STAT1", "JAK2"))}),
    "combination": st.fixed_dictionaries(
        {
            "factor": st.sampled_from(("cell_type", "donor")),
            "values": st.none() | st.just(("T",)),
            "perturbations": st.none() | st.just(("STAT1", "JAK2+STAT1")),
            "folds": st.none() | st.integers(1, 3),
        }
    ),
    "unseen_context": st.fixed_dictionaries(
        {
            "factor": st.sampled_from(("cell_type", "donor")),
            "values": st.none(),
            "folds": st.none() | st.just(2),
            "own_controls": st.sampled_from(("trained", "adapted", "none")),
        }
    ),
    "double_unseen": st.fixed_dictionaries(
        {
            "factor": st.just("cell_type"),
            "values": st.none(),
            "perturbations": st.none(),
            "folds": st.integers(1, 2),
            "own_controls": st.sampled_from(("trained", "adapted", "none")),
        }
    ),
    "donor_perturbation": st.fixed_dictionaries(
        {
            "factor": st.just("donor"),
            "values": st.none(),
            "perturbations": st.none(),
            "share": st.sampled_from((0.3, 0.7, 1.0)),
            "folds": st.none() | st.just(2),
        }
    ),
    "parts": st.fixed_dictionaries({"seen": st.just((0, 1, 2)), "hide_singles": st.booleans()}),
    "scaffold": st.fixed_dictionaries({"folds": st.integers(2, 3)}),
    "tanimoto": st.fixed_dictionaries({"folds": st.just(2), "threshold": st.sampled_from((0.3, 0.6))}),
    "gene_family": st.fixed_dictionaries({"folds": st.integers(2, 3)}),
    "batch": st.fixed_dictionaries({"column": st.just("batch"), "values": st.none(), "folds": st.none()}),
    "replicate": st.fixed_dictionaries(
        {"column": st.just("batch"), "values": st.none(), "folds": st.none() | st.just(2)}
    ),
    "guide": st.fixed_dictionaries({"column": st.just("guide"), "folds": st.integers(2, 3)}),
}


def shuffled(table: CellTable, seed: int) -> CellTable:
    order = np.random.default_rng(seed).permutation(len(table))
    return CellTable(table.names[order], table.obs.iloc[order].reset_index(drop=True), table.context_roles, "control")


@st.composite
def cases(draw: st.DrawFn) -> Case:
    kind = draw(st.sampled_from(KINDS))
    options = draw(OPTIONS[kind])
    pooled = [role for role in ("cell_type", "donor") if role != options.get("factor")]
    rules = SplitRules(
        seed=draw(st.integers(0, 5)),
        minimum_cells=draw(st.integers(2, 12)),
        controls=draw(st.sampled_from(("halved", "shared"))),
        calibration=draw(st.sampled_from((0.0, 0.3))),
        pool=tuple(draw(st.lists(st.sampled_from(pooled), unique=True))),
    )
    return draw(st.integers(0, 1_000)), kind, rules, options


def build(table: CellTable, case: Case) -> Split:
    _, kind, rules, options = case
    try:
        return build_split(table, kind, rules, options, RELATIONS)
    except SplitError:
        assume(False)
        raise


def asked(fold: Fold) -> tuple[Question, ...]:
    return (*fold.questions, *fold.calibration)


@settings(max_examples=50)
@given(cases())
def test_what_is_asked_is_not_learnt_from(make_table: MakeTable, case: Case) -> None:
    seed, kind, rules, _ = case
    table = make_table(seed)
    split = build(table, case)
    assert len({fold.name for fold in split.folds}) == len(split.folds)
    for fold in split.folds:
        assert fold.questions
        assert bool(fold.calibration) == bool(rules.calibration)
        assert (fold.train & table.is_control).any()
        assert (fold.train & ~table.is_control).any()
        assert len({question.label for question in asked(fold)}) == len(asked(fold))
        times = np.zeros(len(table), dtype=int)
        for question in asked(fold):
            times += question.perturbed
            assert not (question.perturbed & fold.train).any()
            assert question.perturbed.sum() >= rules.minimum_cells
            assert question.controls.any()
            assert not (question.controls & ~table.is_control).any()
            if rules.controls == "halved" or kind == "batch":
                assert not (question.controls & fold.train).any()
            elif split.options.get("own_controls", "trained") == "trained":
                assert (fold.train | ~question.controls).all()
        assert times.max() == 1
        if fold.adaptation is not None:
            assert not (fold.adaptation & (fold.train | ~table.is_control)).any()


@settings(max_examples=25)
@given(cases())
def test_a_question_is_answered_by_its_own_cells(make_table: MakeTable, case: Case) -> None:
    seed, _, rules, options = case
    table = make_table(seed)
    for fold in build(table, case).folds:
        for question in asked(fold):
            rows = table.obs[question.perturbed]
            assert set(rows["perturbation"]) == {question.perturbation}
            assert {targets_of(part) for part, _ in question.parts} == {
                frozenset({target}) for target in targets_of(question.perturbation)
            }
            doses = {dose for _, dose in question.parts}
            assert set(rows["dose"].dropna()) == {dose for dose in doses if dose is not None}
            for both in (rows, table.obs[question.controls]):
                for factor, value in question.context.items():
                    assert set(both[factor]) == {value}
            assert set(question.context) == set(table.context_roles).difference(rules.pool, [options.get("column")])


@settings(max_examples=25)
@given(cases())
def test_only_a_spoiled_split_leaks(make_table: MakeTable, case: Case) -> None:
    seed, _, rules, _ = case
    table = make_table(seed)
    split = build(table, case)
    for fold in split.folds:
        assert not [finding for finding in fold_leaks(split, fold, table, RELATIONS) if finding.severity == "leak"]
    fold = split.folds[0]
    spoiled = fold.train.copy()
    spoiled[np.flatnonzero(fold.questions[0].perturbed)[0]] = True
    kinds = {finding.kind for finding in fold_leaks(split, Fold(fold.name, spoiled, fold.questions), table, RELATIONS)}
    assert "held_out_cells" in kinds
    if rules.controls == "halved":
        spoiled = fold.train | fold.questions[0].controls
        findings = fold_leaks(split, Fold(fold.name, spoiled, fold.questions), table, RELATIONS)
        assert "measured_controls" in {finding.kind for finding in findings}


@settings(max_examples=15)
@given(cases(), st.integers(0, 100))
def test_the_order_of_cells_changes_nothing(make_table: MakeTable, case: Case, seed: int) -> None:
    cells, kind, rules, options = case
    table = make_table(cells)
    split = build(table, case)
    other = shuffled(table, seed)
    again = build_split(other, kind, rules, options, RELATIONS)
    assert again.digest == split.digest
    for fold, same in zip(split.folds, again.folds, strict=True):
        assert set(table.names[fold.train]) == set(other.names[same.train])
        assert [question.label for question in fold.questions] == [question.label for question in same.questions]


def test_another_seed_draws_another_split(make_table: MakeTable) -> None:
    table = make_table(3, 900, even=True)
    options = {"folds": 3, "perturbations": None}
    splits = [build_split(table, "unseen_perturbation", SplitRules(seed, 5), options) for seed in range(4)]
    assert len({split.digest for split in splits}) == 4
    partitions = {
        frozenset(frozenset(question.perturbation for question in fold.questions) for fold in split.folds)
        for split in splits
    }
    assert len(partitions) > 1


def train_of(table: CellTable, fold: Fold) -> pd.DataFrame:
    return table.obs[fold.train & ~table.is_control]


def test_half_of_the_controls_of_each_context_is_trained_on(split_experiment: CellTable, build_one: Built) -> None:
    table = split_experiment
    split = build_one("combination", factor="cell_type", values=("T",), perturbations=("STAT1",), folds=None)
    (fold,) = split.folds
    for question in fold.questions:
        here = table.is_control.copy()
        for factor, value in question.context.items():
            here &= (table.obs[factor] == value).to_numpy()
        assert abs(int(question.controls.sum()) * 2 - int(here.sum())) <= 1
        assert not (here & ~question.controls & ~fold.train).any()


def test_what_is_shared_stays_in_training(build_one: Built) -> None:
    split = build_one("combination", factor="cell_type", values=("T",), perturbations=None, folds=1, controls="shared")
    for question in split.folds[0].questions:
        assert (question.controls <= split.folds[0].train).all()


def test_calibration_is_held_out_in_the_same_way(split_experiment: CellTable, build_one: Built) -> None:
    table = split_experiment
    split = build_one("unseen_perturbation", folds=3, perturbations=None, calibration=0.5)
    for fold in split.folds:
        tests = {target for q in fold.questions for target in targets_of(q.perturbation)}
        calibrated = {target for q in fold.calibration for target in targets_of(q.perturbation)}
        left = {target for label in train_of(table, fold)["perturbation"] for target in targets_of(label)}
        assert calibrated
        assert not calibrated & tests
        assert not calibrated & left


REFUSED: list[tuple[str, dict[str, Any], str]] = [
    ("unseen_perturbation", {"folds": 9, "perturbations": None}, r"perturbations with enough cells are IRF1, JAK2, ST"),
    ("unseen_perturbation", {"folds": 2, "perturbations": ("SOX2",)}, r"'SOX2' is not in the data; there are: IRF1, "),
    ("unseen_perturbation", {"folds": 2, "perturbations": ("MYC",)}, r"'MYC' is only in combinations .*kind: parts"),
    (
        "combination",
        {"factor": "tissue", "values": None, "perturbations": None, "folds": None},
        r"'tissue' isn't named under data.columns; named are: cell_type, donor, batch, guide",
    ),
    (
        "combination",
        {"factor": "cell_type", "values": ("Monocytes",), "perturbations": None, "folds": None},
        r"no cell has the value 'Monocytes'; there are: B, NK, T",
    ),
    (
        "combination",
        {"factor": "cell_type", "values": None, "perturbations": ("SOX2",), "folds": None},
        r"no cell has 'SOX2'; there are: A1CF\+MYC, ",
    ),
    (
        "combination",
        {"factor": "cell_type", "values": ("T",), "perturbations": None, "folds": None, "minimum_cells": 500},
        r"not asked for lack of cells: .* control cells of 500.*; name others, or lower minimum_cells. Columns of the",
    ),
    (
        "combination",
        {"factor": "cell_type", "values": None, "perturbations": None, "folds": None, "pool": ("tissue",)},
        r"pool: 'tissue' is no factor of the context; factors are: cell_type, donor",
    ),
    (
        "combination",
        {"factor": "donor", "values": None, "perturbations": None, "folds": None, "pool": ("donor",)},
        r"'donor' is the factor that is held out",
    ),
    (
        "unseen_context",
        {"factor": "cell_type", "values": ("B", "NK", "T"), "folds": 1, "own_controls": "trained"},
        r"in the fold 'fold 1': no question is left whose perturbation is also learnt from",
    ),
]


@pytest.mark.parametrize(("kind", "options", "message"), REFUSED)
def test_what_cannot_be_had_is_refused_with_what_can(
    build_one: Built, kind: str, options: dict[str, Any], message: str
) -> None:
    with pytest.raises(SplitError, match=message):
        build_one(kind, **options)


def test_calibration_needs_something_to_spare(build_one: Built) -> None:
    with pytest.raises(SplitError, match=r"nothing more can be held out for calibration.*set calibration to 0"):
        build_one("unseen_perturbation", folds=2, perturbations=("IRF1", "JAK2", "STAT1", "STAT2"), calibration=0.5)


def test_options_and_notes_are_plain_data(build_one: Built) -> None:
    split = build_one("combination", 20, factor="cell_type", values=None, perturbations=None, folds=None)
    assert json.loads(json.dumps(dict(split.options)))["minimum_cells"] == 20
    assert [note for note in split.notes if note.startswith("not asked for lack of cells: ")]
