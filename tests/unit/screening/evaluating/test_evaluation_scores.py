from collections.abc import Callable
from typing import Any

import numpy as np
import polars as pl
import pytest

from lingshu_core.population_scores import CellGroup
from lingshu_core.score_table import Scores
from screening.evaluating.evaluation_answers import Answers
from screening.evaluating.evaluation_scores import FoldScorer

GROUPS = ("effects", "realism")
Plan = Callable[..., Any]


@pytest.fixture
def scorer(plan_evaluation: Plan) -> Callable[..., FoldScorer]:
    """Make the scorer of the first fold: `scorer("effects")`."""

    def make(*groups: str, prefilled: Any = None) -> FoldScorer:
        planned = plan_evaluation()
        return FoldScorer(planned.cells, planned.split.folds[0], groups or GROUPS, prefilled)

    return make


def right_answers(scorer: FoldScorer, planned: Any) -> Answers:
    questions = planned.split.folds[0].questions
    return Answers(
        {each.label: scorer.truth.answers[each.label].raw for each in questions},
        {},
        {each.label: CellGroup.of(planned.cells, each.perturbed) for each in questions},
    )


def test_the_right_answer_gets_the_best_score(plan_evaluation: Plan, scorer: Callable[..., FoldScorer]) -> None:
    judge = scorer()
    values = judge.scores(right_answers(judge, plan_evaluation())).values
    means = dict(values.group_by("metric").agg(pl.col("value").mean()).iter_rows())
    assert means["wmse"] == 0
    assert means["pearson_delta"] == pytest.approx(1)
    assert means["wasserstein"] == 0
    assert means["depth_mean_error"] == 0


def test_only_what_is_wanted_is_scored(plan_evaluation: Plan, scorer: Callable[..., FoldScorer]) -> None:
    judge = scorer("effects")
    assert "mmd" not in judge.scores(right_answers(judge, plan_evaluation())).values["metric"].to_list()
    assert judge.cells_wanted(100) is None


def test_as_many_cells_are_drawn_as_there_are_real_ones(
    plan_evaluation: Plan, scorer: Callable[..., FoldScorer]
) -> None:
    question = plan_evaluation().split.folds[0].questions[0]
    wanted, few = (scorer().cells_wanted(most) for most in (1_000, 3))
    assert wanted is not None
    assert few is not None
    assert wanted(question) == question.perturbed.sum()
    assert few(question) == 3


def test_answers_to_other_questions_are_left_alone(plan_evaluation: Plan, scorer: Callable[..., FoldScorer]) -> None:
    judge = scorer("effects")
    found = right_answers(judge, plan_evaluation())
    more = Answers({**found.effects, "for calibration": np.zeros(40)}, {})
    assert judge.scores(more).values.equals(judge.scores(found).values)


def test_the_ceiling_has_every_group(scorer: Callable[..., FoldScorer]) -> None:
    ceiling = scorer().ceiling()
    assert {"pearson_delta", "wmse"} <= set(ceiling.values["metric"])
    few = ceiling.left_out.filter(pl.col("metric") == "mmd")  # halves of 16 cells
    assert set(few["reason"]) == {"8 cells of a side; at least 10 are needed"}


def test_prefilled_genes_count_for_nobody(plan_evaluation: Plan, scorer: Callable[..., FoldScorer]) -> None:
    label = plan_evaluation().split.folds[0].questions[0].label
    free, filled = scorer().truth.answers[label].used, scorer(prefilled={label: (7, 9)}).truth.answers[label].used
    assert free[[7, 9]].all()
    assert not filled[[7, 9]].any()


def test_public_evaluators_see_one_context_at_a_time(
    plan_evaluation: Plan, scorer: Callable[..., FoldScorer], monkeypatch: pytest.MonkeyPatch
) -> None:
    seen = []

    def look(real: Any, predicted: Any, targets: Any, *, scale: Any, fold: str) -> Scores:
        labels = set(real.obs["perturbation"])
        assert labels == set(predicted.obs["perturbation"]) == {*targets, "control"}
        seen.append(({label.rpartition(" in ")[2] for label in targets}, scale, fold))
        return Scores()

    monkeypatch.setattr("screening.evaluating.evaluation_scores.cell_eval2_scores", look)
    monkeypatch.setattr(
        "screening.evaluating.evaluation_scores.cell_eval2_scale", lambda real, targets: sorted(targets)
    )
    judge = scorer("cell_eval2")
    answers = right_answers(judge, plan_evaluation())
    judge.scores(answers)
    contexts = {label.rpartition(" in ")[2] for label in answers.effects}
    assert [each[0] for each in seen] == [{context} for context in sorted(contexts)]
    assert {each[2] for each in seen} == {"fold 1"}
    # The scale is measured once for all who answered the same.
    monkeypatch.setattr(
        "screening.evaluating.evaluation_scores.cell_eval2_scale", lambda *_: pytest.fail("measured again")
    )
    judge.scores(answers)
