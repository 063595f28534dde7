"""The data of the ablations: what is left out of training, what is asked about it, and predictions without a model.

* Kang: stimulated CD14+ monocytes left out.
* Papalexi: replicate 3 left out, controls included; every knock-out is asked for.
* Norman: all four lines; in K562 the doubles whose two singles are seen are left out, and half of the control cells.
  With shared controls their noise would stand in prediction and truth alike.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
import numpy.typing as npt

from benchmarks.agreement import Effects, Question, Truth, scaled
from benchmarks.kang import LEFT_OUT, PERTURBATION
from benchmarks.norman import LICENCE, data_block
from benchmarks.papalexi import HELD_OUT
from benchmarks.report import EXAMPLES
from campaigns.source import load_training
from campaigns.training_spec import TrainSpec
from campaigns.validation import validate
from campaigns.yaml_source import Source
from lingshu_core.baselines import additive_effect, context_effects, nearest_context_effect, real_effect
from lingshu_core.cells import Cells
from lingshu_core.conditioning import Condition
from lingshu_core.vocabulary import split_label
from screening.objective.readouts import read_data

Mask = npt.NDArray[np.bool_]
Array = npt.NDArray[np.float64]

STRONG = ("IFNGR1", "IFNGR2", "JAK2", "STAT1")
EPOCHS = {"norman": 15, "papalexi": 12, "kang": 8}
"""The same for all rows; the examples have 30 for Papalexi and 16 for Kang."""


@dataclass(frozen=True)
class Task:
    """One data set with its questions.

    ``held`` (cells,) are left out of training; ``baselines`` are predicted effects by name; ``strong`` the questions
    that get a figure of their own.
    """

    name: str
    spec: TrainSpec
    cells: Cells
    held: Mask
    questions: tuple[Question, ...]
    candidates: tuple[Question, ...]
    baselines: Mapping[str, Effects]
    strong: tuple[str, ...] = ()

    @cached_property
    def truth(self) -> Truth:
        """What the real cells say."""
        return Truth(self.cells, self.questions, self.candidates)


def _kang() -> Task:
    spec = load_training(EXAMPLES / "kang/train.yaml").spec
    cells = read_data(spec.data)
    here = cells.matching({"cell_type": LEFT_OUT})
    held = here & _label(cells, PERTURBATION)
    condition = Condition({"cell_type": LEFT_OUT}, ((PERTURBATION, None),))
    question = Question(PERTURBATION, condition, held, here & cells.is_control)
    seen = context_effects(cells.select(~held), PERTURBATION, "cell_type")
    nearest, copied = nearest_context_effect(seen, cells.log1p_per_10k(question.controls))
    baselines = {
        "additive, weighted by cells": {PERTURBATION: additive_effect(seen, weighted=True)},
        "additive, one vote a cell type": {PERTURBATION: additive_effect(seen, weighted=False)},
        f"nearest cell type ({nearest})": {PERTURBATION: copied},
    }
    return Task("kang", spec, cells, held, (question,), (question,), baselines)


def _papalexi() -> Task:
    spec = load_training(EXAMPLES / "papalexi/train.yaml").spec
    cells = read_data(spec.data)
    held = cells.matching(HELD_OUT)
    context = {"cell_type": str(cells.obs["cell_type"].iloc[0])}
    questions = tuple(_question(cells, label, context, held, held & cells.is_control) for label in _labels(cells))
    mine = _real_effects(cells, questions, ~held, ~held & cells.is_control)
    baselines = {"the other replicates' real effect": mine, "perturbation mean": _mean_of(mine, list(mine))}
    return Task("papalexi", spec, cells, held, questions, questions, baselines, STRONG)


def _norman() -> Task:
    spec = validate(TrainSpec, Source("benchmarks/ablation_data.py", _norman_content()))
    cells = read_data(spec.data)
    here = cells.matching({"cell_type": "K562"})
    test = half_of(here & cells.is_control, seed=0)
    labels = _labels(cells.select(here))
    doubles = [label for label in labels if label not in split_label(label) and set(split_label(label)) <= set(labels)]
    held = test | (here & np.isin(cells.obs["perturbation"], doubles))
    candidates = tuple(_question(cells, label, {"cell_type": "K562"}, here, test) for label in labels)
    kept = [label for label in labels if label not in doubles]
    controls = here & cells.is_control & ~test
    mine = _real_effects(cells, [each for each in candidates if each.label in kept], here, controls)
    baselines = {
        "additive: sum of the singles": {at: _sum(mine, split_label(at)) for at in doubles},
        "perturbation mean": _mean_of(mine, doubles),
    }
    questions = tuple(each for each in candidates if each.label in doubles)
    return Task("norman", spec, cells, held, questions, candidates, baselines)


def _norman_content() -> dict[str, Any]:
    return {
        "kind": "train",
        "name": "norman",
        "data": data_block(),
        "training": {"learning_rate": 0.001},
        "output": "results/benchmarks/ablation/norman",
        "licence": LICENCE,
    }


TASKS: Mapping[str, Callable[[], Task]] = {"norman": _norman, "papalexi": _papalexi, "kang": _kang}
"""In the order of their cost."""


def half_of(group: Mask, seed: int) -> Mask:
    """Choose half of some cells at random, (cells,)."""
    rows = np.random.default_rng(seed).permutation(np.flatnonzero(group))
    chosen = np.zeros(len(group), dtype=bool)
    chosen[rows[: len(rows) // 2]] = True
    return chosen


def halves_against_halves(task: Task) -> dict[str, float]:
    """Score half of the real cells as if it were a prediction of the other half: the ceiling of this much data."""
    truth = task.truth
    first: list[Question] = []
    second: list[Question] = []
    for each in task.candidates:
        sides = zip(truth.halves(each.perturbed), truth.halves(each.controls), strict=True)
        for side, (perturbed, controls) in zip((first, second), sides, strict=True):
            side.append(Question(each.label, each.condition, _mask(task, perturbed), _mask(task, controls)))
    asked = {each.label for each in task.questions}
    predicted = {each.label: real_effect(task.cells, each.perturbed, each.controls) for each in first}
    other = Truth(task.cells, [each for each in second if each.label in asked], second)
    found = other.agreement({label: effect for label, effect in predicted.items() if label in asked})
    return found | {"mmd": truth.discrepancy(lambda asked, _: scaled(task.cells, truth.halves(asked.perturbed)[0]))}


def _mask(task: Task, rows: npt.NDArray[np.int64]) -> Mask:
    return np.isin(np.arange(len(task.cells)), rows)


def _question(cells: Cells, label: str, context: Mapping[str, str], part: Mask, controls: Mask) -> Question:
    parts = tuple((name, None) for name in split_label(label))
    return Question(label, Condition(context, parts), part & _label(cells, label), controls)


def _label(cells: Cells, label: str) -> Mask:
    return np.asarray(cells.obs["perturbation"] == label)


def _labels(cells: Cells) -> list[str]:
    return sorted(set(cells.obs["perturbation"]) - {cells.control})


def _real_effects(cells: Cells, questions: Any, part: Mask, controls: Mask) -> dict[str, Array]:
    return {each.label: real_effect(cells, part & _label(cells, each.label), controls) for each in questions}


def _sum(effects: Effects, labels: tuple[str, ...]) -> Array:
    return np.sum([effects[label] for label in labels], axis=0)


def _mean_of(effects: Effects, asked: list[str]) -> dict[str, Array]:
    mean: Array = np.mean(list(effects.values()), axis=0)
    return dict.fromkeys(asked, mean)
