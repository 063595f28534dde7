from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from lingshu_core.epoch_order import balanced_order, block_order

SIZES = st.lists(st.integers(1, 500), min_size=1, max_size=200).map(np.array)
BALANCE = st.floats(0, 1)


@given(SIZES, BALANCE, st.integers(0, 2**31), st.integers(1, 40), st.integers(1, 8))
def test_blocks_change_the_order_and_not_the_draw(
    sizes: np.ndarray, balance: float, seed: int, block: int, mixed: int
) -> None:
    """Balanced sampling out of memory draws every cell exactly as often as in memory."""
    blocks = np.arange(len(sizes)) // block
    found = block_order(sizes, balance, [seed, 3], blocks, mixed)
    assert np.array_equal(np.sort(found), np.sort(balanced_order(sizes, balance, [seed, 3])))


def test_every_cell_is_drawn_as_often_as_its_weight_says() -> None:
    sizes = np.repeat([10, 1000], [10, 1000])
    blocks = np.arange(len(sizes)) // 64
    drawn = [np.bincount(block_order(sizes, 0.5, [0, epoch], blocks, 4), minlength=len(sizes)) for epoch in range(400)]
    expected = sizes**-0.5 / (sizes**-0.5).sum() * len(sizes)
    assert np.abs(np.mean(drawn, axis=0) - expected).max() < 0.1
    assert set(np.mean(drawn, axis=0)[:10].round()) == {9.0}  # a rare condition counts for more


@given(st.integers(100, 400), st.integers(5, 30), st.integers(1, 6), st.integers(0, 99))
def test_only_two_windows_of_blocks_are_open_at_a_time(cells: int, block: int, mixed: int, seed: int) -> None:
    blocks = np.arange(cells) // block
    order = block_order(np.ones(cells, dtype=int), 0.0, [seed], blocks, mixed)
    met: list[int] = []
    for number in blocks[order]:
        if number not in met:
            met.append(int(number))
    # A window is closed before the next one is opened.
    last = {number: int(np.flatnonzero(blocks[order] == number)[-1]) for number in met}
    first = {number: int(np.flatnonzero(blocks[order] == number)[0]) for number in met}
    for start in range(0, len(met), mixed):
        window, later = met[start : start + mixed], met[start + mixed :]
        assert all(last[one] < first[other] for one in window for other in later)


def test_the_order_follows_from_seed_and_epoch() -> None:
    sizes, blocks = np.ones(300, dtype=int), np.arange(300) // 20
    one = block_order(sizes, 0.5, [4, 1], blocks, 3)
    assert np.array_equal(one, block_order(sizes, 0.5, [4, 1], blocks, 3))
    assert not np.array_equal(one, block_order(sizes, 0.5, [4, 2], blocks, 3))
    assert not np.array_equal(np.sort(blocks[one]), blocks[one])
