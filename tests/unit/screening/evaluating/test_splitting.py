"""From the YAML's block to folds of cells; files that say what is alike are read."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from pydantic import TypeAdapter

from campaigns.split_spec import SplitSpec
from lingshu_core.cells import Cells, CellSource, read_cells
from lingshu_core.errors import FeatureError, SplitError
from lingshu_core.splits import Split
from screening.evaluating.splitting import make_split, relations_of


@pytest.fixture(scope="module")
def cells(tiny: Path) -> Cells:
    roles = ("perturbation", "perturbation_type", "dose", "cell_type", "donor")
    return read_cells(CellSource(str(tiny / "cells.h5ad"), {role: role for role in roles}))


def spec_of(**content: Any) -> SplitSpec:
    return TypeAdapter(SplitSpec).validate_python({"minimum_cells": 5, **content})


def asked(split: Split) -> list[set[str]]:
    return [{question.perturbation for question in fold.questions} for fold in split.folds]


def test_a_block_becomes_a_split(cells: Cells) -> None:
    split = make_split(spec_of(kind="combination", pool=["donor"], perturbations=["REG05"]), cells, "mine")
    assert split.name == "mine"
    assert [fold.name for fold in split.folds] == ["REG05 in type_1", "REG05 in type_2"]
    assert split.options["perturbations"] == ["REG05"]
    assert split.counts


@pytest.mark.parametrize(
    "kind", ["unseen_perturbation", "unseen_context", "double_unseen", "donor_perturbation", "parts"]
)
def test_every_kind_takes_what_the_block_says(cells: Cells, kind: str) -> None:
    pool = ["cell_type"] if kind == "donor_perturbation" else ["donor"]
    more = {"hide_singles": True} if kind == "parts" else {}
    split = make_split(spec_of(kind=kind, pool=pool, **more, **({"folds": 2} if "seen_p" in kind else {})), cells)
    assert all(asked(split))


@pytest.mark.parametrize("kind", ["batch", "replicate"])
def test_a_column_can_be_held_out(cells: Cells, kind: str) -> None:
    split = make_split(spec_of(kind=kind, column="donor"), cells)
    assert len(split.folds) == 2


def test_drugs_are_split_by_a_table_of_structures(cells: Cells, tmp_path: Path) -> None:
    table = tmp_path / "drugs.tsv"
    table.write_text("drug\tsmiles\nDRUG01\tc1ccccc1C\nDRUG02\tCCO\nother\t\n")
    spec = spec_of(kind="scaffold", file=str(table), name="drug", folds=2, pool=["donor"])
    split = make_split(spec, cells)
    assert sorted(map(sorted, asked(split))) == [["DRUG01"], ["DRUG02"]]
    assert split.options["file"] == "drugs.tsv"  # the name alone: the place changes nothing
    assert relations_of(spec).structures == {"DRUG01": "c1ccccc1C", "DRUG02": "CCO"}  # type: ignore[union-attr]


def write_families(folder: Path, kind: str) -> dict[str, Any]:
    file = folder / "families"
    if kind == "gene_sets":
        file.write_text("one\t-\tREG04\tREG05\ntwo\t-\tREG08\tREG09\tREG10\n")
        return {"kind": kind, "file": str(file)}
    if kind == "table":
        file.write_text("symbol,group\nREG04,one\nREG05,one\nREG08,two\nREG09,two\nREG10,two\n")
        return {"kind": kind, "file": str(file), "gene": "symbol", "family": "group"}
    rows = "REG04,REG05,90\nREG08,REG09,80\nREG09,REG10,70\nREG05,REG08,20\n"
    file.write_text(f"gene,paralogue,identity\n{rows}")
    return {"kind": kind, "file": str(file), "identity": "identity"}


@pytest.mark.parametrize("kind", ["gene_sets", "table", "paralogues"])
def test_families_are_read_from_files(cells: Cells, tmp_path: Path, kind: str) -> None:
    families = write_families(tmp_path, kind)
    split = make_split(spec_of(kind="gene_family", families=families, folds=2, pool=["donor"]), cells)
    assert sorted(map(sorted, asked(split))) == [["REG04", "REG05"], ["REG08", "REG09", "REG10"]]
    assert split.options["families"]["file"] == "families"


def test_stems_need_no_file(cells: Cells) -> None:
    spec = spec_of(kind="gene_family", folds=2, pool=["donor"])
    with pytest.raises(SplitError, match="families with enough cells are REG: 1 can't be dealt to 2 folds"):
        make_split(spec, cells)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("gene,family\nREG04,one\nREG04,two\n", r"families:3: 'REG04' has a second family; keep one row of each gene"),
        ("gene,kind\nREG04,one\n", r"there is no column 'family' \(family\); columns are: gene, kind"),
    ],
)
def test_a_table_that_says_two_things_is_refused(cells: Cells, tmp_path: Path, content: str, message: str) -> None:
    file = tmp_path / "families"
    file.write_text(content)
    with pytest.raises((SplitError, FeatureError), match=message):
        make_split(spec_of(kind="gene_family", families={"kind": "table", "file": str(file)}, folds=2), cells)


def test_an_identity_has_to_be_a_number(cells: Cells, tmp_path: Path) -> None:
    file = tmp_path / "pairs.csv"
    file.write_text("gene,paralogue,identity\nREG04,REG05,much\n")
    families = {"kind": "paralogues", "file": str(file), "identity": "identity"}
    with pytest.raises(SplitError, match=r"pairs\.csv:2: 'much' in column 'identity' is no percentage"):
        make_split(spec_of(kind="gene_family", families=families, folds=2), cells)
