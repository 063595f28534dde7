"""Splits: what models may learn from and what they are asked, as objects that can be saved and read back.

A split names cells, not rows, so it fits the same cells in any order, and refuses any others. It is built by
``split_builder.build_split``.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

import fsspec
import numpy as np
import numpy.typing as npt

from lingshu_core.bounded_reading import read_at_most
from lingshu_core.cells import Cells
from lingshu_core.errors import SplitError
from lingshu_core.split_table import CellTable, listed

Mask = npt.NDArray[np.bool_]
"""Which cells of the data set, (cells,)."""

SPLIT_FORMAT = 1
LARGEST_SPLIT = 1 << 30
"""Bytes of a file."""


class SparseMask:
    """Keeps a mask of few cells as their positions: thousands of questions about a million cells fit into memory."""

    def __set_name__(self, owner: type, name: str) -> None:
        """Take the field's name."""
        self._name = f"_{name}"

    def __get__(self, question: Question | None, owner: type) -> Mask:
        """Return the mask."""
        if question is None:
            raise AttributeError(self._name)  # so that the field has no default
        kept: Mask | tuple[npt.NDArray[np.int64], int] = question.__dict__[self._name]
        if not isinstance(kept, tuple):
            return kept
        mask = np.zeros(kept[1], dtype=bool)
        mask[kept[0]] = True
        return mask

    def __set__(self, question: Question, mask: Mask) -> None:
        """Keep the mask, or its positions where these are smaller; a mask that many questions share stays one."""
        rows = np.flatnonzero(mask)
        question.__dict__[self._name] = (rows, len(mask)) if len(rows) * _BYTES_OF_ROW < len(mask) else mask


_BYTES_OF_ROW = 8


@dataclass(frozen=True)
class Question:
    """A condition that is asked, and the real cells that answer it.

    Parameters
    ----------
    label
        Name of the question, once in a fold, such as ``IFNB1 in B cells`` or ``JQ1 at 0.1 in T cells``.
    perturbation
        Label of the perturbation in the data.
    context
        Factor to value; factors that are pooled are left out.
    parts
        Single perturbations with their doses, None where there is none; as ``conditioning.Condition`` wants them.
    perturbed
        The perturbed cells, (cells,).
    controls
        The control cells that the effect is measured against, (cells,).
    """

    label: str
    context: Mapping[str, str]
    parts: tuple[tuple[str, float | None], ...]
    perturbed: Mask = SparseMask()  # type: ignore[assignment]
    controls: Mask = SparseMask()  # type: ignore[assignment]
    perturbation: str = ""


@dataclass(frozen=True)
class Fold:
    """One thing that is held out.

    Parameters
    ----------
    name
        Once in a split.
    train
        The cells that may be learnt from, (cells,).
    questions
        What is asked.
    calibration
        What is held out in the same way to correct intervals with, and asked apart.
    adaptation
        Control cells of an unseen context that a trained model may be adapted to, (cells,); None where the split has
        no such cells.
    """

    name: str
    train: Mask
    questions: tuple[Question, ...]
    calibration: tuple[Question, ...] = ()
    adaptation: Mask | None = None


@dataclass(frozen=True)
class Split:
    """What is held out of a data set, fold by fold.

    Parameters
    ----------
    name
        Of the split, for humans.
    kind
        Such as ``combination``.
    seed
        Of all that was drawn.
    folds
        At least one.
    digest
        sha256 of all but the name: of the rules, the cells' names and labels, and what is held out.
    options
        The rules: what the ``split`` block says.
    notes
        What is not asked, and why.
    columns
        Columns of the labels whose change is noticed.
    counts
        Digest of the counts; empty where they were not looked at.
    """

    name: str
    kind: str
    seed: int
    folds: tuple[Fold, ...]
    digest: str = ""
    options: Mapping[str, Any] = field(default_factory=dict)
    notes: tuple[str, ...] = ()
    columns: tuple[str, ...] = ()
    counts: str = ""

    def fold(self, name: str) -> Fold:
        """Return a fold by its name.

        Raises
        ------
        SplitError
            If there is none of that name.
        """
        for fold in self.folds:
            if fold.name == name:
                return fold
        raise SplitError(
            f"split {self.name}: no fold {name!r}; there are: {listed([fold.name for fold in self.folds])}"
        )

    def with_digest(self, table: CellTable) -> Split:
        """Return the split with the digest of its content."""
        return Split(**{**vars(self), "digest": _digest(_content(self, table))})

    def to_json(self, cells: Cells) -> dict[str, Any]:
        """Return the split as plain data, by the names of its cells.

        Parameters
        ----------
        cells
            Those that the split was made of, in any order of genes, in the same order of cells.

        Raises
        ------
        SplitError
            If they are others.
        """
        content = _content(self, CellTable.of(cells))
        if _digest(content) != self.digest:
            raise SplitError(f"split {self.name}: the cells of {cells.source} are not those that it was made of")
        return {"name": self.name, **content, "digest": self.digest}

    @classmethod
    def from_json(cls, content: Mapping[str, Any], cells: Cells) -> Split:
        """Read a split, and make sure that it is of these cells.

        Raises
        ------
        SplitError
            If it is damaged, of another version, or the cells are not those that it was made of: some are missing or
            new, or have other labels or counts.
        """
        return _read(content, CellTable.of(cells), counts_digest(cells))


def save_split(split: Split, cells: Cells, path: str) -> None:
    """Write a split as JSON to a path or an fsspec URL; errors as in :meth:`Split.to_json`."""
    content = json.dumps(split.to_json(cells), separators=(",", ":"))
    with fsspec.open(path, "w", encoding="utf-8") as file:
        file.write(content)


def load_split(path: str, cells: Cells) -> Split:
    """Read a split from a path or an fsspec URL.

    Raises
    ------
    SplitError
        If it can't be read, or as in :meth:`Split.from_json`.
    """
    try:
        with fsspec.open(path, "rb") as file:
            content = json.loads(read_at_most(file, LARGEST_SPLIT))
    except FileNotFoundError as error:
        raise SplitError(f"{path}: no such file; check the path of the split") from error
    except (OSError, ValueError, ImportError, RecursionError) as error:
        raise SplitError(f"{path}: not a readable split ({error}); make it anew") from error
    if not isinstance(content, dict):
        raise SplitError(f"{path}: not a split: no JSON object; make it anew")
    try:
        return Split.from_json(content, cells)
    except SplitError as error:
        raise SplitError(f"{path}: {error}") from error


def counts_digest(cells: Cells) -> str:
    """Return a digest of counts and genes that doesn't depend on the order of the cells; empty where they are on disk.

    Cells on disk would have to be read once more for it.
    """
    from lingshu_core.cell_store import AbsentCounts
    from lingshu_core.shared_cells import content_hashes

    if isinstance(cells.counts, AbsentCounts):
        return ""
    hashes = content_hashes(cells.counts, cells.genes)[CellTable.of(cells).by_name]
    return hashlib.sha256(np.ascontiguousarray(hashes).tobytes()).hexdigest()


class _Masks:
    """Masks as runs of positions among the names, each text kept once."""

    def __init__(self, order: npt.NDArray[np.int64]) -> None:
        self._rank = np.empty(len(order), dtype=np.int64)
        self._rank[order] = np.arange(len(order))
        self._known: dict[bytes, int] = {}
        self.texts: list[str] = []

    def number(self, mask: Mask) -> int:
        rows = np.flatnonzero(mask)
        key = rows.tobytes()
        if key not in self._known:
            self._known[key] = len(self.texts)
            self.texts.append(_runs(np.sort(self._rank[rows])))
        return self._known[key]


def _content(split: Split, table: CellTable) -> dict[str, Any]:
    masks = _Masks(table.by_name)
    folds = [_fold_json(fold, masks) for fold in split.folds]
    conditions, number = _conditions(table, split.columns)
    return {
        "format": SPLIT_FORMAT,
        "kind": split.kind,
        "seed": split.seed,
        "options": dict(split.options),
        "notes": list(split.notes),
        "columns": list(split.columns),
        "conditions": conditions,
        "names": table.names[table.by_name].tolist(),
        "condition": number[table.by_name].tolist(),
        "counts": split.counts,
        "masks": masks.texts,
        "folds": folds,
    }


def _fold_json(fold: Fold, masks: _Masks) -> dict[str, Any]:
    return {
        "name": fold.name,
        "train": masks.number(fold.train),
        "adaptation": None if fold.adaptation is None else masks.number(fold.adaptation),
        "questions": [_question_json(question, masks) for question in fold.questions],
        "calibration": [_question_json(question, masks) for question in fold.calibration],
    }


def _question_json(question: Question, masks: _Masks) -> dict[str, Any]:
    return {
        "label": question.label,
        "perturbation": question.perturbation,
        "context": dict(question.context),
        "parts": [list(part) for part in question.parts],
        "perturbed": masks.number(question.perturbed),
        "controls": masks.number(question.controls),
    }


def _conditions(table: CellTable, columns: Iterable[str]) -> tuple[list[list[Any]], npt.NDArray[np.int64]]:
    """Return the conditions that occur, each a list of perturbation, dose and columns, and that of each cell."""
    doses = [None if np.isnan(dose) else float(dose) for dose in table.doses]
    labelled = zip(table.labels, doses, *(table.obs[column] for column in columns), strict=True)
    texts = np.array([json.dumps([str(label), dose, *map(str, rest)]) for label, dose, *rest in labelled])
    found, number = np.unique(texts, return_inverse=True)
    return [json.loads(text) for text in found], number.astype(np.int64)


def _read(content: Mapping[str, Any], table: CellTable, counts: str) -> Split:
    if content.get("format") != SPLIT_FORMAT:
        raise SplitError(
            f"the split has format {content.get('format')!r}, and this version reads format {SPLIT_FORMAT}: make it"
            " anew, or use the version that wrote it"
        )
    try:
        rest = {key: value for key, value in content.items() if key not in ("name", "digest")}
        if _digest(rest) != content["digest"]:
            raise SplitError("the split was changed since it was written, or is incomplete; make it anew")
        names = np.array(content["names"], dtype=np.str_)
        _check_cells(names, table)
        _check_labels(content, table)
        if counts and content["counts"] and counts != content["counts"]:
            raise SplitError(
                f"the cells of {table.source} have other counts or genes than those that the split was made of; read "
                "the same file with the same genes, or make the split anew"
            )
        masks = [_from_runs(text, table) for text in content["masks"]]
        return Split(
            name=str(content["name"]),
            kind=str(content["kind"]),
            seed=int(content["seed"]),
            folds=tuple(_fold_of(fold, masks) for fold in content["folds"]),
            digest=str(content["digest"]),
            options=dict(content["options"]),
            notes=tuple(content["notes"]),
            columns=tuple(content["columns"]),
            counts=str(content["counts"]),
        )
    except (KeyError, TypeError, ValueError, IndexError, AttributeError) as error:
        raise SplitError(f"the split is damaged ({error!r}); make it anew") from error


def _check_cells(names: npt.NDArray[np.str_], table: CellTable) -> None:
    missing, added = np.setdiff1d(names, table.names), np.setdiff1d(table.names, names)
    if len(missing) or len(added):
        told = [
            f"{len(part):,} {word} ({listed(part.tolist(), 3)})"
            for part, word in ((missing, "of its cells are missing"), (added, "cells are new to it"))
            if len(part)
        ]
        raise SplitError(
            f"the split is not of the cells of {table.source}: {' and '.join(told)}; evaluate on the file that the"
            " split was made of, or make it anew"
        )


def _check_labels(content: Mapping[str, Any], table: CellTable) -> None:
    for column in content["columns"]:
        table.column(column, "the split")
    conditions, number = _conditions(table, content["columns"])
    now = [conditions[i] for i in number[table.by_name]]
    then = [content["conditions"][i] for i in content["condition"]]
    changed = [i for i, (one, other) in enumerate(zip(then, now, strict=True)) if one != other]
    if changed:
        first = changed[0]
        raise SplitError(
            f"{len(changed):,} cells of {table.source} have other labels than when the split was made, such as"
            f" {content['names'][first]!r}: {then[first]} then, {now[first]} now; make the split anew"
        )


def _fold_of(content: Mapping[str, Any], masks: list[Mask]) -> Fold:
    adaptation = content["adaptation"]
    return Fold(
        name=str(content["name"]),
        train=masks[content["train"]],
        questions=tuple(_question_of(question, masks) for question in content["questions"]),
        calibration=tuple(_question_of(question, masks) for question in content["calibration"]),
        adaptation=None if adaptation is None else masks[adaptation],
    )


def _question_of(content: Mapping[str, Any], masks: list[Mask]) -> Question:
    return Question(
        label=str(content["label"]),
        perturbation=str(content["perturbation"]),
        context=dict(content["context"]),
        parts=tuple((str(name), None if dose is None else float(dose)) for name, dose in content["parts"]),
        perturbed=masks[content["perturbed"]],
        controls=masks[content["controls"]],
    )


def _runs(positions: npt.NDArray[np.int64]) -> str:
    """Write rising positions as runs, ``0-4 7 9-12``."""
    if not len(positions):
        return ""
    breaks = np.flatnonzero(np.diff(positions, prepend=-2) > 1)
    firsts, lasts = positions[breaks].tolist(), positions[np.append(breaks[1:], len(positions)) - 1].tolist()
    runs = zip(firsts, lasts, strict=True)
    return " ".join(str(first) if first == last else f"{first}-{last}" for first, last in runs)


def _from_runs(text: str, table: CellTable) -> Mask:
    sorted_mask = np.zeros(len(table), dtype=bool)
    for run in text.split():
        start, _, end = run.partition("-")
        sorted_mask[int(start) : int(end or start) + 1] = True
    mask = np.zeros(len(table), dtype=bool)
    mask[table.by_name] = sorted_mask
    return mask


def _digest(content: Mapping[str, Any]) -> str:
    text = json.dumps(content, sort_keys=True, separators=(",", ":"))
    return hashlib.sha256(text.encode()).hexdigest()
