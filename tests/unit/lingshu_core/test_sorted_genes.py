from __future__ import annotations

from typing import Any
from unittest.mock import Mock

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from lingshu_core import sorted_genes
from lingshu_core.sorted_genes import SortedGenes, sort_genes, sorted_sums, tie_term

# Values of some genes: each a list of (group, value), the value zero for a cell without a molecule.
VALUES = st.sampled_from([0.0, 0.0, 0.1, 1 / 3, 0.5, 1.0, 2.0, 1e-40, 1e-300, 3e38, 1e300])
GENES = st.integers(1, 5).flatmap(
    lambda groups: st.lists(st.lists(VALUES, min_size=12, max_size=12), min_size=1, max_size=4).map(
        lambda genes: (np.arange(12) % (groups + 1), np.array(genes))
    )
)


def sort(group: npt.NDArray[Any], genes: npt.NDArray[Any]) -> tuple[SortedGenes, npt.NDArray[np.int64]]:
    """Sorted genes of cells with a group, (cells,), and values, (genes, cells); and the sizes of the groups."""
    shown = genes > 0
    starts = np.append(0, np.cumsum(shown.sum(axis=1))).astype(np.int32)
    groups = np.broadcast_to(group.astype(np.int32), genes.shape)[shown]
    return sort_genes(genes[shown], groups, starts, int(group.max()) + 1), np.bincount(group)


def expected_sums(group: npt.NDArray[Any], genes: npt.NDArray[Any]) -> tuple[list[list[float]], list[list[float]]]:
    statistics, ties = [], []
    for each in range(1, int(group.max()) + 1):
        sides = genes[:, group == each], genes[:, group == 0]
        statistics.append(stats.mannwhitneyu(*sides, axis=1, method="asymptotic").statistic.tolist())
        together = [np.unique(np.concatenate(pair), return_counts=True)[1] for pair in zip(*sides, strict=True)]
        ties.append([float(np.sum(shared.astype(float) ** 3 - shared)) for shared in together])
    return statistics, ties


@given(GENES, st.sampled_from([np.float32, np.float64]), st.sampled_from([64, 34]))
def test_sums_are_those_of_the_definition(
    drawn: tuple[npt.NDArray[Any], npt.NDArray[Any]], dtype: Any, key_bits: int
) -> None:
    group, genes = drawn
    with np.errstate(over="ignore", under="ignore"):
        genes = np.minimum(genes.astype(dtype), np.finfo(dtype).max)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(sorted_genes, "_KEY_BITS", key_bits)
        statistics, ties = sorted_sums(*sort(group, genes))
    assert (statistics[1:].tolist(), ties[1:].tolist()) == expected_sums(group, genes)


def test_single_precision_sorts_as_32_bits_and_many_groups_as_64() -> None:
    values = np.random.default_rng(0).lognormal(size=(3, 40)).astype(np.float32)
    few, many = np.arange(40) % 4, np.arange(40)
    assert sort(few, values)[0].keys.dtype == np.uint32
    assert sort(few, values.astype(float))[0].keys.dtype == np.uint32  # doubles that 32 bits hold
    assert sort(few, values.astype(float) / 3)[0].keys.dtype == np.uint64
    assert sort(many, np.float32(2.0) ** np.arange(-60, 60, dtype=np.float32).reshape(3, 40))[0].keys.dtype == np.uint64


def test_values_wider_than_a_key_are_ranked_first(monkeypatch: pytest.MonkeyPatch) -> None:
    """Doubles over 80 orders of magnitude, and more groups than their bits leave room for."""
    ranked = Mock(wraps=sorted_genes._dense_ranks)
    monkeypatch.setattr(sorted_genes, "_dense_ranks", ranked)
    genes = np.exp(np.random.default_rng(3).normal(0, 30, (5, 600)))
    genes[:, 100:200] = genes[:, 200:300]
    group = np.append(np.zeros(300, dtype=int), np.arange(300))
    statistics, ties = sorted_sums(*sort(group, genes))
    assert ranked.call_count == 1
    assert (statistics[1:].tolist(), ties[1:].tolist()) == expected_sums(group, genes)


def test_entries_follow_value_then_group() -> None:
    part, _ = sort(np.array([0, 1, 2, 0, 1]), np.array([[3.0, 1.0, 0.0, 1.0, 1.0], [1.0, 2.0, 2.0, 2.0, 0.0]]))
    assert part.group().tolist() == [0, 1, 1, 0, 0, 0, 1, 2]
    assert part.as_before().tolist() == [False, True, True, False, False, False, True, True]


def test_a_value_on_its_own_is_no_tie() -> None:
    assert tie_term(np.array([0.0, 1.0, 2.0, 10.0])).tolist() == [0, 0, 6, 990]
