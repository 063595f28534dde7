"""Every leak is planted once and found; its clean counterpart passes."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import anndata
import numpy as np
import pandas as pd
import pytest
from pydantic import TypeAdapter

from campaigns.split_spec import SplitSpec
from lingshu_core.cells import Cells, CellSource, read_cells
from lingshu_core.relations import Relations
from lingshu_core.splits import Fold, Split
from screening.errors import LeakError
from screening.evaluating.leak_checker import Fitted, LeakReport, check_leaks, check_training
from screening.evaluating.splitting import make_split

ROLES = ("perturbation", "perturbation_type", "dose", "cell_type", "donor")
STRUCTURES = {"DRUG01": "Cc1ccccc1", "DRUG02": "CCc1ccccc1"}
Plant = Callable[[Split, Cells], Split]


@pytest.fixture(scope="module")
def cells(tiny: Path) -> Cells:
    """The small simulation, with guides and barcodes."""
    found = read_cells(CellSource(str(tiny / "cells.h5ad"), {role: role for role in ROLES}))
    random = np.random.default_rng(0)
    guides = [
        f"{label}-g{guide}"
        for label, guide in zip(found.obs["perturbation"], random.integers(1, 4, len(found)), strict=True)
    ]
    batches = random.choice(["b1", "b2"], size=len(found))
    names = np.array(["".join(bases) for bases in random.choice(list("ACGT"), (len(found), 14))])
    return replace(found, obs=found.obs.assign(guide=guides, batch=batches), names=names)


def split_of(cells: Cells, **content: Any) -> Split:
    block = {"minimum_cells": 5, "pool": ["donor"], **content}
    return make_split(TypeAdapter(SplitSpec).validate_python(block), cells)


def trained_too(split: Split, more: np.ndarray) -> Split:
    """Let the first fold learn from further cells."""
    first = split.folds[0]
    return replace(split, folds=(replace(first, train=first.train | more), *split.folds[1:]))


def kinds(report: LeakReport, severity: str = "leak") -> set[str]:
    return {finding.kind for finding in report.findings if finding.severity == severity}


def labelled(cells: Cells, *labels: str) -> np.ndarray:
    return np.isin(cells.obs["perturbation"].to_numpy(dtype=str), labels)


PLANTED: dict[str, tuple[dict[str, Any], Callable[[Split, Cells], np.ndarray], str]] = {
    # what is split → which cells are learnt from as well → what is found
    "a cell that is asked": (
        {"kind": "combination"},
        lambda split, cells: np.arange(len(cells)) == np.flatnonzero(split.folds[0].questions[0].perturbed)[0],
        "held_out_cells",
    ),
    "a control that effects are measured by": (
        {"kind": "combination"},
        lambda split, cells: split.folds[0].questions[0].controls,
        "measured_controls",
    ),
    "the target in a combination": (
        {"kind": "unseen_perturbation", "perturbations": ["REG04"]},
        lambda split, cells: labelled(cells, "REG04+REG08"),
        "targets",
    ),
    "the block of a context in another donor": (
        {"kind": "combination", "perturbations": ["REG05"], "values": ["type_1"], "pool": []},
        lambda split, cells: labelled(cells, "REG05") & (cells.obs["cell_type"] == "type_1").to_numpy(),
        "combinations",
    ),
    "another perturbation of a context left out": (
        {"kind": "unseen_context", "values": ["type_1"]},
        lambda split, cells: labelled(cells, "DRUG01") & (cells.obs["cell_type"] == "type_1").to_numpy(),
        "contexts",
    ),
    "controls of a context that nobody was to see": (
        {"kind": "unseen_context", "values": ["type_1"], "own_controls": "none"},
        lambda split, cells: cells.is_control & (cells.obs["cell_type"] == "type_1").to_numpy(),
        "contexts",
    ),
    "the perturbation elsewhere, where both were to be unseen": (
        {"kind": "double_unseen", "values": ["type_1"], "perturbations": ["REG05"], "folds": 1},
        lambda split, cells: labelled(cells, "REG05") & (cells.obs["cell_type"] == "type_2").to_numpy(),
        "targets",
    ),
    "a donor's perturbation": (
        {"kind": "donor_perturbation", "values": ["donor_1"], "share": 1.0, "pool": []},
        lambda split, cells: labelled(cells, "REG05") & (cells.obs["donor"] == "donor_1").to_numpy(),
        "combinations",
    ),
    "a single that was to be hidden": (
        {"kind": "parts", "seen": [0], "hide_singles": True},
        lambda split, cells: labelled(cells, "REG04"),
        "parts",
    ),
    "a batch's controls": (
        {"kind": "batch", "values": ["b1"]},
        lambda split, cells: cells.is_control & (cells.obs["batch"] == "b1").to_numpy(),
        "batch",
    ),
    "a replicate's cells": (
        {"kind": "replicate", "column": "batch", "values": ["b1"]},
        lambda split, cells: ~cells.is_control & (cells.obs["batch"] == "b1").to_numpy(),
        "replicate",
    ),
    "a guide's cells": (
        {"kind": "guide"},
        lambda split, cells: split.folds[0].questions[0].perturbed,
        "guide",
    ),
}


@pytest.mark.parametrize("what", PLANTED)
def test_cells_that_give_an_answer_away_are_found(cells: Cells, what: str) -> None:
    block, more, kind = PLANTED[what]
    split = split_of(cells, **block)
    assert kinds(check_leaks(split, cells)) == set()
    check_leaks(split, cells).fail()
    report = check_leaks(trained_too(split, more(split, cells)), cells)
    assert kind in kinds(report)
    with pytest.raises(LeakError, match="fold "):
        report.fail()


def test_shared_controls_are_no_leak_where_they_are_wanted(cells: Cells) -> None:
    report = check_leaks(split_of(cells, kind="combination", controls="shared"), cells)
    assert kinds(report) == set()


def stems(genes: tuple[str, ...]) -> Relations:
    return Relations(groups=(genes,), file="pairs.tsv")


def test_paralogues_on_both_sides_are_found(cells: Cells) -> None:
    split = replace(split_of(cells, kind="unseen_perturbation", perturbations=["REG05"]), kind="gene_family")
    assert kinds(check_leaks(split, cells, relations=stems(("REG05", "OTHER")))) == set()
    report = check_leaks(split, cells, relations=stems(("REG05", "REG09")))
    assert kinds(report) == {"paralogues"}
    assert report.leaks[0].examples == ("REG05 and REG09",)


@pytest.mark.parametrize(("kind", "found"), [("scaffold", "scaffolds"), ("tanimoto", "alike_drugs")])
def test_drugs_that_are_alike_on_both_sides_are_found(cells: Cells, kind: str, found: str) -> None:
    split = split_of(cells, kind="unseen_perturbation", perturbations=["DRUG01"])
    split = replace(split, kind=kind, options={**split.options, "threshold": 0.3})
    report = check_leaks(split, cells, relations=Relations(structures=STRUCTURES, file="drugs.tsv"))
    assert kinds(report) == {found}
    assert "DRUG01 and DRUG02" in str(report.leaks[0])
    other = Relations(structures={"DRUG01": "Cc1ccccc1", "DRUG02": "C1CCNCC1"}, file="drugs.tsv")
    clean = check_leaks(split, cells, relations=other)
    assert kinds(clean) == set()
    assert "unknown" in kinds(clean, "note")  # the genes have no structure


def test_a_cell_that_is_there_twice_is_found(cells: Cells) -> None:
    split = split_of(cells, kind="combination", perturbations=["REG05"])
    asked = np.flatnonzero(split.folds[0].questions[0].perturbed)[:3]
    learnt = np.flatnonzero(split.folds[0].train)[:3]
    counts = cells.counts.tolil()
    counts[learnt] = counts[asked]
    report = check_leaks(split, replace(cells, counts=counts.tocsr()))
    assert kinds(report) == {"copies"}
    assert report.leaks[0].count == 3
    assert set(report.leaks[0].examples) == set(cells.names[asked])


def test_cells_of_no_known_donor_are_noted(cells: Cells) -> None:
    donors = cells.obs["donor"].where(np.arange(len(cells)) % 10 != 0, "ambiguous")
    vague = replace(cells, obs=cells.obs.assign(donor=donors))
    report = check_leaks(split_of(vague, kind="donor_perturbation", pool=["cell_type"]), vague)
    assert kinds(report) == set()
    assert kinds(report, "note") == {"vague_values"}
    assert "may be what is held out" in str(report.notes[0])


def write(cells: Cells, path: Path, **columns: Any) -> str:
    var = pd.DataFrame(columns, index=list(cells.genes))
    anndata.AnnData(cells.counts.astype(np.float32), obs=pd.DataFrame(index=cells.names), var=var).write_h5ad(path)
    return str(path)


def test_a_file_with_the_same_cells_is_found(cells: Cells, tmp_path: Path) -> None:
    split = split_of(cells, kind="combination", perturbations=["REG05"])
    held = np.logical_or.reduce([question.perturbed for fold in split.folds for question in fold.questions])
    clean = cells.select(~held & ~cells.is_control)
    numbered = np.array([f"cell_{i}" for i in range(int(held.sum()))])
    files = {
        "clean": write(clean, tmp_path / "clean.h5ad"),
        "named": write(cells.select(held), tmp_path / "named.h5ad"),
        "unnamed": write(replace(cells.select(held), names=numbered), tmp_path / "unnamed.h5ad"),
    }
    assert kinds(check_leaks(split, cells, files=[files["clean"]])) == set()
    for file in ("named", "unnamed"):
        report = check_leaks(split, cells, files=[str(tmp_path / f"{file}.h5*")])
        assert kinds(report) == {"same_cells"}
        assert report.leaks[0].count == int(held.sum())


def test_what_was_fitted_on_cells_that_are_asked_is_found(cells: Cells) -> None:
    split = split_of(cells, kind="combination", perturbations=["REG05"])
    fold = split.folds[0]
    clean = Fitted("co-expression", cells.names[fold.train], fold.name)
    assert kinds(check_leaks(split, cells, fitted=[clean])) == set()
    report = check_leaks(split, cells, fitted=[Fitted("a choice of genes", cells.names)])
    assert kinds(report) == {"fitted"}
    assert len(report.leaks) == len(split.folds)
    assert "a choice of genes: fitted on" in str(report.leaks[0])


def test_a_file_of_variable_genes_is_noted(cells: Cells, tmp_path: Path) -> None:
    for variable, expected in ((np.ones(40, dtype=bool), {"gene_selection"}), (np.arange(40) < 5, set())):
        path = write(cells, tmp_path / "cells.h5ad", highly_variable=variable)
        here = replace(cells, source=path)
        assert kinds(check_leaks(split_of(here, kind="combination"), here), "note") == expected


def test_training_on_the_fold_alone_is_clean(cells: Cells) -> None:
    fold = split_of(cells, kind="combination").folds[0]
    assert check_training(fold, cells, cells.select(fold.train), "model") == []


def test_training_on_more_than_the_fold_is_found(cells: Cells) -> None:
    fold = split_of(cells, kind="combination").folds[0]
    (finding,) = check_training(fold, cells, cells, "model")
    assert finding.kind == "held_out_cells"
    assert finding.count == int((~fold.train).sum())
    assert str(finding).startswith("model: ")


def test_training_on_cells_of_other_names_is_found(cells: Cells) -> None:
    fold: Fold = split_of(cells, kind="combination").folds[0]
    held = cells.select(~fold.train)
    renamed = replace(held, names=np.array([f"cell_{i}" for i in range(len(held))]))
    (finding,) = check_training(fold, cells, renamed, "model")
    assert (finding.kind, finding.count) == ("same_cells", len(held))
    nameless = replace(held, names=np.empty(0, dtype=np.str_))
    assert check_training(fold, cells, nameless, "model")[0].count == len(held)


def test_controls_to_adapt_to_may_be_learnt_from(cells: Cells) -> None:
    fold = split_of(cells, kind="unseen_context", own_controls="adapted").folds[0]
    assert fold.adaptation is not None
    assert check_training(fold, cells, cells.select(fold.train | fold.adaptation), "additive") == []
    assert check_training(fold, cells, cells.select(~fold.train & cells.is_control), "additive") != []


def test_the_report_is_plain_data(cells: Cells) -> None:
    split = split_of(cells, kind="combination")
    report = check_leaks(trained_too(split, np.ones(len(cells), dtype=bool)), cells)
    (first, *_) = report.as_data()
    assert set(first) == {"kind", "severity", "where", "count", "examples", "text", "cure"}
    assert len(first["examples"]) == 5
