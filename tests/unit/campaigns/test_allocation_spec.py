import re
from typing import Any

import pytest
from pydantic import ValidationError

from campaigns.screen_spec import AllocationSpec, BudgetSpec, ScreenSpec


@pytest.mark.parametrize(
    ("content", "said"),
    [
        ({"kind": "certified"}, "needs `epsilon`, an indifference"),
        ({"kind": "uniform", "top": 10}, "has no part in kind: uniform"),
        ({"kind": "halving", "epsilon": 0.1}, "has no part in kind: halving"),
        ({"kind": "certified", "epsilon": 0.1, "factor": 3}, "has no part in kind: certified"),
        ({"kind": "halving", "first": 12}, "multiple of 8"),
        ({"kind": "halving", "factor": 1}, "greater than or equal to 2"),
        ({"kind": "certified", "epsilon": 0}, "greater than 0"),
        ({"kind": "lucky"}, "'uniform', 'halving' or 'certified'"),
    ],
)
def test_what_does_not_fit_is_refused(content: dict[str, Any], said: str) -> None:
    with pytest.raises(ValidationError, match=re.escape(said)):
        AllocationSpec(**content)


def test_what_was_written_out_in_full_is_read_again() -> None:
    for content in ({}, {"kind": "halving", "top": 9}, {"kind": "certified", "epsilon": 0.1}):
        spec = AllocationSpec(**content)
        assert AllocationSpec(**spec.model_dump()) == spec


def test_only_what_matters_is_part_of_the_choice() -> None:
    assert AllocationSpec().choice() is None
    assert AllocationSpec(kind="halving").choice() == {"kind": "halving", "top": 50, "first": 8, "factor": 4}
    certified = AllocationSpec(kind="certified", epsilon=0.1).choice()
    assert certified == {"kind": "certified", "top": 50, "first": 8, "epsilon": 0.1, "delta": 0.05}


@pytest.mark.parametrize("content", [{"money": 3}, {"price_per_hour": 3}])
def test_money_and_its_price_belong_together(content: dict[str, Any]) -> None:
    with pytest.raises(ValidationError, match="give both or neither"):
        BudgetSpec(**content)


SCREEN = {
    "kind": "screen",
    "name": "small",
    "model": "model",
    "contexts": "all_seen",
    "perturbations": {"genetic": "all_seen"},
    "objective": {"kind": "markers", "genes": ["A"], "direction": "up"},
    "output": "results",
}


def test_a_precision_is_a_choice_of_shards_with_a_cap() -> None:
    spec = ScreenSpec(**SCREEN, estimator={"precision": 0.02})
    assert spec.choice == {"kind": "precision", "precision": 0.02, "first": 8}
    assert spec.estimator.shards == 512
    assert ScreenSpec(**spec.model_dump()) == spec
    assert ScreenSpec(**SCREEN, estimator={"precision": 0.02, "shards": 64}).estimator.shards == 64
    assert ScreenSpec(**SCREEN).choice is None
    assert ScreenSpec(**SCREEN).estimator.shards == 8


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"estimator": {"precision": -0.02}}, "greater than 0"),
        ({"estimator": {"precision": 0}}, "greater than 0"),
        ({"estimator": {"precision": float("inf")}}, "finite number"),
        ({"estimator": {"precision": "0.02"}}, "valid number"),
        ({"estimator": {"precision": 0.02, "shards": 8}}, "nothing is left to estimator.precision: raise it"),
        ({"estimator": {"precision": 0.02, "store_cells": True}}, "variance_reduced draws no cells"),
        (
            {"estimator": {"precision": 0.02}, "allocation": {"kind": "halving"}},
            "and so does allocation.kind: halving; leave one of them out",
        ),
    ],
)
def test_a_precision_that_does_not_fit_is_refused(changes: dict[str, Any], said: str) -> None:
    with pytest.raises(ValidationError, match=re.escape(said)):
        ScreenSpec(**SCREEN, **changes)
