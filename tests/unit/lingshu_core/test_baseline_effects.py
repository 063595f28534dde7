from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
import scipy.sparse as sp

from lingshu_core.baseline_effects import MeasuredEffects, common_dose
from lingshu_core.baseline_statistics import measure_groups
from lingshu_core.baselines import additive_effect, context_effects
from lingshu_core.cells import Cells
from lingshu_core.preparation import build_vocabulary
from lingshu_core.vocabulary import Vocabulary

EVERY = ("cell_type", "donor")


@pytest.fixture(scope="module")
def effects(cells: Cells, vocabulary: Vocabulary) -> MeasuredEffects:
    return MeasuredEffects(measure_groups(cells, vocabulary), vocabulary, min_cells=1)


def number(effects: MeasuredEffects, *names: str) -> int:
    found = effects.number(names)
    assert found is not None
    return found


def one_factor(cells: Cells) -> Cells:
    return Cells(cells.counts, cells.genes, cells.obs, cells.depth, ("cell_type",), cells.control)


@pytest.mark.parametrize("weighting", ["contexts", "cells"])
def test_with_one_factor_it_is_the_additive_effect_of_old(cells: Cells, weighting: str) -> None:
    few = cells.select(np.flatnonzero(~((cells.obs["donor"] == "D1") & (cells.obs["cell_type"] == "T cells"))))
    alone = one_factor(few)
    vocabulary = build_vocabulary(alone)
    effects = MeasuredEffects(measure_groups(alone, vocabulary), vocabulary, weighting, 1)  # type: ignore[arg-type]
    found = effects.of_label(number(effects, "STAT1"), None, ("cell_type",))
    expected = additive_effect(context_effects(alone, "STAT1", "cell_type"), weighted=weighting == "cells")
    np.testing.assert_allclose(found[0], expected, atol=1e-5)


def test_contexts_that_agree_are_averaged_by_precision(effects: MeasuredEffects) -> None:
    found = effects.measured(number(effects, "STAT1"), None, ("cell_type",))
    rows = np.flatnonzero(effects.statistics.labels == number(effects, "STAT1"))
    assert found.cells.tolist() == [12, 12]
    np.testing.assert_allclose(found.changes[0], effects.statistics.changes[rows[:2]].mean(axis=0), atol=1e-6)


def test_a_question_without_factors_pools_all(effects: MeasuredEffects) -> None:
    found = effects.measured(number(effects, "JAK2"), None, ())
    assert found.cells.tolist() == [24]
    assert effects.controls({}).cells == 48
    assert effects.controls({"cell_type": "B cells"}).cells == 24
    assert effects.controls({"cell_type": "B cells", "donor": "never"}).cells == 48


def test_doses_are_interpolated_on_the_logarithm(effects: MeasuredEffects) -> None:
    label = number(effects, "ruxolitinib")
    low, middle, high = (effects.of_label(label, dose, EVERY) for dose in (0.1, 1.0, 10.0))
    np.testing.assert_allclose(effects.of_label(label, 10**-0.5, EVERY), (low + middle) / 2, atol=1e-6)
    np.testing.assert_allclose(effects.of_label(label, 10**0.25, EVERY), 0.75 * middle + 0.25 * high, atol=1e-6)
    np.testing.assert_array_equal(effects.of_label(label, 1e-5, EVERY), low)
    np.testing.assert_array_equal(effects.of_label(label, 1e5, EVERY), high)
    np.testing.assert_allclose(effects.of_label(label, None, EVERY), (low + middle + high) / 3, atol=1e-6)


def test_a_dose_means_nothing_where_none_was_measured(effects: MeasuredEffects) -> None:
    label = number(effects, "STAT1")
    np.testing.assert_array_equal(effects.of_label(label, 3.0, EVERY), effects.of_label(label, None, EVERY))


def test_small_contexts_have_no_vote_beside_larger_ones(cells: Cells, vocabulary: Vocabulary) -> None:
    drop = np.flatnonzero(cells.matching({"perturbation": "STAT1", "cell_type": "T cells"}))[2:]
    kept = cells.select(np.setdiff1d(np.arange(len(cells)), drop))
    words = build_vocabulary(kept)
    statistics = measure_groups(kept, words)
    large, none = (MeasuredEffects(statistics, words, min_cells=most) for most in (5, 100))
    here = large.measured(number(large, "STAT1"), None, EVERY)
    assert here.cells.tolist() == [6, 6, 2]
    np.testing.assert_allclose(large.average(here), here.changes[:2].mean(axis=0))
    np.testing.assert_allclose(
        none.average(none.measured(number(none, "STAT1"), None, EVERY)), here.changes.mean(axis=0)
    )


def test_the_mean_of_all_has_one_vote_a_label(effects: MeasuredEffects) -> None:
    labels = [
        effects.of_label(number(effects, *names), None, EVERY) for names in (["STAT1"], ["JAK2"], ["STAT1", "JAK2"])
    ]
    drug = effects.of_label(number(effects, "ruxolitinib"), None, EVERY)
    np.testing.assert_allclose(effects.mean(EVERY), np.mean([*labels, drug], axis=0), atol=1e-6)
    np.testing.assert_allclose(effects.mean(EVERY, "genetic"), np.mean(labels, axis=0), atol=1e-6)
    np.testing.assert_allclose(effects.mean(EVERY, "cytokine"), effects.mean(EVERY))  # there is none


def test_the_mean_in_a_context_is_that_of_its_labels(effects: MeasuredEffects) -> None:
    here = {"cell_type": "B cells", "donor": "D2"}
    found = effects.mean_in(here)
    assert found is not None
    level = effects.level(EVERY)
    rows = np.flatnonzero(effects.statistics.contexts == level.members(level.find(here))[0])
    labels = effects.statistics.labels[rows]
    each = [effects.statistics.changes[rows[labels == label]].mean(axis=0) for label in np.unique(labels)]
    np.testing.assert_allclose(found, np.mean(each, axis=0), atol=1e-6)
    assert effects.mean_in({"cell_type": "B cells", "donor": "never"}) is None


def test_a_context_with_controls_only_has_no_mean() -> None:
    obs = pd.DataFrame(
        {
            "perturbation": ["ctrl", "A", "ctrl"],
            "perturbation_type": "genetic",
            "dose": np.nan,
            "cell_type": ["B", "B", "T"],
        }
    )
    cells = Cells(sp.csr_matrix([[1, 0], [3, 2], [0, 4]]), ("X", "Y"), obs, np.full(3, 100.0), ("cell_type",), "ctrl")
    vocabulary = build_vocabulary(cells)
    effects = MeasuredEffects(measure_groups(cells, vocabulary), vocabulary)
    assert effects.mean_in({"cell_type": "T"}) is None
    assert effects.mean_in({"cell_type": "B"}) is not None


def test_groups_without_own_controls_count_only_where_there_are_no_others(cells: Cells) -> None:
    gone = cells.is_control & cells.matching({"cell_type": "B cells"})
    kept = cells.select(~gone)
    vocabulary = build_vocabulary(kept)
    effects = MeasuredEffects(measure_groups(kept, vocabulary), vocabulary)
    assert len(effects.measured(number(effects, "STAT1"), None, ("cell_type",)).cells) == 1
    only_b = kept.select(~kept.matching({"cell_type": "T cells", "perturbation": "STAT1"}))
    words = build_vocabulary(only_b)
    lone = MeasuredEffects(measure_groups(only_b, words), words)
    assert lone.measured(number(lone, "STAT1"), None, ("cell_type",)).cells.tolist() == [12]


def test_combinations_are_found_by_part(effects: MeasuredEffects) -> None:
    assert {name: len(labels) for name, labels in effects.combinations_of.items()} == {"STAT1": 1, "JAK2": 1}
    assert effects.number(["JAK2", "STAT1"]) == effects.number(["STAT1", "JAK2"]) is not None
    assert effects.number(["STAT1", "TP53"]) is None


def test_parts_have_a_common_dose_or_none() -> None:
    assert common_dose([("A", 1.0), ("B", 1.0)]) == 1.0
    assert common_dose([("A", 1.0), ("B", None)]) is None
