import numpy as np
import pytest
import scipy.sparse as sp
from hypothesis import given
from hypothesis import strategies as st

from lingshu_core.spoiled_cells import at_half_depth, without_state, without_ties


def some_cells(seed: int, cells: int = 40, genes: int = 30) -> sp.csr_matrix:
    random = np.random.default_rng(seed)
    rate = np.geomspace(0.1, 20.0, genes) * random.lognormal(sigma=0.8, size=(cells, 1))
    return sp.csr_matrix(random.poisson(rate).astype(np.int32))


@given(st.integers(0, 10_000))
def test_each_way_leaves_what_it_does_not_spoil(seed: int) -> None:
    cells, random = some_cells(seed), np.random.default_rng(seed)
    stateless, untied = without_state(cells, random), without_ties(cells, random)
    thinned = at_half_depth(cells, random)
    assert (stateless.sum(axis=1) == cells.sum(axis=1)).all()
    assert (np.sort(untied.toarray(), axis=0) == np.sort(cells.toarray(), axis=0)).all()
    assert (thinned.toarray() <= cells.toarray()).all()
    assert thinned.nnz == np.count_nonzero(thinned.toarray())


def test_half_of_the_molecules_stay() -> None:
    cells = some_cells(0, 400)
    assert at_half_depth(cells, np.random.default_rng(0)).sum() == pytest.approx(cells.sum() / 2, rel=0.02)


def test_cells_without_a_state_have_the_mean_profile() -> None:
    cells = some_cells(0, 400)
    drawn = without_state(cells, np.random.default_rng(0))
    assert np.asarray(drawn.sum(axis=0)).ravel() == pytest.approx(np.asarray(cells.sum(axis=0)).ravel(), rel=0.25)


def test_the_cells_given_stay_as_they_are() -> None:
    cells = some_cells(0)
    before = cells.copy()
    for spoil in (without_state, at_half_depth, without_ties):
        spoil(cells, np.random.default_rng(0))
    assert (cells != before).nnz == 0
