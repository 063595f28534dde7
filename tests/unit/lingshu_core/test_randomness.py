from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from lingshu_core.randomness import RandomRoot, SharedRandomness, cell_randomness, stratified_quantiles

ROOT = RandomRoot(7, "B cells|D1", "ctrl")


def test_a_cell_draws_the_same_in_a_shard_of_any_size() -> None:
    few, many = cell_randomness(ROOT, 3, 2, 50), cell_randomness(ROOT, 3, 9, 50)
    assert np.array_equal(few.rank, many.rank[:2])
    assert np.array_equal(few.uniforms, many.uniforms[:2])


def test_what_was_drawn_before_changes_nothing() -> None:
    calm = cell_randomness(ROOT, 3, 2, 50)
    np.random.seed(1)
    cell_randomness(ROOT, 2, 4, 50)
    ROOT.generator(3, 0).random(1_000)
    busy = cell_randomness(RandomRoot(7, "B cells|D1", "ctrl"), 3, 2, 50)
    assert np.array_equal(calm.rank, busy.rank)
    assert np.array_equal(calm.uniforms, busy.uniforms)


@pytest.mark.parametrize(
    ("root", "shard"),
    [
        (replace(ROOT, root_seed=8), 3),
        (replace(ROOT, context="B cells|D2"), 3),
        (replace(ROOT, control_set="PBS"), 3),
        (ROOT, 4),
    ],
)
def test_seed_context_control_set_and_shard_change_the_numbers(root: RandomRoot, shard: int) -> None:
    here, there = cell_randomness(ROOT, 3, 2, 50), cell_randomness(root, shard, 2, 50)
    assert not (here.uniforms == there.uniforms).any()
    assert not np.array_equal(here.rank, there.rank)
    assert stratified_quantiles(ROOT, 3, 4)[0] != stratified_quantiles(root, shard, 4)[0]


def test_the_cells_of_a_shard_differ() -> None:
    drawn = cell_randomness(ROOT, 0, 6, 40)
    assert len(np.unique(drawn.uniforms)) > 6 * 40 - 3
    assert len({tuple(row) for row in drawn.rank}) == 6


def test_names_that_run_together_are_different_keys() -> None:
    first, second = RandomRoot(1, "ab", "c"), RandomRoot(1, "a", "bc")
    assert first.generator(0).random() != second.generator(0).random()


@given(st.integers(0, 2**63), st.integers(0, 10_000), st.integers(1, 40))
def test_every_order_is_a_permutation_and_every_number_is_a_share(seed: int, shard: int, genes: int) -> None:
    drawn = cell_randomness(RandomRoot(seed, "c", "ctrl"), shard, 2, genes)
    assert np.array_equal(np.sort(drawn.rank, axis=1), np.tile(np.arange(genes), (2, 1)))
    assert ((drawn.uniforms >= 0) & (drawn.uniforms < 1)).all()


def test_the_uniforms_are_uniform_and_independent_of_the_order() -> None:
    drawn = cell_randomness(ROOT, 1, 40, 500)
    assert stats.kstest(drawn.uniforms.ravel(), "uniform").pvalue > 1e-3
    assert abs(np.corrcoef(drawn.uniforms.ravel(), drawn.rank.ravel())[0, 1]) < 0.03


@given(st.integers(0, 1_000), st.integers(1, 200))
def test_each_stratum_has_one_quantile_at_the_same_offset(shard: int, strata: int) -> None:
    levels = stratified_quantiles(ROOT, shard, strata)
    assert np.array_equal(np.floor(levels * strata - 1e-9 * (levels > 0)), np.arange(strata))
    np.testing.assert_allclose(np.diff(levels), 1 / strata)


def test_the_offset_of_the_strata_is_uniform_over_shards() -> None:
    offsets = [stratified_quantiles(ROOT, shard, 1)[0] for shard in range(400)]
    assert stats.kstest(offsets, "uniform").pvalue > 1e-3


def test_what_is_kept_is_what_would_be_drawn_and_memory_is_bounded() -> None:
    drawn = cell_randomness(ROOT, 3, 2, 50)
    shared = SharedRandomness(most_bytes=drawn.rank.nbytes + drawn.uniforms.nbytes)
    kept = shared.of(ROOT, 3, 2, 50)
    assert shared.of(ROOT, 3, 2, 50) is kept
    assert np.array_equal(kept.rank, drawn.rank)
    assert np.array_equal(kept.uniforms, drawn.uniforms)
    assert shared.of(ROOT, 4, 2, 50) is not shared.of(ROOT, 4, 2, 50)  # no room is left for it
    other = replace(ROOT, context="B cells|D2")
    assert np.array_equal(shared.of(other, 3, 2, 50).rank, cell_randomness(other, 3, 2, 50).rank)
    assert shared.of(ROOT, 3, 2, 50) is not kept
