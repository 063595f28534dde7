from __future__ import annotations

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
import scipy.sparse as sp
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from lingshu_core.baseline_statistics import Population, label_order, measure_groups, pooled
from lingshu_core.baselines import real_effect
from lingshu_core.cells import Cells
from lingshu_core.errors import UnusableCells
from lingshu_core.preparation import build_vocabulary
from lingshu_core.vocabulary import Vocabulary


def population(counts: np.ndarray, depth: np.ndarray) -> Population:  # type: ignore[type-arg]
    scaled = np.log1p(1e4 * counts / depth[:, None])
    moments = [scaled.mean(0), np.square(scaled).mean(0), counts.mean(0), np.square(counts).mean(0)]
    return Population(np.stack(moments), float(depth.mean()), len(counts))


def test_changes_are_real_effects_within_a_context(cells: Cells, vocabulary: Vocabulary) -> None:
    found = measure_groups(cells, vocabulary)
    labels = label_order(vocabulary)
    assert len(found.labels) == 4 * 6  # three labels and three doses of the drug in four contexts
    for group, (context, label, dose) in enumerate(zip(found.contexts, found.labels, found.doses, strict=True)):
        here = cells.matching(vocabulary.contexts[context].factors)
        perturbed = here & np.asarray(cells.obs["perturbation"] == labels[label])
        if np.isfinite(dose):
            perturbed &= np.asarray(cells.obs["dose"] == dose)
        effect = real_effect(cells, perturbed, here & cells.is_control)
        np.testing.assert_allclose(found.changes[group, 0], effect, atol=1e-5)
        assert found.cells[group] == perturbed.sum()


def test_controls_are_the_moments_of_the_control_cells(cells: Cells, vocabulary: Vocabulary) -> None:
    found = measure_groups(cells, vocabulary)
    every = found.controls(np.arange(4))
    controls = cells.select(cells.is_control)
    expected = population(controls.counts.toarray(), controls.depth)
    np.testing.assert_allclose(every.moments, expected.moments, rtol=1e-5)
    assert (every.cells, every.depth) == (expected.cells, pytest.approx(expected.depth))


def test_depth_is_no_effect(cells: Cells, vocabulary: Vocabulary) -> None:
    """Perturbed cells with twice the counts at twice the depth are the same cells, seen better."""
    deeper = cells.counts.astype(np.float64)
    scale = np.where(cells.is_control, 1.0, 2.0)
    twice = replace(cells, counts=sp.csr_matrix(sp.diags(scale) @ deeper), depth=cells.depth * scale)
    first, second = (measure_groups(each, vocabulary) for each in (cells, twice))
    np.testing.assert_allclose(first.changes[:, :3], second.changes[:, :3], atol=1e-5)


def test_without_changes_only_the_controls_are_measured(cells: Cells, vocabulary: Vocabulary) -> None:
    found, whole = measure_groups(cells, vocabulary, changes=False), measure_groups(cells, vocabulary)
    assert found.changes.shape == (0, 4, len(cells.genes))
    np.testing.assert_array_equal(found.control_moments, whole.control_moments)


def test_a_context_without_controls_is_compared_with_the_others(cells: Cells) -> None:
    gone = cells.is_control & cells.matching({"cell_type": "B cells", "donor": "D1"})
    kept = cells.select(~gone)
    vocabulary = build_vocabulary(kept)
    found = measure_groups(kept, vocabulary)
    assert found.control_cells.tolist() == [0, 12, 12, 12]
    group = int(np.flatnonzero((found.contexts == 0) & (found.labels == label_order(vocabulary).index("STAT1")))[0])
    perturbed = kept.matching({"cell_type": "B cells", "donor": "D1", "perturbation": "STAT1"})
    np.testing.assert_allclose(found.changes[group, 0], real_effect(kept, perturbed, kept.is_control), atol=1e-5)
    assert not found.has_own_controls[group]
    assert found.precision[group] == 6


def test_precision_is_that_of_a_difference_of_means(cells: Cells, vocabulary: Vocabulary) -> None:
    found = measure_groups(cells, vocabulary)
    stat1 = found.labels == label_order(vocabulary).index("STAT1")
    np.testing.assert_allclose(found.precision[stat1], 6 * 12 / 18)


def test_other_genes_and_no_controls_are_refused(cells: Cells, vocabulary: Vocabulary) -> None:
    with pytest.raises(UnusableCells, match="the genes are not those of the vocabulary"):
        measure_groups(cells, replace(vocabulary, genes=vocabulary.genes[::-1]))
    treated = cells.select(~cells.is_control)
    with pytest.raises(UnusableCells, match="no control cells"):
        measure_groups(treated, build_vocabulary(treated))


def test_cells_without_context_and_dose_are_one_context() -> None:
    obs = pd.DataFrame({"perturbation": ["ctrl", "ctrl", "A"], "perturbation_type": "genetic", "dose": np.nan})
    cells = Cells(sp.csr_matrix([[1, 0], [3, 2], [0, 4]]), ("X", "Y"), obs, np.full(3, 100.0), (), "ctrl")
    found = measure_groups(cells, build_vocabulary(cells))
    np.testing.assert_allclose(found.control_moments[0, 2], [2, 1])
    assert found.contexts.tolist() == [0]


numbers = hnp.arrays(np.int64, (6, 3), elements=st.integers(0, 40))


@given(numbers, numbers, st.integers(121, 5000))
def test_moments_stay_possible_whatever_is_added(controls: np.ndarray, others: np.ndarray, depth: int) -> None:  # type: ignore[type-arg]
    first, second = (population(counts, np.full(6, float(depth))) for counts in (controls, others))
    for factor in (1.0, -2.0, 5.0):
        found = first.changed(factor * (second.scaled() - first.scaled())).astype(float)
        assert (found >= 0).all()
        assert (found[1] >= np.square(found[0]) * (1 - 1e-6)).all()
        assert (found[3] >= np.square(found[2]) * (1 - 1e-6)).all()
        assert (found[3] >= found[2] * (1 - 1e-6)).all()


@given(numbers, numbers)
def test_the_change_to_other_cells_gives_their_moments(controls: np.ndarray, others: np.ndarray) -> None:  # type: ignore[type-arg]
    first, second = (population(counts, np.full(6, 500.0)) for counts in (controls, others))
    found = first.changed(second.scaled() - first.scaled())
    np.testing.assert_allclose(found, second.moments, rtol=1e-4, atol=1e-6)


@given(numbers)
def test_no_change_is_no_change_to_the_bit(controls: np.ndarray) -> None:  # type: ignore[type-arg]
    known = population(controls, np.full(6, 777.0))
    np.testing.assert_array_equal(known.changed(np.zeros((4, 3))), known.moments.astype(np.float32))


def test_pooled_populations_are_those_of_all_cells(cells: Cells) -> None:
    counts = cells.counts.toarray()
    parts = [population(counts[rows], cells.depth[rows]) for rows in (slice(0, 10), slice(10, 50))]
    joined = pooled(
        np.stack([part.moments for part in parts]),
        np.array([part.depth for part in parts]),
        np.array([part.cells for part in parts]),
    )
    np.testing.assert_allclose(joined.moments, population(counts[:50], cells.depth[:50]).moments)
