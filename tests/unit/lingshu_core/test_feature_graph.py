from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from lingshu_core.errors import FeatureError
from lingshu_core.feature_graph import neighbour_block
from lingshu_core.perturbation_features import FeatureBlock, combine, standardise


def edges(*rows: tuple[str, str, float]) -> pd.DataFrame:
    table = pd.DataFrame(rows, columns=["source", "target", "weight"])
    table.index = pd.RangeIndex(2, len(table) + 2)
    return table


@pytest.fixture
def block() -> FeatureBlock:
    return FeatureBlock(tuple("ABC"), np.array([[1.0, 0.0], [0.0, 1.0], [2.0, 5.0]]), "table", "genetic", "f.npz", "aa")


def test_neighbours_add_their_features(block: FeatureBlock) -> None:
    found = neighbour_block(block, edges(("A", "B", 1.0), ("B", "D", 1.0)), 2, file="net.tsv", sha256="bb")
    assert found.names == ("A", "B", "D")  # D is in the network only, C is outside of it
    features = np.zeros((3, 2))
    features[:2] = standardise(block).values[:2]
    degree = np.array([2.0, 3.0, 2.0])
    adjacency = np.array([[1, 1, 0], [1, 1, 1], [0, 1, 1]]) / np.sqrt(np.outer(degree, degree))
    np.testing.assert_allclose(
        found.values, np.concatenate([adjacency @ features, adjacency @ adjacency @ features], axis=1)
    )
    assert (found.kind, found.file, found.sha256, found.perturbation_type) == ("graph", "net.tsv", "bb", "genetic")


def test_direction_repeats_and_loops_do_not_count(block: FeatureBlock) -> None:
    plain = neighbour_block(block, edges(("A", "B", 2.0), ("B", "C", 1.0)), 1, file="n", sha256="")
    other = edges(("B", "C", 1.0), ("B", "A", 2.0), ("A", "B", 1.0), ("C", "C", 9.0), ("C", "A", 0.0))
    np.testing.assert_allclose(neighbour_block(block, other, 1, file="n", sha256="").values, plain.values)


def test_a_name_outside_the_network_keeps_zeros(block: FeatureBlock) -> None:
    found = neighbour_block(block, edges(("A", "B", 1.0), ("B", "D", 1.0)), 1, file="n", sha256="")
    matrix = combine([block, found]).matrix  # rows A, B, C, D
    assert not matrix[2, 2:4].any()
    assert matrix[[0, 1, 3], 2:4].any(axis=1).all()
    assert not matrix[3, :2].any()


def test_what_is_out_of_reach_is_not_described(block: FeatureBlock) -> None:
    chain = edges(("A", "D", 1.0), ("D", "E", 1.0), ("E", "F", 1.0), ("Y", "Z", 1.0))
    assert neighbour_block(block, chain, 1, file="n", sha256="").names == ("A", "D")
    assert neighbour_block(block, chain, 3, file="n", sha256="").names == ("A", "D", "E", "F")


@pytest.mark.parametrize(
    ("network", "said"),
    [
        (edges(("A", "B", 1.0), ("B", "C", -1.0)), "net.tsv:3: a weight is negative"),
        (edges(("Y", "Z", 1.0)), "none of its 2 names is described by f.npz; names in the network look like Y, Z"),
    ],
)
def test_an_unusable_network_is_refused(block: FeatureBlock, network: pd.DataFrame, said: str) -> None:
    with pytest.raises(FeatureError, match=said):
        neighbour_block(block, network, 2, file="net.tsv", sha256="")
