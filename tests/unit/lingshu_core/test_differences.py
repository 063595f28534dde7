from __future__ import annotations

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
import scipy.sparse as sp

from lingshu_core.cells import Cells
from lingshu_core.differences import GroupDifference, group_difference, matched_effect
from lingshu_core.errors import UnusableCells


def _experiment(perturbed_depth: float, fold: float, n: int = 1_500) -> Cells:
    """Cells of 12 genes whose first gene changes `fold`-fold and whose depth is shifted by a factor."""
    rng = np.random.default_rng(3)
    shares = np.full(12, 1 / 12)
    depth = np.r_[rng.lognormal(3.8, 0.5, n), rng.lognormal(3.8, 0.5, n) * perturbed_depth].round() + 1
    changed = shares * np.r_[fold, np.ones(11)]
    changed[1:] *= (1 - changed[0]) / changed[1:].sum()
    counts = np.concatenate(
        [rng.multinomial(depth[:n].astype(int), shares), rng.multinomial(depth[n:].astype(int), changed)]
    )
    obs = pd.DataFrame({"perturbation": ["ctrl"] * n + ["A"] * n})
    return Cells(sp.csr_matrix(counts), tuple("ABCDEFGHIJKL"), obs, depth, (), "ctrl")


def test_the_difference_and_its_error_are_those_of_two_means(cells: Cells) -> None:
    # Fewer than twenty cells make one stratum: the plain difference of two means.
    start = cells.is_control & (np.cumsum(cells.is_control) <= 15)
    inside = (cells.depth >= cells.depth[start].min()) & (cells.depth <= cells.depth[start].max())
    to = np.asarray(cells.obs["perturbation"] == "STAT1") & inside
    found = group_difference(cells, start, to)
    scaled = np.log1p(1e4 * cells.counts.toarray() / cells.depth[:, None])
    np.testing.assert_allclose(found.difference, scaled[to].mean(axis=0) - scaled[start].mean(axis=0))
    error = [scaled[group].var(axis=0, ddof=1) / group.sum() for group in (start, to)]
    np.testing.assert_allclose(found.standard_error, np.sqrt(error[0] + error[1]))


def test_a_group_of_fewer_than_two_cells_is_refused(cells: Cells) -> None:
    one = np.arange(len(cells)) == 3
    with pytest.raises(UnusableCells, match="the group 'to' has 1 cells; at least 2 are needed"):
        group_difference(cells, cells.is_control, one)
    with pytest.raises(UnusableCells, match="the group 'from' has 0 cells"):
        group_difference(cells, one & ~one, cells.is_control)


def test_a_difference_is_certain_at_a_rate_of_false_discoveries() -> None:
    found = GroupDifference(np.array([4.0, -3.0, 1.9, 0.0, 1e-3]), np.array([1.0, 1.0, 1.0, 0.0, 0.0]))
    assert found.certain().tolist() == [True, True, False, False, True]
    assert found.certain(false_discoveries=1e-3).tolist() == [True, False, False, False, True]


def test_of_many_genes_without_a_difference_none_is_certain() -> None:
    noise = np.random.default_rng(0).standard_normal(9_000)
    assert GroupDifference(noise, np.ones(9_000)).certain().sum() <= 2


def test_a_pure_shift_in_depth_is_no_difference() -> None:
    shifted = _experiment(perturbed_depth=1.3, fold=1.0)
    perturbed = ~shifted.is_control
    raw = shifted.log1p_per_10k(perturbed) - shifted.log1p_per_10k(shifted.is_control)
    found = group_difference(shifted, shifted.is_control, perturbed)
    assert raw.mean() > 0.1
    assert np.abs(found.difference.mean()) < 0.15 * raw.mean()


def test_groups_whose_depths_do_not_overlap_are_refused() -> None:
    apart = _experiment(perturbed_depth=1.0, fold=1.0, n=200)
    apart = replace(apart, depth=np.where(apart.is_control, apart.depth, apart.depth + 1e6))
    with pytest.raises(UnusableCells, match="do not overlap"):
        group_difference(apart, apart.is_control, ~apart.is_control)


def test_matching_takes_a_pure_shift_in_depth_out() -> None:
    shifted = _experiment(perturbed_depth=0.5, fold=1.0)
    perturbed = ~shifted.is_control
    raw = shifted.log1p_per_10k(perturbed) - shifted.log1p_per_10k(shifted.is_control)
    matched = matched_effect(shifted, perturbed, shifted.is_control)
    assert (raw < -0.5).all()
    assert np.abs(matched).max() < 0.15  # a few per cent of the shift are left inside the strata
    assert np.abs(matched.mean()) < 0.1 * np.abs(raw.mean())


def test_matching_leaves_a_real_effect() -> None:
    changed = _experiment(perturbed_depth=0.5, fold=3.0)
    matched = matched_effect(changed, ~changed.is_control, changed.is_control)
    even = _experiment(perturbed_depth=1.0, fold=3.0)
    unshifted = group_difference(even, even.is_control, ~even.is_control).difference
    assert matched[0] == pytest.approx(unshifted[0], abs=0.1)
    assert matched[0] > 0.8


def test_one_stratum_is_the_raw_difference(cells: Cells) -> None:
    perturbed = np.asarray(cells.obs["perturbation"] == "JAK2")
    raw = cells.log1p_per_10k(perturbed) - cells.log1p_per_10k(cells.is_control)
    np.testing.assert_allclose(matched_effect(cells, perturbed, cells.is_control, strata=1), raw)


def test_strata_without_perturbed_cells_are_left_out(cells: Cells) -> None:
    order = np.argsort(cells.depth)
    depth = np.empty(len(cells))
    depth[order] = np.arange(len(cells)) + 1_000.0
    ranked = replace(cells, depth=depth)
    perturbed = ~cells.is_control & (depth < np.median(depth[cells.is_control]))
    below = cells.is_control & (depth <= np.median(depth[cells.is_control]))
    found = matched_effect(ranked, perturbed, cells.is_control, strata=2)
    np.testing.assert_allclose(found, ranked.log1p_per_10k(perturbed) - ranked.log1p_per_10k(below))


def test_groups_that_share_no_depth_are_refused(cells: Cells) -> None:
    nobody = np.zeros(len(cells), dtype=bool)
    with pytest.raises(UnusableCells, match="no stratum of depth has both perturbed and control cells"):
        matched_effect(cells, nobody, cells.is_control)
