from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from lingshu_core.chemistry import (
    canonical_smiles,
    fingerprints,
    morgan_bits,
    murcko_scaffold,
    scaffold_folds,
    tanimoto,
)
from lingshu_core.errors import FeatureError

ASPIRIN = "CC(=O)Oc1ccccc1C(=O)O"
SMILES = [ASPIRIN, "Cn1cnc2c1c(=O)n(C)c(=O)n2C", "CCO", "c1ccccc1CCN", "CCCCCCO", "OC(=O)c1ccccc1O"]


@pytest.mark.parametrize(
    ("written", "same"),
    [
        ("O=C(O)c1ccccc1OC(C)=O", ASPIRIN),
        ("[Na+].CC(=O)Oc1ccccc1C(=O)[O-]", ASPIRIN),
        ("NCCc1ccccc1.Cl", "NCCc1ccccc1"),
        ("[NH3+]CCc1ccccc1.[Cl-]", "NCCc1ccccc1"),
        ("[H]OCC", "CCO"),
        (" CCO ", "CCO"),
        ("CCO |$;;$|", "CCO"),
    ],
)
def test_one_structure_however_it_is_written(written: str, same: str) -> None:
    assert canonical_smiles(written) == canonical_smiles(same)
    np.testing.assert_array_equal(morgan_bits([written]), morgan_bits([same]))


def test_a_chain_that_would_take_minutes_is_refused_at_once() -> None:
    assert canonical_smiles("CCO " + "name" * 1000) == "CCO"
    with pytest.raises(FeatureError, match=r"has 1,001 characters, and at most 1,000 are read: it is no small"):
        canonical_smiles("C" * 1001)


@pytest.mark.parametrize(
    ("smiles", "said"),
    [
        ("", "is empty"),
        ("   ", "is empty"),
        ("C1CC", "'C1CC' is no valid SMILES: it can't be parsed"),
        ("not a molecule", "no valid SMILES"),
        ("C(C)(C)(C)(C)C", "no valid SMILES: Explicit valence for atom # 0 C, 5"),
        ("c1cccc1", "no valid SMILES: Can't kekulize"),
        ("C" * 200 + "(", "C'… is no valid SMILES"),
    ],
)
def test_what_is_no_molecule_is_refused_quietly(smiles: str, said: str, capfd: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(FeatureError) as caught:
        canonical_smiles(smiles)
    assert said in str(caught.value)
    output = capfd.readouterr()
    assert output.out + output.err == ""


def test_fingerprints_have_the_norm_one() -> None:
    found = fingerprints(SMILES, 512)
    assert found.shape == (len(SMILES), 512)
    np.testing.assert_allclose(np.linalg.norm(found, axis=1), 1.0)
    assert set(np.unique(morgan_bits(SMILES))) == {0, 1}


@given(st.integers(0, 1000))
def test_tanimoto_is_a_similarity(seed: int) -> None:
    bits = (np.random.default_rng(seed).random((5, 12)) < 0.4).astype(np.uint8)
    found = tanimoto(bits, bits)
    np.testing.assert_allclose(found, found.T)
    assert ((found >= 0) & (found <= 1)).all()
    assert all(found[i, i] == (1.0 if bits[i].any() else 0.0) for i in range(5))


def test_tanimoto_counts_shared_bits() -> None:
    first, second = np.array([[1, 1, 0, 0]], dtype=np.uint8), np.array([[1, 0, 1, 0], [0, 0, 0, 1]], dtype=np.uint8)
    np.testing.assert_allclose(tanimoto(first, second), [[1 / 3, 0.0]])


def test_scaffolds_are_rings_and_linkers() -> None:
    assert murcko_scaffold(ASPIRIN) == murcko_scaffold("NCCc1ccccc1.Cl") == "c1ccccc1"
    assert murcko_scaffold("CCCCO") == ""
    assert murcko_scaffold("C[C@@H]1CCCN1") == murcko_scaffold("C[C@H]1CCCN1")


@given(seed=st.integers(0, 20), folds=st.integers(1, 4))
def test_no_scaffold_is_in_two_folds(seed: int, folds: int) -> None:
    found = scaffold_folds(SMILES, folds, seed)
    assert set(found) == set(range(folds))
    rings = [murcko_scaffold(one) for one in SMILES]
    for scaffold in set(rings) - {""}:
        assert len({fold for fold, ring in zip(found, rings, strict=True) if ring == scaffold}) == 1


def test_more_folds_than_scaffolds_are_refused() -> None:
    with pytest.raises(FeatureError, match="2 scaffolds can't be split into 3 folds"):
        scaffold_folds(["CCO", "OCC", "c1ccccc1"], 3)
