import numpy as np
import pytest
from scipy import stats

from screening.following_up.gene_set_ranks import GeneSetTest

GENES = tuple(f"G{i}" for i in range(60))
SETS = {"first": GENES[:8], "odd": GENES[1::2], "last": GENES[-5:]}


@pytest.mark.parametrize("ties", [False, True])
def test_the_test_is_that_of_scipy(ties: bool) -> None:
    effect = np.random.default_rng(1).normal(size=len(GENES))
    if ties:
        effect = effect.round(1)
    found = GeneSetTest(SETS, GENES).test(effect)
    for place, members in enumerate(SETS.values()):
        inside = np.isin(GENES, members)
        known = stats.mannwhitneyu(effect[inside], effect[~inside], method="asymptotic")
        assert found.p[place] == pytest.approx(known.pvalue)
        assert found.chance[place] == pytest.approx(known.statistic / (inside.sum() * (~inside).sum()))
    assert found.q.tolist() == pytest.approx(stats.false_discovery_control(found.p, method="bh"))
    assert found.genes.tolist() == [8, 30, 5]


def test_a_set_that_falls_is_told_from_one_that_rises() -> None:
    effect = np.arange(len(GENES), dtype=float)
    found = dict(zip(SETS, GeneSetTest(SETS, GENES).test(effect).chance, strict=True))
    assert found["first"] == 0.0
    assert found["last"] == 1.0


def test_own_targets_take_no_part() -> None:
    effect = np.random.default_rng(2).normal(size=len(GENES))
    moved = effect.copy()
    moved[3] = -100.0
    test = GeneSetTest(SETS, GENES)
    assert test.test(moved, [3]).p.tolist() == test.test(effect, [3]).p.tolist()
    assert test.test(moved, [3]).genes.tolist() == [7, 29, 5]


def test_a_set_without_a_gene_left_has_no_p() -> None:
    found = GeneSetTest({"one": ("G0",), **SETS}, GENES).test(np.arange(60.0), [0])
    assert np.isnan(found.p[0])
    assert np.isnan(found.q[0])
    assert np.isfinite(found.q[1:]).all()


def test_of_nothing_few_sets_stand_out() -> None:
    random = np.random.default_rng(3)
    names = np.array(GENES)
    sets = {f"S{i}": tuple(random.choice(names, 12, replace=False)) for i in range(100)}
    p = np.concatenate([GeneSetTest(sets, GENES).test(random.normal(size=60)).p for _ in range(20)])
    assert 0.02 < (p < 0.05).mean() < 0.08
