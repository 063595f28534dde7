import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from lingshu_core.feature_traces import find_traces


def effects(seed: int = 0, perturbations: int = 30, genes: int = 200) -> np.ndarray:
    return (
        np.random.default_rng(seed).standard_t(4, (perturbations, genes))
        * np.linspace(0.1, 1.0, perturbations)[:, None]
    )


def test_a_column_that_is_an_effect_is_found_whatever_its_unit() -> None:
    measured = effects()
    features = np.random.default_rng(1).normal(size=(30, 5))
    features[:, 3] = np.exp(2.0 * measured[:, 77])
    found = find_traces(features, measured)
    assert found is not None
    assert [(column, gene) for column, gene, _ in found.columns] == [(3, 77)]
    assert found.are_effects


def test_principal_components_of_effects_are_found() -> None:
    measured = effects()
    left, sizes, _ = np.linalg.svd(measured - measured.mean(axis=0), full_matrices=False)
    found = find_traces(left[:, :16] * sizes[:16], measured)
    assert found is not None
    assert found.distances > 0.9
    assert found.are_effects


@given(st.integers(0, 500))
def test_features_that_know_nothing_are_let_pass(seed: int) -> None:
    random = np.random.default_rng(seed)
    kinds = {
        0: random.normal(size=(30, 20)),
        1: (random.random((30, 20)) < 0.2).astype(float),  # gene sets
        2: np.eye(30)[:, :20],
    }
    found = find_traces(kinds[seed % 3], effects(seed + 1))
    assert found is not None
    assert not found.are_effects


def test_a_constant_table_is_let_pass() -> None:
    found = find_traces(np.ones((30, 4)), effects())
    assert found is not None
    assert np.isnan(found.distances)
    assert not found.are_effects


@pytest.mark.parametrize("perturbations", [1, 7])
def test_of_few_perturbations_nothing_is_said(perturbations: int) -> None:
    measured = effects(perturbations=perturbations)
    assert find_traces(measured, measured) is None
