from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from lingshu_core.cells import Cells
from lingshu_core.depths import MOST_QUANTILES, control_depths, pooled_depths
from lingshu_core.preparation import build_vocabulary
from lingshu_core.vocabulary import SeenContext, Vocabulary


def _of(vocabulary: Vocabulary, **control_cells: int) -> Vocabulary:
    contexts = tuple(SeenContext({"donor": name}, n, n) for name, n in control_cells.items())
    return replace(vocabulary, factors={"donor": tuple(control_cells)}, contexts=contexts)


def test_each_context_has_the_sorted_depths_of_its_controls(cells: Cells, vocabulary: Vocabulary) -> None:
    found = control_depths(cells, vocabulary)
    for context, depths in zip(vocabulary.contexts, found, strict=True):
        expected = cells.depth[cells.is_control & cells.matching(context.factors)]
        np.testing.assert_array_equal(depths, np.sort(expected))


def test_many_controls_are_kept_as_quantiles(cells: Cells) -> None:
    rows = np.tile(np.arange(len(cells)), 60)
    many = replace(cells.select(rows), context_roles=())
    (found,) = control_depths(many, build_vocabulary(many))
    every = many.depth[many.is_control]
    assert len(found) == MOST_QUANTILES < len(every)
    assert (np.diff(found) >= 0).all()
    assert found.mean() == pytest.approx(every.mean(), rel=1e-3)
    assert found.std() == pytest.approx(every.std(), rel=1e-2)


def test_a_full_context_gets_its_own_depths(cells: Cells, vocabulary: Vocabulary) -> None:
    depths = control_depths(cells, vocabulary)
    found = pooled_depths(vocabulary, depths, {"cell_type": "T cells", "donor": "D1"})
    np.testing.assert_array_equal(found, depths[2])


def test_a_factor_left_out_pools_the_contexts_that_agree(cells: Cells, vocabulary: Vocabulary) -> None:
    depths = control_depths(cells, vocabulary)
    found = pooled_depths(vocabulary, depths, {"cell_type": "T cells"})
    both = np.concatenate(depths[2:])
    assert (np.diff(found) >= 0).all()
    assert found.min() >= both.min()
    assert found.max() <= both.max()
    assert found.mean() == pytest.approx(both.mean(), rel=0.02)
    assert np.median(found) == pytest.approx(np.median(both), rel=0.03)


def test_contexts_count_by_their_cells_even_where_only_quantiles_were_kept(vocabulary: Vocabulary) -> None:
    small = _of(vocabulary, D1=100, D2=9_900)
    depths = (np.full(100, 1_000.0), np.full(MOST_QUANTILES, 5_000.0))
    found = pooled_depths(small, depths, {})
    assert len(found) == MOST_QUANTILES
    assert (found < 3_000).mean() == pytest.approx(0.01, abs=0.005)
    even = pooled_depths(_of(vocabulary, D1=100, D2=100), (depths[0], np.full(100, 5_000.0)), {})
    assert (even < 3_000).mean() == pytest.approx(0.5, abs=0.005)


def test_a_context_without_controls_has_no_depths(vocabulary: Vocabulary) -> None:
    small = _of(vocabulary, D1=0, D2=2)
    depths = (np.empty(0), np.array([10.0, 20.0]))
    assert len(pooled_depths(small, depths, {"donor": "D1"})) == 0
    assert len(pooled_depths(small, depths, {"donor": "D9"})) == 0
    np.testing.assert_array_equal(pooled_depths(small, depths, {}), depths[1])
