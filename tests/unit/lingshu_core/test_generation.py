from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
import scipy.sparse as sp

from lingshu_core.cells import Cells
from lingshu_core.conditioning import Condition
from lingshu_core.denoiser import Denoiser
from lingshu_core.depths import control_depths
from lingshu_core.errors import ConfigurationError, UnusableCells
from lingshu_core.estimator import CELLS_PER_BATCH
from lingshu_core.generation import (
    StartCells,
    draw_contexts,
    draw_depths,
    generate_cells,
    generation_root,
)
from lingshu_core.reveal import RevealSettings
from lingshu_core.vocabulary import Vocabulary

ROOT = generation_root(3)
THREE = RevealSettings(3, "geometric", 0.0)
Draw = Callable[..., np.ndarray]


@pytest.fixture
def draw(trained: Denoiser, vocabulary: Vocabulary) -> Draw:
    """Draw cells of one condition; `draw(5, Condition(…), start=…)` gives dense counts."""

    def make(cells: int, condition: Condition = Condition({}), **rest: object) -> np.ndarray:  # noqa: B008
        depth = np.full(cells, 800.0)
        batches = generate_cells(trained, vocabulary, [condition] * cells, depth, ROOT, THREE, **rest)
        return sp.vstack([batch.counts for batch in batches]).toarray()

    return make


def start_of(cells: Cells, rows: int, keep: float, missing: int = 0) -> StartCells:
    present = np.ones(len(cells.genes), dtype=bool)
    present[:missing] = False
    return StartCells(cells.counts[:rows], present, keep)


def test_the_same_request_gives_the_same_cells(draw: Draw) -> None:
    first, again = draw(CELLS_PER_BATCH + 3), draw(CELLS_PER_BATCH + 3)
    np.testing.assert_array_equal(first, again)
    assert first.dtype == np.int32
    assert len({tuple(cell) for cell in first}) == len(first)


def test_cells_do_not_depend_on_how_many_are_asked_for(draw: Draw) -> None:
    np.testing.assert_array_equal(draw(4), draw(CELLS_PER_BATCH + 3)[:4])


def test_conditions_share_their_random_numbers(draw: Draw) -> None:
    control, perturbed = draw(40), draw(40, Condition({}, (("STAT1", None),)))
    same = (control == perturbed).mean()
    independent = (control == np.roll(perturbed, 1, axis=0)).mean()
    assert independent < same < 1.0


def test_kept_genes_keep_their_counts(draw: Draw, cells: Cells, trained: Denoiser, vocabulary: Vocabulary) -> None:
    start = start_of(cells, 6, 0.5, missing=3)
    batches = generate_cells(trained, vocabulary, [Condition({})] * 6, cells.depth[:6], ROOT, THREE, start)
    (batch,) = batches
    kept = batch.kept.toarray()
    assert set(kept.sum(axis=1)) == {10}  # half of the 20 measured genes
    assert not kept[:, :3].any()
    assert len({tuple(row) for row in kept}) == 6
    np.testing.assert_array_equal(batch.counts.toarray()[kept], cells.counts[:6].toarray()[kept])
    np.testing.assert_array_equal(draw(6, start=start), draw(6, start=start))


def test_keeping_nothing_is_drawing_everything(draw: Draw, cells: Cells) -> None:
    np.testing.assert_array_equal(draw(6, start=start_of(cells, 6, 0.0)), draw(6))


def test_keeping_all_draws_the_missing_genes_alone(draw: Draw, cells: Cells) -> None:
    found = draw(6, start=start_of(cells, 6, 1.0, missing=4))
    np.testing.assert_array_equal(found[:, 4:], cells.counts[:6].toarray()[:, 4:])


@pytest.mark.parametrize(
    ("keep", "said"), [(1.0, "leaves 0 to draw in 3 steps"), (1.2, "between 0 and 1"), (-0.1, "0")]
)
def test_shares_that_leave_nothing_are_refused(draw: Draw, cells: Cells, keep: float, said: str) -> None:
    with pytest.raises(ConfigurationError, match=said):
        draw(6, start=start_of(cells, 6, keep))


def test_progress_is_told_after_every_batch(draw: Draw) -> None:
    told: list[int] = []
    draw(CELLS_PER_BATCH + 3, on_batch=told.append)
    assert told == [CELLS_PER_BATCH, CELLS_PER_BATCH + 3]


def test_contexts_are_drawn_by_their_control_cells(cells: Cells, vocabulary: Vocabulary) -> None:
    drawn = draw_contexts(vocabulary, [{}] * 400, ROOT)
    share = np.mean([context["cell_type"] == "B cells" for context in drawn])
    assert share == pytest.approx(0.5, abs=0.08)  # five standard errors are .125, the seed is fixed
    fixed = draw_contexts(vocabulary, [{"donor": "D2"}] * 20, ROOT)
    assert {context["donor"] for context in fixed} == {"D2"}
    with pytest.raises(UnusableCells, match="no training cell is donor=D9"):
        draw_contexts(vocabulary, [{"donor": "D9"}], ROOT)


def test_depths_are_those_of_the_controls(cells: Cells, vocabulary: Vocabulary) -> None:
    depths = control_depths(cells, vocabulary)
    here = {"cell_type": "T cells", "donor": "D1"}
    drawn = draw_depths(vocabulary, depths, [here] * 300, ROOT)
    real = cells.depth[cells.is_control & cells.matching(here)]
    assert real.min() <= drawn.min()
    assert drawn.max() <= real.max()
    assert np.median(drawn) == pytest.approx(np.median(real), rel=0.1)
    everywhere = draw_depths(vocabulary, depths, [{"cell_type": "T cells", "donor": "D9"}], ROOT)
    assert cells.depth[cells.is_control].min() <= everywhere[0] <= cells.depth[cells.is_control].max()
