from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from lingshu_core.baseline_cells import ControlCells, draw_cells, keep_controls
from lingshu_core.baseline_statistics import GroupStatistics, measure_groups
from lingshu_core.cells import Cells
from lingshu_core.randomness import RandomRoot
from lingshu_core.vocabulary import Vocabulary

ROOT = RandomRoot(0, "here", "controls")
HERE = np.array([0])


@pytest.fixture(scope="module")
def controls(cells: Cells, vocabulary: Vocabulary) -> ControlCells:
    return keep_controls(cells, vocabulary)


@pytest.fixture(scope="module")
def statistics(cells: Cells, vocabulary: Vocabulary) -> GroupStatistics:
    return measure_groups(cells, vocabulary)


def test_controls_are_kept_with_depth_and_context(cells: Cells, vocabulary: Vocabulary, controls: ControlCells) -> None:
    assert controls.counts.shape == (48, len(cells.genes))
    for number, context in enumerate(vocabulary.contexts):
        here = np.flatnonzero(cells.is_control & cells.matching(context.factors))
        mine = controls.contexts == number
        np.testing.assert_array_equal(controls.counts[mine].toarray(), cells.counts[here].toarray())
        np.testing.assert_array_equal(controls.depth[mine], cells.depth[here])
    assert set(controls.stands_for) == {1.0}


def test_of_many_as_many_as_allowed_are_kept_evenly_over_depths(cells: Cells, vocabulary: Vocabulary) -> None:
    few = keep_controls(cells, vocabulary, most=4)
    assert np.bincount(few.contexts).tolist() == [4, 4, 4, 4]
    assert set(few.stands_for) == {3.0}
    depths = np.sort(cells.depth[cells.is_control & cells.matching(vocabulary.contexts[0].factors)])
    np.testing.assert_array_equal(np.sort(few.depth[few.contexts == 0]), depths[[1, 4, 7, 10]])


def test_cells_are_spread_over_the_depths(controls: ControlCells) -> None:
    levels = (np.arange(12) + 0.5) / 12
    rows = controls.spread(HERE, levels)
    assert set(controls.contexts[rows]) == {0}
    assert len(set(rows.tolist())) == 12
    assert (np.diff(controls.depth[rows]) >= 0).all()


def test_cells_that_stand_for_more_are_drawn_more_often(controls: ControlCells) -> None:
    weighted = replace(controls, stands_for=np.where(controls.contexts == 0, 3.0, 1.0))
    rows = weighted.spread(np.array([0, 1]), (np.arange(960) + 0.5) / 960)
    assert np.mean(weighted.contexts[rows] == 0) == pytest.approx(0.75, abs=0.01)


def test_contexts_without_cells_take_all(controls: ControlCells) -> None:
    assert set(controls.contexts[controls.spread(np.array([17]), np.linspace(0.01, 0.99, 48))]) == {0, 1, 2, 3}


def test_where_nothing_changes_the_cells_are_real(controls: ControlCells, statistics: GroupStatistics) -> None:
    known = statistics.controls(HERE)
    counts, depth = draw_cells(controls, HERE, known, known.moments[2], ROOT, 0, 12)
    mine = controls.contexts == 0
    real = {tuple(row) for row in controls.counts[mine].toarray().tolist()}
    assert {tuple(row) for row in counts.astype(int).tolist()} == real
    assert set(depth) == set(controls.depth[mine])


@pytest.mark.parametrize("factor", [0.0, 0.3, 1.0, 1.5, 4.0])
def test_mean_counts_are_those_wanted(controls: ControlCells, statistics: GroupStatistics, factor: float) -> None:
    known = statistics.controls(HERE)
    wanted = factor * known.moments[2]
    drawn = [draw_cells(controls, HERE, known, wanted, ROOT, shard, 24)[0] for shard in range(40)]
    mean, error = np.mean(drawn, axis=(0, 1)), np.std(drawn, axis=(0, 1)) / np.sqrt(40 * 24)
    assert (np.abs(mean - wanted) <= 5 * error + 0.03 * wanted).all()


def test_a_silent_gene_can_rise_in_proportion_to_depth(controls: ControlCells, statistics: GroupStatistics) -> None:
    known = statistics.controls(HERE)
    wanted = known.moments[2].copy()
    silent = replace(controls, counts=controls.counts.multiply(np.arange(23) != 5).tocsr())
    before = replace(known, moments=known.moments * (np.arange(23) != 5))
    wanted[5] = 20.0
    drawn = [draw_cells(silent, HERE, before, wanted, ROOT, shard, 12) for shard in range(60)]
    counts, depth = np.concatenate([c[:, 5] for c, _ in drawn]), np.concatenate([d for _, d in drawn])
    assert counts.mean() == pytest.approx(20.0, rel=0.05)
    assert np.corrcoef(counts, depth)[0, 1] > 0.5


def test_draws_depend_on_the_request_alone(controls: ControlCells, statistics: GroupStatistics) -> None:
    known = statistics.controls(HERE)

    def drawn(root: RandomRoot, shard: int, factor: float = 0.5) -> np.ndarray:  # type: ignore[type-arg]
        return draw_cells(controls, HERE, known, factor * known.moments[2], root, shard, 8)[0]

    np.testing.assert_array_equal(drawn(ROOT, 0), drawn(ROOT, 0))
    assert not np.array_equal(drawn(ROOT, 0), drawn(ROOT, 1))
    assert not np.array_equal(drawn(ROOT, 0), drawn(RandomRoot(1, "here", "controls"), 0))
    assert (drawn(ROOT, 0, 0.4) <= drawn(ROOT, 0, 0.6)).all()  # the same random numbers


def test_kept_cells_survive_their_arrays(controls: ControlCells) -> None:
    read = ControlCells.from_arrays(controls.to_arrays(), 23)
    np.testing.assert_array_equal(read.counts.toarray(), controls.counts.toarray())
    np.testing.assert_array_equal(read.depth, controls.depth)
    with pytest.raises(ValueError, match="48 control cells with 47 depths"):
        ControlCells.from_arrays({**controls.to_arrays(), "depth": controls.depth[1:]}, 23)
