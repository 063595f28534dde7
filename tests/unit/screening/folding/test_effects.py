from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from screening.errors import BlockError
from screening.folding.effects import Moments, member_spread, merge_blocks, paired_effect, pool_members, standard_error
from screening.running.store import BlockResult

MakeMoments = Callable[..., Moments]
GENES = 3


def blocks(sizes: list[int]) -> list[BlockResult]:
    """Blocks of consecutive shards whose means are the numbers of the shards."""
    found, first = [], 0
    for size in sizes:
        means = np.repeat(np.arange(first, first + size, dtype=np.float32)[:, None], GENES, axis=1)
        squares = np.full(GENES, 1000.0 + first, dtype=np.float32)
        found.append(BlockResult(first, 4, means, 2 * means, squares, 4 * squares))
        first += size
    return found


@given(sizes=st.lists(st.integers(1, 4), min_size=1, max_size=4), random=st.randoms())
def test_shards_are_put_in_order_whatever_the_order_of_the_blocks(sizes: list[int], random: object) -> None:
    made = blocks(sizes)
    shuffled = list(made)
    random.shuffle(shuffled)  # type: ignore[attr-defined]
    merged, calm = merge_blocks(shuffled), merge_blocks(made)
    np.testing.assert_array_equal(merged.log1p[:, 0], np.arange(sum(sizes)))
    np.testing.assert_array_equal(merged.counts, 2 * merged.log1p)
    np.testing.assert_array_equal(merged.log1p_square, calm.log1p_square)
    assert merged.cells == 4 * sum(sizes)


def test_mean_squares_weigh_by_shards() -> None:
    merged = merge_blocks(blocks([3, 1]))
    np.testing.assert_allclose(merged.log1p_square, (3 * 1000 + 1 * 1003) / 4)
    np.testing.assert_allclose(merged.log1p_variance, (3 * 1000 + 1003) / 4 - 1.5**2)


def test_rounding_makes_no_negative_variance() -> None:
    one = Moments(np.ones((8, 1)), np.ones((8, 1)), np.array([1 - 1e-7]), np.array([1 - 1e-7]), 8)
    assert one.log1p_variance[0] == one.counts_variance[0] == 0.0


@pytest.mark.parametrize(
    "spoil",
    [lambda b: b[:1] + b[2:], lambda b: b[1:], lambda b: [*b, b[1]], lambda b: [b[0], b[0], *b[1:]]],
    ids=["gap", "no first", "doubled", "first doubled"],
)
def test_missing_and_doubled_shards_are_refused(spoil: Callable[[list[BlockResult]], list[BlockResult]]) -> None:
    with pytest.raises(BlockError, match="missing or doubled"):
        merge_blocks(spoil(blocks([2, 2, 2])))


def test_effects_are_means_of_paired_differences(moments: MakeMoments) -> None:
    condition, control = moments([1.0, 2.0, 3.0], seed=1), moments([1.5, 2.0, 1.0], seed=2)
    effect = paired_effect(condition, control)
    difference = condition.log1p - control.log1p  # (shards, genes)
    np.testing.assert_allclose(effect.log1p, difference.mean(axis=0))
    # The variance of a mean, by hand: Σ(d − d̄)² / (n (n − 1)).
    by_hand = np.sqrt(((difference - difference.mean(axis=0)) ** 2).sum(axis=0) / (8 * 7))
    np.testing.assert_allclose(effect.log1p_se, by_hand)
    np.testing.assert_allclose(effect.counts, 2 * effect.log1p)
    np.testing.assert_allclose(effect.counts_se, 2 * effect.log1p_se)


def test_common_noise_cancels_in_pairs_and_only_there(moments: MakeMoments) -> None:
    control = moments([1.0, 2.0], seed=1, spread=0.5)
    shifted = Moments(control.log1p + 0.3, control.counts, control.log1p_square, control.counts_square, control.cells)
    effect = paired_effect(shifted, control)
    np.testing.assert_allclose(effect.log1p, 0.3)
    np.testing.assert_allclose(effect.log1p_se, 0.0, atol=1e-12)
    unpaired = replace(shifted, log1p=shifted.log1p[::-1])
    assert (paired_effect(unpaired, control).log1p_se > 0.05).all()


def test_the_control_against_itself_has_no_effect(moments: MakeMoments) -> None:
    control = moments([1.0, 2.0, 3.0])
    effect = paired_effect(control, control)
    for name in ("log1p", "log1p_se", "counts", "counts_se"):
        assert not getattr(effect, name).any()


def test_unequal_numbers_of_shards_cannot_be_paired(moments: MakeMoments) -> None:
    with pytest.raises(BlockError, match="8 shards and its control 16"):
        paired_effect(moments([1.0]), moments([1.0], shards=16))


def test_the_standard_error_shrinks_with_the_root_of_the_replicates() -> None:
    replicates = np.random.default_rng(0).normal(size=(4096, 1))
    assert standard_error(replicates)[0] == pytest.approx(1 / 64, rel=0.05)


def test_members_are_averaged_shard_by_shard(moments: Callable[..., Moments]) -> None:
    first, second = moments([1.0, 2.0], seed=1), moments([3.0, 2.0], seed=2)
    pooled = pool_members([first, second])
    np.testing.assert_allclose(pooled.log1p, (first.log1p + second.log1p) / 2)
    np.testing.assert_allclose(pooled.counts, (first.counts + second.counts) / 2)
    assert pooled.cells == first.cells + second.cells
    assert pool_members([first]) is first
    # Cells of members that disagree vary more than those of any of them.
    assert pooled.log1p_variance[0] > max(first.log1p_variance[0], second.log1p_variance[0])


def test_the_spread_between_members_is_that_of_their_effects(moments: Callable[..., Moments]) -> None:
    control = moments([1.0, 1.0], spread=0.0)
    conditions = [moments([1.0 + shift, 1.0], spread=0.0) for shift in (0.1, 0.3, 0.8)]
    spread = member_spread([(condition, control) for condition in conditions])
    assert spread is not None
    np.testing.assert_allclose(spread, [np.std([0.1, 0.3, 0.8], ddof=1), 0.0], atol=1e-12)
    assert member_spread([(conditions[0], control)]) is None
