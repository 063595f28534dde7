from collections.abc import Callable

import numpy as np
import pytest

from campaigns.conditions import Context, Perturbation
from lingshu_core.vocabulary import Vocabulary
from screening.folding.aggregation import Folded
from screening.folding.effects import Moments
from screening.objective.combination_scores import CombinationScores
from screening.objective.objectives import Readout, score_condition

FoldOf = Callable[..., Folded]
MakeMoments = Callable[..., Moments]
HERE = Context.of({"cell_type": "T cells"})
THERE = Context.of({"cell_type": "B cells"})
READOUT = Readout(np.array([1.0, 1.0, 0.0, -1.0]), "mean", "A up, B up, D down")


@pytest.fixture
def gather(words: Vocabulary) -> Callable[..., CombinationScores]:
    def make(*labels: str, exclude: bool = True) -> CombinationScores:
        perturbations = [Perturbation.parse(label, "genetic") for label in labels]
        return CombinationScores(perturbations, {HERE: READOUT, THERE: READOUT}, words, exclude_own_targets=exclude)

    return make


@pytest.fixture
def control(moments: MakeMoments) -> Moments:
    return moments([1.0, 1.0, 1.0, 1.0], seed=9)


def test_a_combination_and_its_parts_come_shard_by_shard(
    gather: Callable[..., CombinationScores], fold_of: FoldOf, moments: MakeMoments, control: Moments
) -> None:
    scores = gather("A", "A+B", "B", exclude=False)
    found = {label: moments([1.0, 2.0, 1.0, 0.5], seed=seed) for seed, label in enumerate(("A", "A+B", "B"))}
    for label, each in found.items():
        scores.add(fold_of(label, each, control))
    (pair,) = scores.found()
    none = np.empty(0, dtype=np.int64)
    expected = {label: score_condition(each, control, READOUT, none, tuple("ABCD")) for label, each in found.items()}
    assert (pair.perturbation.label, pair.context, pair.reason) == ("A+B", HERE, "")
    np.testing.assert_allclose(pair.whole, expected["A+B"].by_shard)
    np.testing.assert_allclose(pair.parts, [expected["A"].by_shard, expected["B"].by_shard])
    assert pair.whole.shape == (1, 8)


def test_parts_are_scored_on_the_genes_of_the_combination(
    gather: Callable[..., CombinationScores], fold_of: FoldOf, moments: MakeMoments, control: Moments
) -> None:
    scores = gather("A", "A+B", "B")
    # Each knock-out moves nothing but the two targets, which the score of the combination leaves out.
    for label in ("A", "A+B", "B"):
        same = Moments(control.log1p.copy(), control.counts, control.log1p_square, control.counts_square, 32)
        same.log1p[:, :2] -= 0.7
        scores.add(fold_of(label, same, control))
    (pair,) = scores.found()
    assert np.all(pair.whole == 0.0)
    assert np.all(pair.parts == 0.0)


def test_only_combinations_with_all_parts_in_the_screen_count(
    gather: Callable[..., CombinationScores], fold_of: FoldOf, moments: MakeMoments, control: Moments
) -> None:
    scores = gather("A", "A+B")
    for label in ("A", "A+B"):
        scores.add(fold_of(label, moments([1.0, 1.0, 1.0, 1.0]), control))
    assert scores.found() == []


def test_what_failed_is_told_and_contexts_do_not_mix(
    gather: Callable[..., CombinationScores], fold_of: FoldOf, moments: MakeMoments, control: Moments
) -> None:
    scores = gather("A", "A+B", "B")
    for place in ("T cells", "B cells"):
        for label in ("A", "A+B", "B"):
            failed = (place, label) == ("B cells", "B")
            each = None if failed else moments([1.0, 1.0, 1.0, 0.5])
            scores.add(
                fold_of(label, each, None if failed else control, reason="it broke" if failed else "", cell_type=place)
            )
    there, here = scores.found()
    assert (there.context, there.reason) == (THERE, "B: it broke")
    assert (here.context, here.reason) == (HERE, "")


def test_no_gene_left_to_score_by_is_a_reason(
    words: Vocabulary, fold_of: FoldOf, moments: MakeMoments, control: Moments
) -> None:
    readout = Readout(np.array([1.0, 1.0, 0.0, 0.0]), "mean", "A up, B up")
    perturbations = [Perturbation.parse(label, "genetic") for label in ("A", "A+B", "B")]
    scores = CombinationScores(perturbations, {HERE: readout}, words, exclude_own_targets=True)
    for label in ("A", "A+B", "B"):
        scores.add(fold_of(label, moments([1.0, 1.0, 1.0, 1.0]), control))
    (pair,) = scores.found()
    assert pair.reason.startswith("A+B: no gene is left to score by")


def test_members_stay_apart(
    gather: Callable[..., CombinationScores], fold_of: FoldOf, moments: MakeMoments, control: Moments
) -> None:
    scores = gather("A", "A+B", "B")
    for label in ("A", "A+B", "B"):
        each = [moments([1.0, 1.0, 1.0, 1.0 - 0.2 * number], seed=number) for number in range(3)]
        folded = fold_of(label, each[0], control)
        members = tuple((one, control) for one in each)
        scores.add(Folded(folded.planned, folded.moments, folded.control, "", members))
    (pair,) = scores.found()
    assert pair.whole.shape == (3, 8)
    assert pair.parts.shape == (2, 3, 8)
