from __future__ import annotations

import numpy as np
import pytest

from lingshu_core.errors import FeatureError
from lingshu_core.gene_set_features import gene_set_vectors

SETS = {
    "interferon": ["STAT1", "STAT2", "IRF9", "ISG15", "MX1"],
    "interferon too": ["STAT1", "STAT2", "IRF9", "ISG15", "OAS1"],
    "hypoxia": ["VEGFA", "CA9", "HIF1A", "LDHA", "PGK1"],
    "small": ["STAT1", "VEGFA"],
    "everything": ["STAT1", "STAT2", "IRF9", "ISG15", "MX1", "OAS1", "VEGFA", "CA9", "HIF1A", "LDHA", "PGK1", "ZZ"],
}


def similarity(values: np.ndarray, first: int, second: int) -> float:
    return float(values[first] @ values[second] / np.linalg.norm(values[first]) / np.linalg.norm(values[second]))


def test_genes_of_the_same_sets_are_alike() -> None:
    found = gene_set_vectors(SETS, 4, (5, 10))
    row = {name: i for i, name in enumerate(found.names)}
    assert list(found.names) == sorted(row)
    assert "ZZ" not in row  # only in a set that is too large
    assert similarity(found.values, row["STAT1"], row["STAT2"]) > 0.99
    assert similarity(found.values, row["STAT1"], row["VEGFA"]) < 0


def test_the_order_of_sets_and_genes_does_not_count() -> None:
    found = gene_set_vectors(SETS, 2, (2, 10))
    turned = gene_set_vectors({name: list(reversed(genes)) for name, genes in SETS.items()}, 2, (2, 10))
    assert found.names == turned.names
    np.testing.assert_array_equal(found.values, turned.values)


def test_no_set_of_a_size_in_use_is_refused() -> None:
    with pytest.raises(FeatureError, match="none of the 5 gene sets has 20 to 500 genes"):
        gene_set_vectors(SETS, sizes=(20, 500))
