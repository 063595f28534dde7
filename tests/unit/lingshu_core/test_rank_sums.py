from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
import scipy.sparse as sp
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from lingshu_core import rank_sums as module
from lingshu_core.grouped_cells import GroupedCells
from lingshu_core.rank_sums import RankSums, histogram_sums, rank_sums, token_rank_sums
from lingshu_core.token_histogram import TokenHistogram
from lingshu_core.tokens import decode, encode

GROUP = np.arange(15) % 4
COUNTS = arrays.arrays(
    np.int64, st.tuples(st.just(15), st.integers(1, 6)), elements=st.sampled_from([0, 0, 0, 1, 2, 5, 123, 99_999])
)


def joined(parts: list[RankSums]) -> list[npt.NDArray[np.float64]]:
    """Statistics and ties of the perturbations, and totals of all, over all genes."""
    names = "statistics", "ties", "totals"
    found = [np.concatenate([getattr(part, name) for part in parts], axis=1) for name in names]
    return [found[0][1:], found[1][1:], found[2]]


def of_cells(values: npt.NDArray[Any], transform: module.Transform = np.positive) -> list[npt.NDArray[np.float64]]:
    return joined(list(rank_sums(GroupedCells(sp.csr_matrix(values), GROUP, 4), transform)))


@given(COUNTS)
def test_counts_give_the_same_by_bins_and_by_sorting(counts: npt.NDArray[np.int64]) -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(module, "_MOST_BINS_PER_ENTRY", 0)
        by_sorting = of_cells(counts, np.log1p)
        patch.setattr(module, "_MOST_BINS_PER_ENTRY", 1e9)
        by_bins = of_cells(counts, np.log1p)
    assert np.array_equal(by_sorting[0], by_bins[0])
    assert np.array_equal(by_sorting[1], by_bins[1])
    np.testing.assert_allclose(by_sorting[2], by_bins[2], rtol=1e-12)


def test_bins_are_used_where_few_stay_empty(monkeypatch: pytest.MonkeyPatch) -> None:
    counts = np.random.default_rng(0).poisson(2.0, (15, 6))
    monkeypatch.setattr(module, "_sums_by_sorting", None)  # would fail if called
    of_cells(counts)
    of_cells(counts.astype(np.float32))
    monkeypatch.undo()
    monkeypatch.setattr(module, "_histogram", None)
    counts[3, 3] = 2_000_000
    of_cells(counts)
    of_cells(counts / 3)
    of_cells(counts * 3_000_000_000)


@given(COUNTS, st.sampled_from([1, 3_000]))
def test_token_histograms_give_the_same_as_their_tokens(counts: npt.NDArray[np.int64], at_once: int) -> None:
    tokens = encode(counts)
    histograms = []
    for group in range(4):
        shown = tokens[group == GROUP]
        histograms.append(TokenHistogram.empty(counts.shape[1]))
        histograms[-1].add(shown.nonzero()[1], shown[shown.nonzero()], len(shown))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(module, "_TOKENS_AT_ONCE", at_once)
        found = joined(list(token_rank_sums(histograms, np.log1p)))
    expected = of_cells(decode(tokens).astype(float), np.log1p)
    assert np.array_equal(found[0], expected[0])
    assert np.array_equal(found[1], expected[1])
    np.testing.assert_allclose(found[2], expected[2], rtol=1e-12)


def test_a_histogram_by_hand() -> None:
    # Two genes; bins of the first are the values 0, 1 and 4, of the second 0 and 2.
    controls, perturbed = [2, 1, 1, 0, 4], [0, 1, 2, 3, 0]
    starts, values = np.array([0, 3]), np.array([0.0, 1.0, 4.0, 0.0, 2.0])
    found = histogram_sums(slice(5, 7), np.array([controls, perturbed]), starts, values)
    assert found.genes == slice(5, 7)
    # 1 beats two zeros and ties with one; each 4 beats three and ties with one. No zero beats a 2.
    assert found.statistics[1].tolist() == [2.5 + 2 * 3.5, 0.0]
    assert found.ties[1].tolist() == [6 + 6 + 24, 24 + 60]
    assert found.totals.tolist() == [[5.0, 8.0], [9.0, 0.0]]
