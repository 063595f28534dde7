import numpy as np
import pytest

from lingshu_core.perturbation_features import FeatureOrigin, PerturbationFeatures
from screening.following_up.likeness import FeatureLikeness, correlations, largest


def test_correlations_are_those_of_numpy() -> None:
    effects = np.random.default_rng(0).normal(size=(5, 9)).astype(np.float32)
    assert correlations(effects, [1, 4]) == pytest.approx(np.corrcoef(effects)[[1, 4]], abs=1e-5)


def test_a_row_that_does_not_vary_is_like_nothing() -> None:
    effects = np.array([[1.0, 2.0, 3.0], [0.0, 0.0, 0.0], [3.0, 2.0, 1.0]])
    found = correlations(effects, [0])[0]
    assert np.isnan(found[1])
    assert [(each.name, each.value) for each in largest(found, ["a", "b", "c"], 5)] == [
        ("a", pytest.approx(1.0)),
        ("c", pytest.approx(-1.0)),
    ]


@pytest.fixture
def likeness() -> FeatureLikeness:
    """P and Q were trained, N was not; D is a drug, described by another block."""
    types = {"P": "genetic", "Q": "genetic", "N": "genetic", "D": "drug", "empty": "genetic"}
    matrix = np.array([[1, 0, 0], [0, 1, 0], [1, 1, 0], [0, 0, 1], [0, 0, 0]], dtype=np.float32)
    origin = FeatureOrigin("table", "genetic", "f", "", "", dimensions=3, names=5)
    trained = {"P": "genetic", "Q": "genetic", "D": "drug"}
    return FeatureLikeness(PerturbationFeatures(types, matrix, (origin,)), trained)


def test_the_nearest_are_trained_and_of_the_same_type(likeness: FeatureLikeness) -> None:
    found = likeness.nearest("N", "genetic", None, 5)
    assert [each.name for each in found] == ["P", "Q"]
    assert found[0].value == pytest.approx(np.sqrt(0.5))
    assert [each.name for each in likeness.nearest("P", "genetic", None, 5)] == ["Q"]
    assert len(likeness.nearest("N", "genetic", None, 1)) == 1


@pytest.mark.parametrize(("name", "kind"), [("unknown", "genetic"), ("empty", "genetic"), ("D", "drug")])
def test_what_has_no_features_or_no_company_has_no_neighbour(likeness: FeatureLikeness, name: str, kind: str) -> None:
    assert likeness.nearest(name, kind, None, 5) == []


def test_a_drug_is_known_by_its_structure() -> None:
    from lingshu_core.chemistry import fingerprints

    structures = ["CCO", "c1ccccc1"]
    matrix = fingerprints(structures, 64).astype(np.float32)
    origin = FeatureOrigin("smiles", "drug", "f", "", "", dimensions=64, names=2)
    drugs = {"ethanol": "drug", "benzene": "drug"}
    found = FeatureLikeness(PerturbationFeatures(drugs, matrix, (origin,)), drugs).nearest("NEW", "drug", "CCO", 2)
    assert (found[0].name, found[0].value) == ("ethanol", pytest.approx(1.0))
