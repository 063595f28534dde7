import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from screening.following_up.agreement import agreement, jaccard, rank_biased_overlap, shared_at_depth

orders = st.integers(1, 30).flatmap(lambda n: st.tuples(st.permutations(range(n)), st.permutations(range(n))))


@given(orders)
def test_what_is_shared_is_counted_at_each_depth(both: tuple[list[int], list[int]]) -> None:
    a, b = both
    counted = [len(set(a[: depth + 1]) & set(b[: depth + 1])) for depth in range(len(a))]
    assert shared_at_depth(a, b).tolist() == counted


@given(orders)
def test_the_overlap_is_between_none_and_all_and_symmetric(both: tuple[list[int], list[int]]) -> None:
    a, b = both
    found = rank_biased_overlap(shared_at_depth(a, b))
    assert 0.0 <= found <= 1.0 + 1e-9
    assert found == pytest.approx(rank_biased_overlap(shared_at_depth(b, a)))
    assert rank_biased_overlap(shared_at_depth(a, a)) == pytest.approx(1.0)


def test_a_swap_at_the_top_weighs_more_than_one_at_the_bottom() -> None:
    n = 30
    straight = list(range(n))
    top, bottom = [1, 0, *straight[2:]], [*straight[:-2], n - 1, n - 2]
    assert rank_biased_overlap(shared_at_depth(straight, top)) < rank_biased_overlap(shared_at_depth(straight, bottom))
    scores = np.arange(n, 0, -1.0)
    swapped = {name: scores[np.argsort(order)] for name, order in (("top", top), ("bottom", bottom))}
    found = {name: agreement(scores, values, straight, top) for name, values in swapped.items()}
    assert found["top"].weighted_tau < found["bottom"].weighted_tau  # type: ignore[operator]
    assert found["top"].spearman == pytest.approx(found["bottom"].spearman)


def test_the_figures_are_those_of_scipy() -> None:
    random = np.random.default_rng(0)
    a, b = random.normal(size=(2, 40))
    found = agreement(a, b, np.argsort(-a).tolist(), np.argsort(-b).tolist())
    assert found.spearman == pytest.approx(stats.spearmanr(a, b).statistic)
    assert found.weighted_tau == pytest.approx(stats.weightedtau(a, b).statistic)
    best = [set(np.argsort(-each)[:10].tolist()) for each in (a, b)]
    assert found.tops[10] == pytest.approx(len(best[0] & best[1]) / len(best[0] | best[1]))
    assert set(found.tops) == {5, 10, 20}


@pytest.mark.parametrize(("a", "b"), [([1.0, 2.0], [2.0, 1.0]), ([1.0, 1.0, 1.0], [1.0, 2.0, 3.0]), ([], [])])
def test_what_has_no_correlation_gets_none(a: list[float], b: list[float]) -> None:
    found = agreement(np.array(a), np.array(b), list(range(len(a))), list(range(len(b))))
    assert (found.spearman, found.weighted_tau) == (None, None)
    assert (found.rank_biased_overlap is None) == (not a)


def test_jaccard_of_nothing_and_nothing_is_one() -> None:
    assert (jaccard(0, 0, 0), jaccard(0, 2, 3), jaccard(2, 2, 2)) == (1.0, 0.0, 1.0)
