from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest

from campaigns.conditions import NULL_TYPE
from lingshu_core.vocabulary import Vocabulary
from screening.folding.aggregation import Folded
from screening.folding.effects import Moments
from screening.objective.objectives import score_members, signed_readout
from screening.objective.safety_scores import PenaltyScores

STRESS = signed_readout(("A", "B", "C", "D"), {"B": 1, "C": -1}, "stress")
ALONE = signed_readout(("A", "B", "C", "D"), {"A": 1}, "alone")
MakeMoments = Callable[..., Moments]
MakeFold = Callable[..., Folded]


@pytest.fixture
def scores(words: Vocabulary) -> PenaltyScores:
    return PenaltyScores({"stress": STRESS, "alone": ALONE}, words)


def test_a_side_effect_is_scored_as_a_signature_without_own_targets(
    scores: PenaltyScores, moments: MakeMoments, fold_of: MakeFold
) -> None:
    control, found = moments([2.0] * 4, seed=1), moments([3.0, 2.5, 1.0, 2.0], seed=2)
    scores.add(fold_of("B", found, control))
    stress, alone = scores.table().rows(named=True)
    expected = score_members([(found, control)], STRESS, np.array([1]), ("A", "B", "C", "D"))
    assert (stress["score"], stress["score_se"]) == (expected.score, expected.score_se)
    assert (stress["penalty"], stress["shards"], stress["members"], stress["score_sd"]) == ("stress", 8, 1, None)
    assert alone["score"] > 1
    assert stress["null_blocks"] is None


def test_what_has_no_gene_but_own_targets_has_no_row(
    scores: PenaltyScores, moments: MakeMoments, fold_of: MakeFold
) -> None:
    scores.add(fold_of("A", moments([1.0] * 4), moments([1.0] * 4)))
    assert scores.table()["penalty"].to_list() == ["stress"]


def test_the_null_of_a_context_is_its_own(scores: PenaltyScores, moments: MakeMoments, fold_of: MakeFold) -> None:
    control = moments([2.0] * 4, seed=1)
    for number in range(5):
        shift = np.random.default_rng(number).normal(0, 0.1, 4)
        pseudo = replace(control, log1p=control.log1p + shift)
        scores.add(fold_of(f"null-{number}", pseudo, control, kind=NULL_TYPE))
    scores.add(fold_of("A", moments([2.5] * 4), control))
    scores.add(fold_of("A", moments([2.5] * 4), control, cell_type="B cells"))
    table = scores.table().filter(penalty="stress")
    assert table["null_blocks"].to_list() == [5, None]
    assert table["null_sd"][0] > 0
    assert table.height == 2  # pseudo-perturbations are no rows


def test_failed_conditions_have_no_rows(scores: PenaltyScores, fold_of: MakeFold) -> None:
    scores.add(fold_of("A", None, None, reason="NaN"))
    assert scores.table().is_empty()
