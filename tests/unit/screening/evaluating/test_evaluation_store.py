from dataclasses import replace

import numpy as np
import pytest

from lingshu_core.score_table import ScoreRows
from screening.errors import BlockError
from screening.evaluating.evaluation_store import UnitResult, decode_unit, encode_unit


@pytest.fixture
def unit() -> UnitResult:
    rows = ScoreRows("fold")
    rows.add("wmse", "A in B cells", 0.5)
    rows.add("pds_l1", "A in B cells", None, "1 perturbation")
    effects = np.arange(6, dtype=np.float32).reshape(2, 3)
    return UnitResult(
        labels=("A in B cells", "C in B cells"),
        effects=effects,
        errors=effects / 10,
        scores=rows.scores(),
        unanswered={"D in B cells": "never seen"},
        facts={"paths": "tilt", "epochs": 3},
    )


def test_a_unit_is_read_back_the_same(unit: UnitResult) -> None:
    found = decode_unit(encode_unit(unit))
    assert found.labels == unit.labels
    assert found.scores.values.equals(unit.scores.values)
    assert found.scores.left_out.equals(unit.scores.left_out)
    assert (found.unanswered, found.facts) == (unit.unanswered, unit.facts)
    np.testing.assert_array_equal(found.effect("C in B cells"), [3, 4, 5])
    np.testing.assert_allclose(found.error("A in B cells"), [0, 0.1, 0.2], rtol=1e-6)


def test_answers_without_monte_carlo_error_keep_none(unit: UnitResult) -> None:
    exact = replace(unit, errors=np.zeros((0, 3), dtype=np.float32))
    np.testing.assert_array_equal(decode_unit(encode_unit(exact)).error("C in B cells"), np.zeros(3))


def test_equal_units_have_equal_bytes(unit: UnitResult) -> None:
    assert encode_unit(unit) == encode_unit(decode_unit(encode_unit(unit)))


@pytest.mark.parametrize("damage", [b"", b"{}", b"\x08\x00\x00\x00\x00\x00\x00\x00{}      "])
def test_bytes_of_something_else_are_refused(damage: bytes) -> None:
    with pytest.raises(BlockError, match="not a unit of an evaluation"):
        decode_unit(damage)
