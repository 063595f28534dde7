"""Rows of the coverage benchmark: which trainings there are, and their answers on disk."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from benchmarks.coverage_questions import Answer
from benchmarks.report import RESULTS
from lingshu_core.uncertainty import Prediction

Array = npt.NDArray[np.float64]

FOLDER = RESULTS / "coverage"
VERSION = 2
"""Raised whenever the same row would get other predictions."""
SEEDS, ENSEMBLES, MEMBERS = (0, 1, 2, 3, 4), (0, 1, 2), (0, 1, 2)
ARRAYS = ("effect", "real", "real_se", "spread", "mc_se", "expression")


@dataclass(frozen=True)
class Row:
    """One training, or the trainings of an ensemble: a simulated screen, or the cell type that is left out of Kang."""

    data: str
    part: str
    members: tuple[int, ...]

    @property
    def name(self) -> str:
        """What it is called in rows.jsonl."""
        return f"{self.data}-{self.part}-{'-'.join(map(str, self.members))}-v{VERSION}".replace(" ", "_")

    @property
    def file(self) -> Path:
        """Where its answers are."""
        return FOLDER / f"{self.name}.npz"

    @property
    def words(self) -> str:
        """The row, for humans."""
        return f"{self.part}, {'one model' if len(self.members) == 1 else f'ensemble of {len(self.members)}'}"


def simulation_rows() -> list[Row]:
    """Single models first, then ensembles, whose first members are the same models."""
    single = [Row("simulation", str(seed), MEMBERS[:1]) for seed in SEEDS]
    return single + [Row("simulation", str(seed), MEMBERS) for seed in ENSEMBLES]


def kang_rows(types: Sequence[str]) -> list[Row]:
    """A row a cell type."""
    return [Row("kang", cell_type, MEMBERS[:1]) for cell_type in types]


def save_answers(found: Sequence[Answer], file: Path) -> None:
    """Write predictions and answers as arrays, (conditions, genes) and (conditions, 1)."""
    content: dict[str, Any] = {
        "label": [each.genes.label for each in found],
        "group": [each.genes.group for each in found],
    }
    for kind in ("genes", "score"):
        predictions: list[Prediction] = [getattr(each, kind) for each in found]
        for name in ARRAYS:
            values = [getattr(each, name) for each in predictions]
            if values[0] is not None:
                content[f"{kind}_{name}"] = _stacked(values, predictions)
    if found[0].true is not None:
        content["true"] = np.stack([each.true for each in found if each.true is not None])
        content["true_score"] = np.array([[each.true_score] for each in found])
    np.savez_compressed(file, **content)


def _stacked(values: Sequence[Any], predictions: Sequence[Prediction]) -> Array:
    pairs = zip(values, predictions, strict=True)
    return np.stack([np.broadcast_to(value, prediction.effect.shape) for value, prediction in pairs])


@dataclass(frozen=True)
class Answers:
    """Predictions of genes and of scores against what was measured and, of a simulation, against the truth."""

    genes: list[Prediction]
    score: list[Prediction]
    true_genes: list[Prediction]
    true_score: list[Prediction]

    @property
    def groups(self) -> list[str]:
        """The groups, in the order of the file."""
        return list(dict.fromkeys(each.group for each in self.genes))


def load_answers(file: Path) -> Answers:
    """Read what :func:`save_answers` wrote."""
    with np.load(file) as content:
        genes, score = (_predictions(content, kind) for kind in ("genes", "score"))
        if "true" not in content:
            return Answers(genes, score, [], [])
        pairs = zip(genes, content["true"], strict=True)
        true_genes = [each.of_truth(np.where(each.counted, true, np.nan)) for each, true in pairs]
        true_score = [each.of_truth(true) for each, true in zip(score, content["true_score"], strict=True)]
    return Answers(genes, score, true_genes, true_score)


def _predictions(content: Any, kind: str) -> list[Prediction]:
    arrays = {name: content[f"{kind}_{name}"] for name in ARRAYS if f"{kind}_{name}" in content}
    labels, groups = content["label"], content["group"]
    return [
        Prediction(str(labels[i]), str(groups[i]), **{name: values[i] for name, values in arrays.items()})
        for i in range(len(labels))
    ]
