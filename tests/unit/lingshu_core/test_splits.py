"""Splits are saved by the names of cells, and read back for the same cells only."""

from __future__ import annotations

import json
import pickle
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from lingshu_core.cells import Cells
from lingshu_core.errors import SplitError
from lingshu_core.split_builder import SplitRules, build_split
from lingshu_core.split_table import CellTable
from lingshu_core.splits import Fold, Question, Split, counts_digest, load_split, save_split

OPTIONS = {"factor": "cell_type", "values": None, "perturbations": None, "folds": None}


@pytest.fixture
def split(cells: Cells) -> Split:
    rules = SplitRules(minimum_cells=2, pool=("donor",), calibration=0.2)
    return build_split(CellTable.of(cells), "combination", rules, OPTIONS, counts=counts_digest(cells))


def held(cells: Cells, split: Split) -> dict[str, set[str]]:
    return {
        f"{fold.name}/{question.label}": set(cells.names[question.perturbed | question.controls])
        for fold in split.folds
        for question in (*fold.questions, *fold.calibration)
    }


def test_a_split_comes_back_as_it_was(cells: Cells, split: Split, tmp_path: Path) -> None:
    path = str(tmp_path / "split.json")
    save_split(split, cells, path)
    again = load_split(path, cells)
    assert again.digest == split.digest
    assert held(cells, again) == held(cells, split)
    assert (again.name, again.kind, again.seed, again.notes) == (split.name, split.kind, split.seed, split.notes)
    assert dict(again.options) == dict(split.options)
    for fold, same in zip(split.folds, again.folds, strict=True):
        assert (fold.train == same.train).all()
        assert [(q.label, q.perturbation, q.context, q.parts) for q in fold.questions] == [
            (q.label, q.perturbation, q.context, q.parts) for q in same.questions
        ]


@given(st.integers(0, 10_000), st.sampled_from((0.0, 0.02, 0.5, 0.97, 1.0)))
def test_any_mask_comes_back(cells: Cells, seed: int, share: float) -> None:
    random = np.random.default_rng(seed)
    train, perturbed, controls = random.random((3, len(cells))) < share
    question = Question("A in T", {"cell_type": "T"}, (("A", None),), perturbed, controls, "A")
    split = Split("s", "combination", 0, (Fold("f", train, (question,), (), controls),), columns=("donor",))
    split = split.with_digest(CellTable.of(cells))
    (fold,) = Split.from_json(split.to_json(cells), cells).folds
    assert (fold.train == train).all()
    assert (fold.questions[0].perturbed == perturbed).all()
    assert (fold.questions[0].controls == controls).all()
    assert fold.adaptation is not None
    assert (fold.adaptation == controls).all()


def test_a_question_keeps_masks_small(cells: Cells) -> None:
    few, many = np.arange(1_000) < 5, np.arange(1_000) < 900
    one, other = (Question("A", {}, (("A", None),), few, many) for _ in range(2))
    assert len(pickle.dumps(one)) < 2_500
    assert one.controls is other.controls
    assert (one.perturbed == few).all()
    assert (replace(one, label="B").perturbed == few).all()


def test_a_split_fits_the_same_cells_in_another_order(cells: Cells, split: Split, memory_url: str) -> None:
    save_split(split, cells, f"{memory_url}/split.json")
    other = cells.select(np.random.default_rng(0).permutation(len(cells)))
    again = load_split(f"{memory_url}/split.json", other)
    assert held(other, again) == held(cells, split)
    assert set(other.names[again.folds[0].train]) == set(cells.names[split.folds[0].train])


def test_a_dose_is_part_of_the_question(split: Split) -> None:
    labels = {question.label: question.parts for fold in split.folds for question in fold.questions}
    assert labels["ruxolitinib at 0.1 in T cells"] == (("ruxolitinib", 0.1),)
    assert labels["JAK2+STAT1 in B cells"] == (("JAK2", None), ("STAT1", None))


def test_a_fold_is_found_by_its_name(split: Split) -> None:
    assert split.fold("STAT1 in T cells").questions[0].perturbation == "STAT1"
    with pytest.raises(SplitError, match="no fold 'STAT9'; there are: JAK2 in B cells, "):
        split.fold("STAT9")


def test_rows_stand_in_for_names(cells: Cells) -> None:
    nameless = replace(cells, names=np.empty(0, dtype=np.str_))
    assert CellTable.of(nameless).names.tolist()[:3] == ["0", "1", "2"]


def test_cells_of_one_name_are_refused(cells: Cells) -> None:
    names = cells.names.copy()
    names[5] = names[0]
    with pytest.raises(SplitError, match=r"1 cells have the name of another one \(cell0\).*obs_names_make_unique"):
        CellTable.of(replace(cells, names=names))


def renamed(cells: Cells) -> Cells:
    return replace(cells, names=np.char.replace(cells.names, "cell7", "other7"))


def relabelled(cells: Cells) -> Cells:
    obs = cells.obs.copy()
    obs.loc[cells.names == "cell13", "perturbation"] = "JAK2"
    return replace(cells, obs=obs)


def recounted(cells: Cells) -> Cells:
    counts = cells.counts.copy()
    counts.data[3] += 1
    return replace(cells, counts=counts)


@pytest.mark.parametrize(
    ("spoil", "message"),
    [
        (renamed, r"11 of its cells are missing \(cell7, cell70, .*\) and 11 cells are new to it \(other7, "),
        (lambda cells: cells.select(np.arange(30)), r"of its cells are missing \(cell100, "),
        (relabelled, r"1 cells of .* have other labels than when the split was made, such as 'cell13'"),
        (recounted, "have other counts or genes than those that the split was made of"),
    ],
)
def test_other_cells_are_refused(cells: Cells, split: Split, spoil: Callable[[Cells], Cells], message: str) -> None:
    content = split.to_json(cells)
    with pytest.raises(SplitError, match=message):
        Split.from_json(content, spoil(cells))


def test_a_split_is_written_for_its_own_cells_only(cells: Cells, split: Split) -> None:
    with pytest.raises(SplitError, match="are not those that it was made of"):
        split.to_json(relabelled(cells))


def emptied(content: dict[str, Any]) -> None:
    del content["folds"]


def eased(content: dict[str, Any]) -> None:
    content["folds"][0]["questions"] = content["folds"][0]["questions"][:1]
    content["masks"][content["folds"][0]["train"]] = "0-50"


def aged(content: dict[str, Any]) -> None:
    content["format"] = 0


@pytest.mark.parametrize(
    ("spoil", "message"),
    [
        (emptied, "the split was changed since it was written, or is incomplete"),
        (eased, "the split was changed since it was written"),
        (aged, "the split has format 0, and this version reads format 1"),
    ],
)
def test_a_file_that_was_changed_is_refused(
    cells: Cells, split: Split, tmp_path: Path, spoil: Callable[[dict[str, Any]], None], message: str
) -> None:
    content = split.to_json(cells)
    spoil(content)
    path = tmp_path / "split.json"
    path.write_text(json.dumps(content))
    with pytest.raises(SplitError, match=message) as raised:
        load_split(str(path), cells)
    assert str(path) in str(raised.value)


@pytest.mark.parametrize(
    ("text", "message"),
    [("[]", "no JSON object"), ("{", "not a readable split"), (None, "no such file; check the path of the split")],
)
def test_a_file_that_is_no_split_is_refused(cells: Cells, tmp_path: Path, text: str | None, message: str) -> None:
    path = tmp_path / "split.json"
    if text is not None:
        path.write_text(text)
    with pytest.raises(SplitError, match=message):
        load_split(str(path), cells)


def test_the_counts_digest_knows_no_order(cells: Cells) -> None:
    other = cells.select(np.random.default_rng(1).permutation(len(cells)))
    assert counts_digest(other) == counts_digest(cells)
    assert counts_digest(recounted(cells)) != counts_digest(cells)


def test_no_more_is_read_than_a_split_may_have(cells: Cells, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("lingshu_core.splits.LARGEST_SPLIT", 10)
    (tmp_path / "split.json").write_text("[" * 11)
    with pytest.raises(SplitError, match=r"split.json: not a readable split \(it has more than 10 bytes"):
        load_split(str(tmp_path / "split.json"), cells)
