import numpy as np
import pytest

from screening.allocating.allocation import FINALIST
from screening.allocating.halving import SLACK, Halving, build_ladder


def finished(conditions: int, top: int, seed: int, *, noise: float = 0.35, first: int = 8, most: int = 128) -> Halving:
    """A halving that has run to its end; condition i has a mean of i / conditions."""
    rng, halving = np.random.default_rng(seed), Halving(conditions, build_ladder(conditions, top, first, most), seed)
    shards = np.zeros(conditions, dtype=np.int64)
    while (halving.wanted() > shards).any():
        wanted = halving.wanted().copy()
        for place in np.flatnonzero(wanted > shards):
            new = place / conditions + noise * rng.normal(size=wanted[place] - shards[place])
            halving.observe(int(place), new)
        shards = wanted
    return halving


def test_rungs_shrink_by_the_factor_and_never_below_twice_the_top() -> None:
    ladder = build_ladder(5_000, 50, 8, 512)
    assert [(rung.shards, rung.planned) for rung in ladder.rungs] == [(8, 5_000), (32, 1_250), (128, 313), (512, 100)]
    assert ladder.shards <= 5_000 * 8 + (1 + SLACK) * (1_251 * 24 + 314 * 96 + 101 * 384)
    assert not ladder.cut


def test_where_nothing_can_be_selected_all_get_everything() -> None:
    ladder = build_ladder(30, 20, 8, 512)
    assert [(rung.shards, rung.planned) for rung in ladder.rungs] == [(512, 30)]
    ladder = build_ladder(100, 20, 8, 512)  # 40 can't be halved again
    assert [(rung.shards, rung.planned) for rung in ladder.rungs] == [(8, 100), (512, 40)]


def test_a_budget_serves_the_lower_rungs_first() -> None:
    whole = build_ladder(5_000, 50, 8, 512)
    for budget in (40_000, 60_000, 80_000, 120_000, 150_000, whole.shards - 1):
        ladder = build_ladder(5_000, 50, 8, 512, budget=budget)
        assert ladder.shards <= budget
        assert ladder.cut
        assert all(rung.most >= 50 for rung in ladder.rungs)
    assert build_ladder(5_000, 50, 8, 512, budget=whole.shards) == whole


def test_the_best_come_through_and_are_estimated_on_fresh_shards() -> None:
    halving = finished(400, 10, seed=5, noise=0.1)
    verdicts = {place: halving.verdict(place) for place in range(400)}
    finalists = {place: found for place, found in verdicts.items() if found is not None and found.word == FINALIST}
    assert 25 <= len(finalists) <= 25 * (1 + SLACK)
    assert set(range(390, 400)) <= set(finalists)
    assert {(found.first, found.stop, found.drawn) for found in finalists.values()} == {(32, 128, 128)}
    place, found = next(iter(finalists.items()))
    assert found.estimate == pytest.approx(halving.scores.of(place)[32:].mean())


def test_fresh_shards_have_no_winners_curse() -> None:
    """Of conditions that are all alike, those that come through look better on the shards that chose them."""
    fresh, old = [], []
    for seed in range(30):
        rng, halving = np.random.default_rng(seed), Halving(200, build_ladder(200, 5, 8, 32), seed)
        for place in range(200):
            halving.observe(place, rng.normal(size=8))
        for place in np.flatnonzero(halving.wanted() == 32):
            halving.observe(int(place), rng.normal(size=24))
        for place in np.flatnonzero(halving.wanted() == 32):
            found = halving.verdict(int(place))
            assert found is not None
            fresh.append(found.estimate)
            old.append(halving.scores.of(int(place))[:8].mean())
    assert np.mean(old) > 0.3
    assert abs(np.mean(fresh)) < 4 * np.std(fresh) / np.sqrt(len(fresh))


def test_a_straggler_holds_up_only_what_is_behind_it() -> None:
    conditions = 400
    halving = Halving(conditions, build_ladder(conditions, 10, 8, 128), seed=1)
    straggler = int(np.random.default_rng([1, conditions]).permutation(conditions)[300])
    for place in range(conditions):
        if place != straggler:
            halving.observe(place, np.full(8, float(place)))
    promoted = int((halving.wanted() > 8).sum())
    assert 60 <= promoted < 100
    halving.observe(straggler, np.full(8, -1.0))
    assert int((halving.wanted() > 8).sum()) >= 100


def test_a_failed_condition_is_not_waited_for_nor_promoted() -> None:
    halving = Halving(100, build_ladder(100, 5, 8, 128), seed=1)
    halving.fail(99)
    for place in range(99):
        halving.observe(place, np.full(8, float(place)))
    wanted = halving.wanted()
    assert wanted[99] == 8
    assert wanted[98] > 8
    assert halving.verdict(99) is None


def test_a_budget_for_one_rung_makes_no_finalists() -> None:
    halving = Halving(100, build_ladder(100, 5, 8, 128, budget=900), seed=1)
    for place in range(100):
        halving.observe(place, np.full(8, float(place)))
    assert (halving.wanted() == 8).all()
    assert {found.word for place in range(100) if (found := halving.verdict(place))} == {"stopped at rung 1"}
