import dataclasses

import numpy as np
import pytest
import safetensors.numpy
import scipy.sparse as sp
from hypothesis import given
from hypothesis import strategies as st

from screening.errors import BlockError
from screening.running.store import BlockResult, DrawnCells, decode_block, encode_block


def block(shards: int = 3, genes: int = 5, first: int = 8, cells: bool = False, seed: int = 0) -> BlockResult:
    draw = np.random.default_rng(seed)
    found = sp.csr_matrix(draw.poisson(0.7, (shards * 2, genes)).astype(np.float32))
    return BlockResult(
        first_shard=first,
        cells_per_shard=2,
        log1p_mean=draw.random((shards, genes), dtype=np.float32),
        count_mean=draw.random((shards, genes), dtype=np.float32),
        log1p_square=draw.random(genes, dtype=np.float32),
        count_square=draw.random(genes, dtype=np.float32),
        cells=DrawnCells(found, draw.random(shards * 2) * 1000) if cells else None,
    )


def assert_same(one: BlockResult, other: BlockResult) -> None:
    for field in dataclasses.fields(BlockResult):
        if field.name != "cells":
            np.testing.assert_array_equal(getattr(one, field.name), getattr(other, field.name), strict=True)


@given(shards=st.integers(1, 5), genes=st.integers(1, 9), first=st.integers(0, 10**6), seed=st.integers(0, 99))
def test_a_block_comes_back_as_it_was(shards: int, genes: int, first: int, seed: int) -> None:
    written = block(shards, genes, first, seed=seed)
    read = decode_block(encode_block(written))
    assert_same(read, written)
    assert (read.shards, read.cells) == (shards, None)


@given(shards=st.integers(1, 4), genes=st.integers(1, 9), seed=st.integers(0, 99))
def test_drawn_cells_come_back_as_they_were(shards: int, genes: int, seed: int) -> None:
    written = block(shards, genes, cells=True, seed=seed)
    read = decode_block(encode_block(written))
    assert_same(read, written)
    assert read.cells is not None
    assert written.cells is not None
    assert read.cells.counts.shape == (2 * shards, genes)
    np.testing.assert_array_equal(read.cells.counts.toarray(), written.cells.counts.toarray())
    np.testing.assert_array_equal(read.cells.depth, written.cells.depth, strict=True)


@pytest.mark.parametrize("cells", [False, True])
def test_the_same_block_gives_the_same_bytes(cells: bool) -> None:
    assert encode_block(block(cells=cells)) == encode_block(block(cells=cells))
    assert encode_block(block(cells=cells)) != encode_block(block(cells=cells, first=9))
    assert encode_block(block(cells=cells)) != encode_block(block(cells=cells, seed=1))


def test_a_view_of_other_memory_order_gives_the_same_bytes() -> None:
    plain = block()
    strided = dataclasses.replace(plain, log1p_mean=np.asfortranarray(plain.log1p_mean))
    assert encode_block(strided) == encode_block(plain)


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"not a block",
        encode_block(block())[:-1],
        encode_block(block())[:20],
        safetensors.numpy.save({"log1p_mean": np.zeros(3)}),
        safetensors.numpy.save({"log1p_mean": np.zeros(3)}, {"block": "{}"}),
        safetensors.numpy.save({"log1p_mean": np.zeros(3)}, {"block": "[]"}),
        safetensors.numpy.save({"log1p_mean": np.zeros(3)}, {"block": "no JSON"}),
    ],
    ids=["empty", "text", "cut", "cut in the header", "no header", "empty header", "list", "no JSON"],
)
def test_garbage_is_refused(data: bytes) -> None:
    with pytest.raises(BlockError, match="not a block of shards"):
        decode_block(data)
