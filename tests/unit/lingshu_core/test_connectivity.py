import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from lingshu_core.connectivity import enrichment, weighted_connectivity

# Genes fall from first to last; by hand with the set {0, 2}: 4/6, then −1/3, then +2/6, then −1/3 twice.
PROFILE = np.array([[4.0, 3.0, 2.0, -1.0, -4.0]])


def of(*places: int) -> np.ndarray:
    return np.array(places, dtype=np.int64)


def test_enrichment_by_hand() -> None:
    assert enrichment(PROFILE, of(0, 2)) == pytest.approx([4 / 6])
    # {1, 4}: −1/3, +3/7, then −1/3 twice, so that the walk is lowest before the last gene.
    assert enrichment(PROFILE, of(1, 4)) == pytest.approx([-1 / 3 + 3 / 7 - 2 / 3])


def test_a_set_at_one_end_is_as_enriched_as_can_be() -> None:
    assert enrichment(PROFILE, of(0, 1)) == pytest.approx([1.0])
    assert enrichment(PROFILE, of(3, 4)) == pytest.approx([-1.0])


def test_a_set_in_the_middle_is_at_neither_end() -> None:
    assert enrichment(PROFILE, of(2)) == pytest.approx([0.0])


def test_a_perfect_match_its_opposite_and_both_lists_at_one_end() -> None:
    assert weighted_connectivity(PROFILE, of(0, 1), of(3, 4)) == pytest.approx([1.0])
    assert weighted_connectivity(PROFILE, of(3, 4), of(0, 1)) == pytest.approx([-1.0])
    assert weighted_connectivity(PROFILE, of(0), of(1)) == pytest.approx([0.0])


def test_one_list_alone_is_its_enrichment() -> None:
    assert weighted_connectivity(PROFILE, of(0, 2), of()) == pytest.approx([4 / 6])
    assert weighted_connectivity(PROFILE, of(), of(0, 2)) == pytest.approx([-4 / 6])


def test_nothing_looks_like_no_query() -> None:
    nothing = np.zeros((2, 5))
    assert weighted_connectivity(nothing, of(0, 1), of(3, 4)).tolist() == [0.0, 0.0]
    assert weighted_connectivity(nothing, of(0, 1), of()).tolist() == [0.0, 0.0]


def test_a_set_without_any_effect_in_a_profile_with_some() -> None:
    profile = np.array([[0.0, 0.0, 3.0, -3.0]])
    assert np.isfinite(enrichment(profile, of(0, 1))).all()


@given(st.integers(0, 1000), st.integers(1, 4), st.integers(1, 4))
def test_scores_are_bounded_antisymmetric_and_free_of_scale_and_order(seed: int, up: int, down: int) -> None:
    rng = np.random.default_rng(seed)
    profiles, genes = rng.normal(size=(3, 12)), rng.permutation(12)
    raised, lowered = genes[:up], genes[up : up + down]
    found = weighted_connectivity(profiles, raised, lowered)
    assert (np.abs(found) <= 1 + 1e-12).all()
    np.testing.assert_allclose(weighted_connectivity(profiles, lowered, raised), -found)
    np.testing.assert_allclose(weighted_connectivity(7 * profiles, raised, lowered), found)
    np.testing.assert_allclose(weighted_connectivity(-profiles, raised, lowered), -found, atol=1e-12)
    where = rng.permutation(12)  # gene i of the shuffled panel is gene where[i]
    place = np.argsort(where)
    np.testing.assert_allclose(weighted_connectivity(profiles[:, where], place[raised], place[lowered]), found)
