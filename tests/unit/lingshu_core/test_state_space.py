from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
import scipy.sparse as sp

from lingshu_core.cells import Cells
from lingshu_core.errors import UnusableCells
from lingshu_core.metrics import energy_distance
from lingshu_core.state_space import PlacedCells, RealGroup, StateSpace, depth_weights, fit_state_space

GENES = tuple(f"G{i}" for i in range(30))
MEANS = np.linspace(5, 60, 30)


def draw(seed: int, shifts: list[float], cells: int = 200, depth: float = 1.0) -> np.ndarray:
    """Draw counts; the first genes are multiplied by `shifts`."""
    means = MEANS.copy()
    means[: len(shifts)] *= shifts
    rng = np.random.default_rng(seed)
    return rng.poisson(means * depth * rng.uniform(0.7, 1.4, (cells, 1)))


def table(*groups: np.ndarray, genes: tuple[str, ...] = GENES) -> Cells:
    counts = np.concatenate(groups)
    labels = np.repeat([f"g{i}" for i in range(len(groups))], [len(group) for group in groups])
    return Cells(
        counts=sp.csr_matrix(counts),
        genes=genes,
        obs=pd.DataFrame({"perturbation": labels}),
        depth=counts.sum(axis=1).astype(float),
        context_roles=(),
        control="g1",
        source="cells.h5ad",
    )


def masks(cells: Cells) -> list[np.ndarray]:
    return [np.asarray(cells.obs["perturbation"] == label) for label in sorted(set(cells.obs["perturbation"]))]


@pytest.fixture
def cells() -> Cells:
    """Group g0 has four times the counts of G0 and G1 that g1 has."""
    return table(draw(1, [4.0, 4.0]), draw(2, []))


@pytest.fixture
def space(cells: Cells) -> StateSpace:
    group, others = masks(cells)
    return fit_state_space(cells, group, [others], GENES, cells.depth[others])


@pytest.fixture
def place(space: StateSpace) -> Callable[..., PlacedCells]:
    def placed(counts: np.ndarray, shards: int = 1) -> PlacedCells:
        return space.place(sp.csr_matrix(counts.astype(np.float32)), counts.sum(axis=1).astype(float), shards)

    return placed


def test_cells_of_the_group_are_at_distance_nothing_and_the_others_far(
    space: StateSpace, place: Callable[..., PlacedCells]
) -> None:
    view = space.view()
    near, far = (space.points(place(draw(seed, shifts))) for seed, shifts in ((3, [4.0, 4.0]), (4, [])))
    assert abs(view.distance(near)) < 0.02 * view.separation
    assert view.distance(far) == pytest.approx(view.separation, rel=0.1)
    assert view.position(near).mean() == pytest.approx(1, abs=0.05)
    assert view.position(far).mean() == pytest.approx(0, abs=0.05)
    assert space.in_group(near).mean() > 0.95
    assert space.in_group(far).mean() < 0.05
    assert space.accuracy > 0.95


def test_the_distance_is_that_of_all_pairs_where_weights_are_equal(
    space: StateSpace, place: Callable[..., PlacedCells]
) -> None:
    view = space.view()
    even = replace(view, weights=np.full(len(view.weights), 1 / len(view.weights)))
    within = np.linalg.norm(view.reference[:, None] - view.reference[None], axis=2)
    even = replace(even, spread=within.sum() / (len(within) * (len(within) - 1)))
    points = space.points(place(draw(5, [2.0], cells=9)))
    assert even.distance(points) == pytest.approx(energy_distance(points, view.reference))


def test_the_distance_of_few_cells_is_unbiased(space: StateSpace, place: Callable[..., PlacedCells]) -> None:
    points = space.points(place(draw(6, [2.0, 2.0], cells=2000)))
    few = [space.view().distance(points[start : start + 4]) for start in range(0, 2000, 4)]
    error = np.std(few) / np.sqrt(len(few))
    assert abs(np.mean(few) - space.view().distance(points)) < 4 * error


def test_the_order_of_cells_changes_nothing(space: StateSpace, place: Callable[..., PlacedCells]) -> None:
    counts = draw(7, [2.0], cells=40)
    shuffled = counts[np.random.default_rng(0).permutation(40)]
    one, other = (space.points(place(each)) for each in (counts, shuffled))
    assert space.view().distance(one) == pytest.approx(space.view().distance(other))
    assert space.in_group(one).sum() == space.in_group(other).sum()
    assert space.view().position(one).var(ddof=1) == pytest.approx(space.view().position(other).var(ddof=1))


def test_a_gene_that_is_left_out_has_no_part_in_anything(space: StateSpace, place: Callable[..., PlacedCells]) -> None:
    counts = draw(8, [2.0], cells=40)
    depth = counts.sum(axis=1).astype(float)
    other = counts.copy()
    other[:, 0] *= 9
    one, two = (space.points(space.place(sp.csr_matrix(each.astype(float)), depth, 1), [0]) for each in (counts, other))
    np.testing.assert_allclose(one, two, atol=1e-9)
    assert 0 < space.view([0]).separation < space.view().separation
    assert space.view([0]) is space.view([0])
    assert space.view([0, 1]).separation < 0.05 * space.view().separation


def test_genes_that_the_model_has_alone_are_no_part_of_the_space(cells: Cells) -> None:
    group, others = masks(cells)
    model = ("ONLY_IN_MODEL", *GENES[:10][::-1])
    found = fit_state_space(cells, group, [others], model, cells.depth[others])
    assert found.genes.tolist() == list(range(1, 11))
    # The way is along the genes that differ, wherever they stand in the model: G0 is its last, G1 the one before.
    gain = np.abs(found.loadings @ found.view().way)
    assert sorted(np.argsort(-gain)[:2].tolist()) == [8, 9]
    cut = found.restricted_to(np.arange(1, 11))
    assert cut.genes.tolist() == list(range(10))


def test_depth_alone_is_no_difference() -> None:
    # Cells of few counts, of one kind: the group has mostly deep ones, the others mostly shallow ones.
    rng = np.random.default_rng(0)
    thin = [
        rng.poisson(np.linspace(0.2, 4, 30) * d, (n, 30)) for d, n in ((3.0, 160), (1.0, 40), (3.0, 40), (1.0, 160))
    ]
    cells = table(np.concatenate(thin[:2]), np.concatenate(thin[2:]))
    group, others = masks(cells)
    space = fit_state_space(cells, group, [others], GENES, cells.depth)
    even = replace(
        space,
        group=RealGroup(space.group.values, np.full(200, 1 / 200)),
        others=RealGroup(space.others.values, np.full(200, 1 / 200)),
    )
    assert abs(space.view().separation) < 0.3 * even.view().separation


def test_strata_of_depth_weigh_the_same() -> None:
    depths = np.arange(1.0, 101.0)
    cells = np.concatenate([np.full(30, 10.0), np.full(10, 90.0)])  # four strata, two of which have cells
    weights = depth_weights(cells, depths)
    assert weights[:30].sum() == pytest.approx(0.5)
    assert weights[30:].sum() == pytest.approx(0.5)


def test_three_states_are_told_apart() -> None:
    cells = table(draw(1, [4.0]), draw(2, []), draw(3, [1.0, 4.0]))
    group, one, two = masks(cells)
    space = fit_state_space(cells, group, [one, two], GENES, cells.depth)
    assert space.states == 3
    assert space.accuracy > 0.9
    counts = draw(4, [1.0, 4.0])
    third = space.place(sp.csr_matrix(counts), counts.sum(axis=1).astype(float), 1)
    assert space.in_group(space.points(third)).mean() < 0.05
    assert space.others.weights.sum() == pytest.approx(1)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda c, g, o, d: (c, g & (np.arange(len(g)) < 7), [o], GENES, d), "a group has 7 cells; at least 20"),
        (lambda c, g, o, d: (c, g, [o | g], GENES, d), "a cell is in `group` and in what it is held against"),
        (lambda c, g, o, d: (c, g, [o], ("X", "Y"), d), "shares 0 genes with the model"),
        (lambda c, g, o, d: (c, g, [o], GENES, d * 100), r"200 cells \(median depth .*\), and 0 of them at depths"),
        (lambda c, g, o, d: (c, g, [o], GENES, d[:0]), "the model has no depths of control cells"),
    ],
)
def test_what_makes_no_space(cells: Cells, change: Callable[..., tuple], message: str) -> None:
    group, others = masks(cells)
    with pytest.raises(UnusableCells, match=message):
        fit_state_space(*change(cells, group, others, cells.depth[others]))
