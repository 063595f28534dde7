from collections.abc import Callable
from dataclasses import dataclass, field

import numpy as np
import pytest

from campaigns.evaluation_spec import EvaluationEstimatorSpec
from lingshu_core.errors import ConditionError
from lingshu_core.estimator import EstimatorKind, ShardRequest, ShardResult
from lingshu_core.prior_genes import PriorGenes, PriorInjection
from lingshu_core.splits import Question
from lingshu_core.vocabulary import Vocabulary
from screening.errors import NonFiniteResult
from screening.evaluating.evaluation_answers import Interview

GENES = 4


@dataclass
class Echo:
    """Predicts 1 for perturbation A and 0 for the control, with an offset of the shard that both share."""

    vocabulary: Vocabulary
    value: float = 1.0
    asked: list[ShardRequest] = field(default_factory=list)

    def estimate(self, request: ShardRequest, kind: EstimatorKind = "variance_reduced") -> ShardResult:
        self.asked.append(request)
        parts = request.condition.parts
        if parts and parts[0][0] != "A":
            raise ConditionError(f"never trained on {parts[0][0]!r}")
        moments = np.zeros((4, GENES), dtype=np.float32)
        moments[0] = request.shard + (self.value * (1 + 0.1 * request.shard) if parts else 0.0)
        counts = np.full((request.cells, GENES), 104.5, dtype=np.float32) if kind == "sampled" else None
        return ShardResult(moments, np.full(request.cells, 9_999.0), counts)


@pytest.fixture
def echo(words: Vocabulary) -> Echo:
    return Echo(words)


@pytest.fixture
def ask() -> Callable[..., Question]:
    """Make a question: `ask("A")`, in T cells."""
    nobody = np.zeros(1, dtype=bool)
    return lambda name: Question(f"{name} in T cells", {"cell_type": "T cells"}, ((name, None),), nobody, nobody, name)


ESTIMATOR = EvaluationEstimatorSpec(shards=4, depth_strata=2)


def test_an_effect_is_condition_minus_control_shard_by_shard(echo: Echo, ask: Callable[..., Question]) -> None:
    answers = Interview(echo, ESTIMATOR, seed=7).ask([ask("A")])
    np.testing.assert_allclose(answers.effects["A in T cells"], np.full(GENES, 1.15), rtol=1e-6)
    # The offset that condition and control share is no part of the error.
    np.testing.assert_allclose(answers.errors["A in T cells"], np.std([0, 0.1, 0.2, 0.3], ddof=1) / 2, rtol=1e-5)
    assert not answers.cells


def test_condition_and_control_have_the_same_random_numbers(echo: Echo, ask: Callable[..., Question]) -> None:
    Interview(echo, ESTIMATOR, seed=7).ask([ask("A"), ask("A")])
    assert len(echo.asked) == 3 * ESTIMATOR.shards  # the control of a context is asked once
    assert len({(request.root, request.shard) for request in echo.asked}) == ESTIMATOR.shards
    assert {request.root.root_seed for request in echo.asked} == {7}


def test_what_nobody_has_words_for_stays_unanswered(echo: Echo, ask: Callable[..., Question]) -> None:
    answers = Interview(echo, ESTIMATOR, 0).ask([ask("X"), ask("A")], drawn=lambda question: 3)
    assert list(answers.effects) == ["A in T cells"]
    assert answers.unanswered == {"X in T cells": "never trained on 'X'"}
    assert list(answers.cells) == ["A in T cells"]


def test_exact_answers_take_one_shard(echo: Echo, ask: Callable[..., Question]) -> None:
    answers = Interview(echo, ESTIMATOR, 0, exact=True).ask([ask("A")])
    assert len(echo.asked) == 2
    assert not answers.errors["A in T cells"].any()


def test_drawn_cells_are_counts_with_a_depth(echo: Echo, ask: Callable[..., Question]) -> None:
    whole = Interview(echo, ESTIMATOR, 0).ask([ask("A")], lambda question: 5).cells["A in T cells"]
    assert whole.counts.shape == (5, GENES)
    assert set(whole.counts.data) == {104.0}
    assert set(whole.depth) == {4 * 104.0}
    panel = Interview(echo, ESTIMATOR, 0, panel=True).ask([ask("A")], lambda question: 5).cells["A in T cells"]
    assert set(panel.depth) == {9_999.0}


def test_no_cells_are_drawn_where_none_are_wanted(echo: Echo, ask: Callable[..., Question]) -> None:
    assert not Interview(echo, ESTIMATOR, 0).ask([ask("A")], lambda question: 0).cells


def test_the_prior_fills_in_for_conditions_only(echo: Echo, ask: Callable[..., Question]) -> None:
    injection = PriorInjection(echo.vocabulary, PriorGenes({}))
    prior = ESTIMATOR.model_copy(update={"prior": "published"})
    Interview(echo, prior, 0, injection).ask([ask("A")])
    filled = {bool(request.condition.parts): request.injected for request in echo.asked}
    assert filled == {False: (), True: (0,)}
    echo.asked.clear()
    Interview(echo, ESTIMATOR, 0, injection).ask([ask("A")])
    assert {request.injected for request in echo.asked} == {()}


def test_numbers_that_are_none_are_refused(words: Vocabulary, ask: Callable[..., Question]) -> None:
    with pytest.raises(NonFiniteResult, match="non-finite effects for A in T cells"):
        Interview(Echo(words, value=float("nan")), ESTIMATOR, 0).ask([ask("A")])
