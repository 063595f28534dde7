from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from lingshu_core.errors import FeatureError
from lingshu_core.link_features import link_vectors


def links(text: str) -> pd.DataFrame:
    rows = [line.split() for line in text.splitlines()]
    return pd.DataFrame(
        {"source": [r[0] for r in rows], "target": [r[1] for r in rows], "weight": [float(r[2]) for r in rows]}
    )


LINKS = "A x 1\nA y 1\nB x 1\nB y 1\nC x -1\nC y -1\nD z 1"


def test_regulators_of_the_same_genes_are_alike_and_signs_count() -> None:
    found = link_vectors(links(LINKS))
    row = {name: found.values[i] for i, name in enumerate(found.names)}
    assert found.names == ("A", "B", "C", "D", "x", "y", "z")
    np.testing.assert_allclose(row["A"], row["B"], atol=1e-9)
    np.testing.assert_allclose(row["x"], row["y"], atol=1e-9)
    assert np.linalg.norm(row["A"] - row["C"]) > np.linalg.norm(row["A"] - row["D"])


def test_the_direction_counts() -> None:
    found = link_vectors(links("A x 1\nA y 1\nx B 1\ny B 1"))
    row = {name: found.values[i] for i, name in enumerate(found.names)}
    assert np.linalg.norm(row["A"] - row["B"]) > 1.0


def test_links_that_cancel_are_left_out() -> None:
    assert link_vectors(links(LINKS + "\nE x 1\nE x -1\nF x 0")).names == link_vectors(links(LINKS)).names


def test_links_that_say_nothing_are_refused() -> None:
    with pytest.raises(FeatureError, match="none of the links has a weight or sign other than 0"):
        link_vectors(links("A x 0\nB x 1\nB x -1"))


def test_the_order_of_links_does_not_count() -> None:
    found, turned = link_vectors(links(LINKS)), link_vectors(links(LINKS).iloc[::-1])
    np.testing.assert_allclose(found.values @ found.values.T, turned.values @ turned.values.T, atol=1e-9)
