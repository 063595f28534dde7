import numpy as np
import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from screening.answers.connectivity_table import COLUMNS, connectivity_table, normalised, signed_percentiles
from screening.deciding.hits import COLUMNS as HIT_COLUMNS


def hits(**columns: list[object]) -> pl.DataFrame:
    schema = {name: kind for name, (kind, _) in HIT_COLUMNS.items()}
    return pl.DataFrame(columns, schema_overrides=schema)


def test_tau_by_hand() -> None:
    table = connectivity_table(
        hits(
            rank=[1, 2, 3, 4, 5, None],
            status=["done"] * 5 + ["failed"],
            perturbation=list("ABCDEF"),
            context=["T", "T", "B", "T", "T", "T"],
            score=[0.8, 0.4, 0.3, 0.0, -0.2, None],
            score_se=[0.1] * 5 + [None],
        )
    )
    assert table.schema == {name: kind for name, (kind, _) in COLUMNS.items()}
    assert table["perturbation"].to_list() == list("ABCDE")
    # Positive scores of T have the mean .6, the negative one is its own mean: sizes 1.33, .67, 0 and 1.
    assert table["ncs"].to_list() == pytest.approx([0.8 / 0.6, 0.4 / 0.6, 1.0, 0.0, -1.0])
    assert table["tau"].to_list() == [100.0, pytest.approx(100 / 3), None, 0.0, pytest.approx(-200 / 3)]
    assert table["compendium"].to_list() == [3, 3, 0, 3, 3]


def test_no_condition_is_an_empty_table() -> None:
    empty = hits(rank=[None], status=["failed"], perturbation=["A"], context=["T"], score=[None], score_se=[None])
    assert connectivity_table(empty).schema == {name: kind for name, (kind, _) in COLUMNS.items()}
    assert connectivity_table(empty).is_empty()


@given(st.lists(st.floats(-1, 1), min_size=2, max_size=30))
def test_percentiles_have_the_sign_and_the_order_of_sizes(scores: list[float]) -> None:
    values = np.array(scores)
    tau = signed_percentiles(values, values, len(values) - 1)
    assert (np.abs(tau) <= 100).all()
    assert (tau * values >= 0).all()
    order = np.argsort(np.abs(values), kind="stable")
    assert (np.diff(np.abs(tau)[order]) >= 0).all()
    np.testing.assert_array_equal(signed_percentiles(-values, values, len(values) - 1), -tau)
    assert np.sign(normalised(values, values)).tolist() == np.sign(values).tolist()


def test_tau_among_reference_profiles_is_the_same_in_every_screen() -> None:
    rows = {"rank": [1, 2], "status": ["done"] * 2, "perturbation": ["A", "B"], "context": ["T", "B"]}
    table = connectivity_table(
        hits(**rows, score=[0.5, -0.3], score_se=[0.1, 0.1]), compendium=np.array([0.2, 0.6, 0.0, 0.4, -0.1])
    )
    # Means of the signs are .4 and .1: sizes .5, 1.5, 0, 1 and 1 of the compendium, 1.25 and 3 of the conditions.
    assert table["ncs"].to_list() == pytest.approx([1.25, -3.0])
    assert table["tau"].to_list() == [80.0, -100.0]
    assert table["compendium"].to_list() == [5, 5]
