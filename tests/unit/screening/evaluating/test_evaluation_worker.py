import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

from lingshu_core.errors import ConditionError
from lingshu_core.splits import save_split
from screening.errors import BlockError
from screening.evaluating.evaluation_scores import FoldScorer
from screening.evaluating.evaluation_store import decode_unit
from screening.evaluating.evaluation_worker import EvaluationWorker, open_evaluation_worker

Plan = Callable[..., Any]


@pytest.fixture
def open_worker(tmp_path: Path) -> Callable[[Any], EvaluationWorker]:
    """Open a worker as a replica does, from plain options."""

    def make(planned: Any) -> EvaluationWorker:
        place = str(tmp_path / "split.json")
        save_split(planned.split, planned.cells, place)
        data = json.loads(json.dumps(planned.evaluation.spec.data.as_data()))
        return open_evaluation_worker(data, place, str(tmp_path / "models"))

    return make


def test_a_unit_answers_every_question(plan_evaluation: Plan, open_worker: Callable[..., EvaluationWorker]) -> None:
    planned = plan_evaluation()
    worker = open_worker(planned)
    payload = planned.unit("additive").task.payload
    data = worker.run(payload)
    assert worker.run(payload) == data
    found = decode_unit(data)
    assert found.labels == tuple(question.label for question in planned.split.folds[0].questions)
    assert found.effects.shape == (len(found.labels), 40)
    assert not found.errors.any()
    assert set(found.scores.values["label"]) == set(found.labels)


def test_half_of_the_real_cells_is_a_unit_too(
    plan_evaluation: Plan, open_worker: Callable[..., EvaluationWorker]
) -> None:
    planned = plan_evaluation()
    found = decode_unit(open_worker(planned).run(planned.unit("replicate").task.payload))
    assert found.labels == ()
    assert "wmse" in found.scores.values["metric"].to_list()


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"format": 99}, "install one version of lingshu-screen on all nodes"),
        ({"versions": {"scoring": 99}}, "install one version"),
        ({"data": "0" * 64}, "not those that the plan was made for"),
    ],
)
def test_what_was_planned_otherwise_is_refused(
    plan_evaluation: Plan, open_worker: Callable[..., EvaluationWorker], change: dict[str, Any], said: str
) -> None:
    planned = plan_evaluation()
    payload = json.loads(planned.unit("additive").task.payload) | change
    with pytest.raises(BlockError, match=said):
        open_worker(planned).run(json.dumps(payload).encode())


def test_a_checkpoint_that_changed_meanwhile_is_refused(
    plan_evaluation: Plan, open_worker: Callable[..., EvaluationWorker], tiny: Path
) -> None:
    planned = plan_evaluation(models=[{"name": "ready", "checkpoint": str(tiny / "model")}])
    payload = json.loads(planned.unit("ready").task.payload)
    payload["source"]["digest"] = "0" * 64
    with pytest.raises(BlockError, match="the model changed since the plan was made"):
        open_worker(planned).run(json.dumps(payload).encode())


def test_an_unseen_perturbation_stays_unanswered(
    plan_evaluation: Plan, open_worker: Callable[..., EvaluationWorker]
) -> None:
    split = {"kind": "unseen_perturbation", "folds": 2, "minimum_cells": 16, "pool": ["donor"]}
    planned = plan_evaluation(split=split)
    found = decode_unit(open_worker(planned).run(planned.unit("additive").task.payload))
    unknown = set(found.unanswered)
    assert unknown
    assert unknown.isdisjoint(found.labels)
    assert ConditionError.__name__ not in str(found.unanswered)


def test_a_unit_keeps_to_its_threads_whatever_was_started_meanwhile(
    plan_evaluation: Plan, open_worker: Callable[..., EvaluationWorker], monkeypatch: pytest.MonkeyPatch
) -> None:
    planned = plan_evaluation()
    worker = open_worker(planned)
    seen = []
    scored = FoldScorer.scores
    monkeypatch.setattr(
        FoldScorer, "scores", lambda self, answers: seen.append(torch.get_num_threads()) or scored(self, answers)
    )
    torch.set_num_threads(2)  # as numba does, when a package of metrics starts it
    try:
        worker.run(planned.unit("additive").task.payload)
    finally:
        torch.set_num_threads(1)
    assert seen == [1]
