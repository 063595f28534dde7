from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from lingshu_core.chemistry import fingerprints
from lingshu_core.drug_features import smiles_vectors
from lingshu_core.errors import FeatureError


def drugs(*rows: tuple[str, str]) -> pd.DataFrame:
    table = pd.DataFrame(rows, columns=["name", "smiles"])
    table.index = pd.RangeIndex(2, len(table) + 2)
    return table


def test_names_get_their_fingerprints() -> None:
    table = drugs(("ethanol", "CCO"), ("antibody", ""), ("benzene", "c1ccccc1"), ("alcohol", "OCC"), ("ethanol", "OCC"))
    found = smiles_vectors(table, "drugs.tsv", 128)
    assert found.names == ("ethanol", "benzene", "alcohol")
    np.testing.assert_array_equal(found.values, fingerprints(["CCO", "c1ccccc1", "CCO"], 128))


@pytest.mark.parametrize(
    ("rows", "said"),
    [
        ([("a", "CCO"), ("b", "C1CC")], r"drugs.tsv:3: 'b': 'C1CC' is no valid SMILES"),
        ([("a", "CCO"), ("", "C")], "drugs.tsv:3: the drug has no name"),
        ([("a", "CCO"), ("a", "CCC")], "drugs.tsv:3: 'a' has two structures, CCO and CCC"),
        ([("a", ""), ("b", "")], "drugs.tsv: none of the 2 rows has a SMILES"),
    ],
)
def test_what_is_wrong_is_told_by_line(rows: list[tuple[str, str]], said: str) -> None:
    with pytest.raises(FeatureError, match=said):
        smiles_vectors(drugs(*rows), "drugs.tsv")
