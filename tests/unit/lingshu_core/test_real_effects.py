from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from lingshu_core import real_effects
from lingshu_core.differences import matched_effect
from lingshu_core.real_effects import (
    GroupMoments,
    group_sums,
    in_context,
    matched_effects,
    mean_perturbation,
    responding,
    response_weights,
    weighted_means,
    welch_t,
)


def _scaled(cells: Any) -> np.ndarray:
    return np.log1p(1e4 * cells.counts.toarray() / cells.depth[:, None])


def test_moments_are_those_of_the_dense_matrix(screened: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(real_effects, "_BLOCK", 7)
    group = screened.cells.is_control
    found, dense = group_sums(screened.cells, group).moments(), _scaled(screened.cells)[group]
    assert found.mean == pytest.approx(dense.mean(axis=0))
    assert found.variance == pytest.approx(dense.var(axis=0, ddof=1))
    assert found.cells == group.sum()


def test_weighted_means_are_products(screened: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(real_effects, "_BLOCK", 11)
    group = screened.questions[0].perturbed
    weights = np.random.default_rng(0).random((3, int(group.sum())))
    assert weighted_means(screened.cells, group, weights) == pytest.approx(weights @ _scaled(screened.cells)[group])


def test_welch_is_scipys(screened: Any) -> None:
    question, dense = screened.questions[0], _scaled(screened.cells)
    groups = [question.perturbed, question.controls]
    t, p = welch_t(*(group_sums(screened.cells, group).moments() for group in groups))
    expected = stats.ttest_ind(*(dense[group] for group in groups), equal_var=False)
    assert t == pytest.approx(expected.statistic)
    assert p == pytest.approx(expected.pvalue)


def test_sums_of_a_part_are_taken_away(screened: Any) -> None:
    cells, part = screened.cells, screened.questions[0].perturbed
    rest = group_sums(cells, ~cells.is_control).without(group_sums(cells, part)).moments()
    expected = group_sums(cells, ~cells.is_control & ~part).moments()
    assert rest.mean == pytest.approx(expected.mean)
    assert rest.variance == pytest.approx(expected.variance)


def test_many_depth_matched_effects_are_each_of_them(screened: Any) -> None:
    cells, controls = screened.cells, screened.questions[0].controls
    few = np.zeros(len(cells), dtype=bool)
    few[np.flatnonzero(screened.questions[1].perturbed)[:4]] = True  # most strata have none of these
    deep = (cells.depth > cells.depth[controls].max()) & ~cells.is_control
    groups = [each.perturbed for each in screened.questions] + [few, deep]
    for found, group in zip(matched_effects(cells, controls, groups), groups, strict=True):
        assert found == pytest.approx(matched_effect(cells, group, controls))


def test_without_a_common_depth_there_is_no_matched_effect(screened: Any) -> None:
    cells = screened.cells
    found = matched_effects(cells, cells.is_control, [np.zeros(len(cells), dtype=bool)])
    assert found == ["no stratum of depth has both perturbed and control cells"]


def test_genes_that_never_vary_have_no_t() -> None:
    nothing = GroupMoments(np.zeros(2), np.zeros(2), 5)
    t, p = welch_t(nothing, nothing)
    assert t.tolist() == [0.0, 0.0]
    assert p.tolist() == [1.0, 1.0]


def test_weights_by_hand() -> None:
    weights = response_weights(np.array([1.0, -3.0, 2.0]))
    assert weights == pytest.approx(np.array([0.0, 1.0, 0.25]) / 1.25)
    assert response_weights(np.zeros(4)) == pytest.approx(0.25)


@given(st.lists(st.floats(-50, 50), min_size=1, max_size=20))
def test_weights_sum_to_one_and_the_clearest_gene_weighs_most(t: list[float]) -> None:
    weights = response_weights(np.array(t))
    assert weights.sum() == pytest.approx(1.0)
    assert weights[np.argmax(np.abs(t))] == weights.max()


def test_genes_respond_among_those_that_count_only() -> None:
    p = np.array([1e-9, 1e-9, 0.5, 0.9])
    assert responding(p, np.array([True, False, True, True])).tolist() == [True, False, False, False]
    assert not responding(p, np.zeros(4, dtype=bool)).any()


def test_the_mean_perturbation_gives_each_of_them_one_vote(screened: Any) -> None:
    cells, train = screened.cells, screened.train
    here = train & in_context(cells, {"cell_type": "B"})
    control = cells.log1p_per_10k(here & cells.is_control)
    labels = cells.obs["perturbation"].to_numpy()
    each = [cells.log1p_per_10k(here & (labels == name)) - control for name in sorted(set(labels) - {"control"})]
    found = mean_perturbation(cells, train, {"cell_type": "B"})
    assert found is not None
    assert found.effect == pytest.approx(np.mean(each, axis=0))
    assert found.perturbations == 6


def test_a_context_without_perturbed_cells_gets_the_mean_of_the_others(screened: Any) -> None:
    cells = screened.cells
    in_b = in_context(cells, {"cell_type": "B"})
    train = ~in_b | cells.is_control  # of B the controls only
    found, other = (mean_perturbation(cells, some, {"cell_type": "B"}) for some in (train, ~in_b))
    assert found is not None
    assert other is not None
    assert found.effect == pytest.approx(other.effect)


def test_pooled_effects_are_measured_beside_controls_of_their_own_context(screened: Any) -> None:
    cells = screened.cells
    found = mean_perturbation(cells, np.ones(len(cells), dtype=bool), {})
    parts = [
        mean_perturbation(cells, in_context(cells, {"cell_type": name}), {"cell_type": name}) for name in ("B", "T")
    ]
    assert found is not None
    # as many perturbations in either context, so the mean of both means
    assert found.effect == pytest.approx(np.mean([part.effect for part in parts if part is not None], axis=0))


def test_nothing_perturbed_or_no_controls_is_no_mean(screened: Any) -> None:
    cells = screened.cells
    assert mean_perturbation(cells, cells.is_control, {"cell_type": "B"}) is None
    assert mean_perturbation(cells, ~cells.is_control, {"cell_type": "B"}) is None


def test_without_context_roles_all_cells_are_one_context(make_screened: Callable[..., Any]) -> None:
    some = make_screened(seed=1, cells=10)
    cells = replace(some.cells, context_roles=())
    found = mean_perturbation(cells, np.ones(len(cells), dtype=bool), {})
    control = cells.log1p_per_10k(cells.is_control)
    labels = cells.obs["perturbation"].to_numpy()
    each = [cells.log1p_per_10k(labels == name) - control for name in set(labels) - {"control"}]
    assert found is not None
    assert found.effect == pytest.approx(np.mean(each, axis=0))
