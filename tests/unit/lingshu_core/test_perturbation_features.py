from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from lingshu_core.drug_features import smiles_vectors
from lingshu_core.errors import FeatureError
from lingshu_core.perturbation_features import FeatureBlock, PerturbationFeatures, combine

DRUGS = {"aspirin": "CC(=O)Oc1ccccc1C(=O)O", "caffeine": "Cn1cnc2c1c(=O)n(C)c(=O)n2C", "ethanol": "CCO"}


def block(
    names: str, columns: int = 3, kind: str = "table", of: str = "genetic", seed: int = 0, **more: int
) -> FeatureBlock:
    values = np.random.default_rng(seed).normal(2.0, 5.0, size=(len(names), columns))
    return FeatureBlock(tuple(names), values, kind, of, f"{kind}.parquet", **more)


@pytest.fixture
def drug_block() -> FeatureBlock:
    import pandas as pd

    table = pd.DataFrame({"name": list(DRUGS), "smiles": list(DRUGS.values())})
    vectors = smiles_vectors(table, "drugs.tsv", 256)
    return FeatureBlock(vectors.names, vectors.values, "smiles", "drug", "drugs.tsv", "ab", "MIT", 256)


def test_blocks_stand_side_by_side_with_zeros_where_a_source_is_silent() -> None:
    found = combine([block("CAB"), block("BD", 2, "links")])
    assert list(found.types) == ["A", "B", "C", "D"]
    assert found.matrix.shape == (4, 3 + 2)
    assert found.matrix.dtype == np.float32
    assert not found.matrix[3, :3].any()
    assert not found.matrix[[0, 2], 3:5].any()
    assert [(origin.kind, origin.dimensions, origin.names) for origin in found.origins] == [
        ("table", 3, 3),
        ("links", 2, 2),
    ]


def test_rows_keep_their_names() -> None:
    given = block("CAB")
    rows = combine([given]).matrix[:, :3]
    centred = given.values - given.values.mean(axis=0)
    np.testing.assert_allclose(rows / rows[0, 0], centred[[1, 2, 0]] / centred[1, 0], rtol=1e-5)


@given(seed=st.integers(0, 99), scale=st.floats(1e-6, 1e6), columns=st.integers(1, 9), names=st.integers(3, 20))
def test_a_block_is_centred_with_a_mean_square_norm_of_one(seed: int, scale: float, columns: int, names: int) -> None:
    values = scale * np.random.default_rng(seed).normal(1.0, 1.0, size=(names, columns))
    found = combine([FeatureBlock(tuple(map(str, range(names))), values, "table", "drug", dimensions=4)]).matrix
    assert found.shape[1] <= max(4, 0)
    np.testing.assert_allclose(found.mean(axis=0), 0.0, atol=1e-5)
    assert np.square(found).sum(axis=1).mean() == pytest.approx(1.0, abs=1e-4)


def test_wide_blocks_are_reduced_and_repeat_exactly() -> None:
    wide = block("ABCDEFGH", 30, dimensions=5)
    found = combine([wide])
    assert found.origins[0].dimensions == 5
    np.testing.assert_array_equal(found.matrix, combine([wide]).matrix)


@pytest.mark.parametrize("alone", [True, False])
def test_a_drug_outside_the_table_gets_the_row_it_would_have(drug_block: FeatureBlock, alone: bool) -> None:
    found = combine([drug_block] if alone else [block("AB"), drug_block, block("XY", of="cytokine")])
    for row, name in enumerate(found.types):
        if name in DRUGS:
            np.testing.assert_array_equal(found.drug_vector(DRUGS[name]), found.matrix[row])
    # The other way to write a molecule is the same molecule.
    np.testing.assert_array_equal(found.drug_vector("OCC"), found.matrix[list(found.types).index("ethanol")])


def test_a_drug_left_out_of_the_table_has_the_same_row(drug_block: FeatureBlock) -> None:
    without = combine([drug_block.without(frozenset({"caffeine"}))])
    full = combine([drug_block])
    np.testing.assert_array_equal(
        without.drug_vector(DRUGS["caffeine"]), full.matrix[list(full.types).index("caffeine")]
    )


def test_no_fingerprints_no_drug_by_its_structure() -> None:
    with pytest.raises(FeatureError, match="don't know structures"):
        combine([block("AB")]).drug_vector("CCO")


def test_an_invalid_structure_is_refused(drug_block: FeatureBlock) -> None:
    with pytest.raises(FeatureError, match="no valid SMILES"):
        combine([drug_block]).drug_vector("C1CC")


@pytest.mark.parametrize(
    ("blocks", "said"),
    [
        (
            [block("AB"), block("BC", of="drug")],
            r"table.parquet \(table, drug\): 'B' is described as genetic and as drug",
        ),
        ([block("A")], "describes 1 names; at least two"),
        ([FeatureBlock(("A", "B"), np.full((2, 3), 0.1), "table", "drug", "x.npz")], "x.npz.*says the same about all"),
        ([FeatureBlock(("A", "B"), np.full((2, 99), 0.1), "table", "drug", "x.npz")], "x.npz.*says the same about all"),
    ],
)
def test_what_says_nothing_or_two_things_is_refused(blocks: list[FeatureBlock], said: str) -> None:
    with pytest.raises(FeatureError, match=said):
        combine(blocks)


def test_features_can_be_made_from_stored_parts(drug_block: FeatureBlock) -> None:
    found = combine([drug_block])
    again = PerturbationFeatures(dict(found.types), found.matrix.copy(), found.origins)
    np.testing.assert_array_equal(again.drug_vector("CCO"), found.drug_vector("CCO"))


def test_the_digest_names_what_features_say_and_not_where_they_lie() -> None:
    found, elsewhere = combine([block("AB")]), combine([replace(block("AB"), file="another.parquet", licence="MIT")])
    assert found.digest() == elsewhere.digest()
    assert combine([block("AC")]).digest() != found.digest()
    assert combine([block("AB", seed=1)]).digest() != found.digest()
    assert combine([block("AB", of="cytokine")]).digest() != found.digest()
