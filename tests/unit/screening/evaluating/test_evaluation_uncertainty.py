from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from lingshu_core.splits import Fold, Question, Split
from screening.evaluating.evaluation_uncertainty import group_by


@pytest.fixture
def split() -> Callable[..., Split]:
    """Make a split whose questions are in these cell types: `split("B", "T")`."""
    nobody = np.zeros(1, dtype=bool)

    def make(*values: str, factor: str | None = "cell_type") -> Split:
        questions = tuple(
            Question(
                f"A in {value}, {donor}", {"cell_type": value, "donor": donor}, (("A", None),), nobody, nobody, "A"
            )
            for value in values
            for donor in ("D1", "D2")
        )
        options = {"factor": factor} if factor else {}
        return Split("s", "combination", 0, (Fold("one", nobody, questions),), options=options)

    return make


@pytest.mark.parametrize(
    ("values", "factor", "by_perturbation", "groups"),
    [
        (("B", "T", "NK"), "cell_type", False, {"B", "T", "NK"}),
        (("B", "T", "NK"), "cell_type", True, {"A"}),
        (("B", "T"), "cell_type", False, {f"A in {value}, {donor}" for value in "BT" for donor in ("D1", "D2")}),
        (("B",), None, False, {"A in B, D1", "A in B, D2"}),
    ],
)
def test_what_was_held_out_as_one_counts_as_one(
    split: Callable[..., Split], values: Any, factor: str | None, by_perturbation: bool, groups: set[str]
) -> None:
    made = split(*values, factor=factor)
    name = group_by(made, by_perturbation)
    assert {name(question) for question in made.folds[0].questions} == groups
