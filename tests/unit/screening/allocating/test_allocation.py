"""What every allocation keeps: its decisions follow from the scores alone."""

from collections.abc import Callable, Iterable

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from screening.allocating.allocation import FINALIST, IN, OUT, UNDECIDED, Allocation, Verdict, describe, tier
from screening.allocating.certified import Certified, least_shards
from screening.allocating.halving import Halving, build_ladder

CONDITIONS, TOP, MOST, UNIT = 60, 4, 128, 8
LEAST = least_shards(CONDITIONS, first=8, most=MOST, delta=0.1, unit=UNIT)


def halving(budget: int | None = None) -> Allocation:
    return Halving(CONDITIONS, build_ladder(CONDITIONS, TOP, 8, MOST, budget=budget), seed=3)


def certified(budget: int | None = None) -> Allocation:
    return Certified(CONDITIONS, top=TOP, epsilon=0.2, delta=0.1, first=8, most=MOST, unit=UNIT, budget=budget)


KINDS: dict[str, tuple[Callable[[int | None], Allocation], int]] = {
    "halving": (halving, CONDITIONS * 8),
    "certified": (certified, CONDITIONS * LEAST),
}
kinds = pytest.mark.parametrize("kind", KINDS)


def screen(seed: int) -> np.ndarray:
    rng = np.random.default_rng(seed)
    return rng.normal(size=(CONDITIONS, 1)) + 0.5 * rng.standard_t(3, size=(CONDITIONS, MOST))


def blocks(allocation: Allocation, given_to: np.ndarray) -> list[int]:
    """Conditions that want another block of 8 shards."""
    return [int(place) for place in np.flatnonzero(allocation.wanted() > given_to)]


def play(
    allocation: Allocation,
    scores: np.ndarray,
    rng: np.random.Generator | None = None,
    failing: Iterable[int] = (),
    stop_after: int | None = None,
) -> np.ndarray:
    """Give blocks until nothing is wanted, in any order; returns the shards that each condition was given."""
    shards, failed, steps = np.zeros(CONDITIONS, dtype=np.int64), set[int](), 0
    while stop_after is None or steps < stop_after:
        open_ones = [place for place in blocks(allocation, shards) if place not in failed]
        if not open_ones:
            break
        place = open_ones[0] if rng is None else int(rng.choice(open_ones))
        if place in failing and shards[place] >= 8:
            allocation.fail(place)
            failed.add(place)
            continue
        allocation.observe(place, scores[place, shards[place] : shards[place] + UNIT])
        shards[place] += UNIT
        steps += 1
    return shards


def verdicts(allocation: Allocation) -> list[Verdict | None]:
    return [allocation.verdict(place) for place in range(CONDITIONS)]


@kinds
@settings(max_examples=10, deadline=None)
@given(seed=st.integers(0, 10_000), order=st.integers(0, 10_000), failing=st.sets(st.integers(0, CONDITIONS - 1)))
def test_order_of_results_changes_nothing(kind: str, seed: int, order: int, failing: set[int]) -> None:
    make, _ = KINDS[kind]
    calm, wild = make(None), make(None)
    failing = set(list(failing)[:5])
    given_calm = play(calm, screen(seed), failing=failing)
    given_wild = play(wild, screen(seed), np.random.default_rng(order), failing)
    assert np.array_equal(given_calm, given_wild)
    assert np.array_equal(calm.wanted(), wild.wanted())
    assert verdicts(calm) == verdicts(wild)


@kinds
@settings(max_examples=10, deadline=None)
@given(seed=st.integers(0, 10_000), stop=st.integers(1, 400))
def test_after_an_interruption_the_same_decisions_follow(kind: str, seed: int, stop: int) -> None:
    make, _ = KINDS[kind]
    scores, whole, again = screen(seed), make(None), make(None)
    given_whole = play(whole, scores)
    killed = play(make(None), scores, np.random.default_rng(seed), stop_after=stop)
    done = np.zeros_like(killed)
    while replayed := [place for place in blocks(again, done) if done[place] < killed[place]]:
        for place in replayed:
            again.observe(place, scores[place, done[place] : done[place] + UNIT])
            done[place] += UNIT
    assert np.array_equal(done, killed), "what was computed before the kill is asked for again"
    while open_ones := blocks(again, done):
        again.observe(open_ones[-1], scores[open_ones[-1], done[open_ones[-1]] : done[open_ones[-1]] + UNIT])
        done[open_ones[-1]] += UNIT
    assert np.array_equal(done, given_whole)
    assert verdicts(again) == verdicts(whole)


@kinds
@settings(max_examples=15, deadline=None)
@given(seed=st.integers(0, 10_000), more=st.integers(0, 3_000))
def test_caps_are_never_passed_and_what_is_wanted_never_falls(kind: str, seed: int, more: int) -> None:
    make, least = KINDS[kind]
    allocation, scores = make(least + more), screen(seed)
    before, shards = np.zeros(CONDITIONS, dtype=np.int64), np.zeros(CONDITIONS, dtype=np.int64)
    while open_ones := blocks(allocation, shards):
        wanted = allocation.wanted().copy()
        assert (wanted >= before).all()
        assert wanted.max() <= MOST
        assert wanted.sum() <= least + more
        before = wanted
        for place in open_ones:
            allocation.observe(place, scores[place, shards[place] : wanted[place]])
            shards[place] = wanted[place]
    assert np.array_equal(shards, allocation.wanted())


def test_before_anything_is_known_there_is_no_verdict() -> None:
    assert verdicts(halving()) == verdicts(certified()) == [None] * CONDITIONS


def test_the_table_has_finalists_first() -> None:
    words = [OUT, "stopped at rung 1", UNDECIDED, "stopped at rung 3", IN]
    assert sorted(words, key=tier) == [IN, UNDECIDED, OUT, "stopped at rung 3", "stopped at rung 1"]
    assert tier(FINALIST) == tier(None) == 0
    assert describe([Verdict(IN, 0, 8, 8, 0.0), None, Verdict(OUT, 0, 8, 8, 0.0)]) == "1 in, 1 out"
