"""Which contexts a first screen goes through."""

from typing import Any

import pandas as pd
import pytest

from screening.drafting.screened_contexts import choose_screened

GROUPS = {"groups": 20}


def cells(controls: dict[tuple[str, str], int], perturbations: int = 1) -> pd.DataFrame:
    """Give contexts (cell type, donor) as many controls as are named, and a cell of each perturbation."""
    rows = [(*context, "control") for context, count in controls.items() for _ in range(count)]
    rows += [(*context, f"P{number}") for context in controls for number in range(perturbations)]
    return pd.DataFrame(rows, columns=["cell_type", "donor", "perturbation"])


def many(each: int, **large: int) -> dict[tuple[str, str], int]:
    """Two cell types of eight donors with the same number of controls; `large` names donors of B that have others."""
    sizes = {(kind, f"d{donor}"): each for kind in "AB" for donor in range(8)}
    return sizes | {("B", donor): count for donor, count in large.items()}


@pytest.mark.parametrize(
    ("controls", "perturbations", "null"),
    [
        pytest.param(many(10), 1, {}, id="no null"),
        pytest.param(many(10), 20, GROUPS, id="as many perturbations as groups"),
        pytest.param(many(40), 1, GROUPS, id="a cell for each group"),
        pytest.param(many(4), 1, GROUPS, id="nothing to screen"),
    ],
)
def test_all_contexts_are_screened_where_that_is_no_waste(
    controls: dict[tuple[str, str], int], perturbations: int, null: dict[str, Any]
) -> None:
    found = choose_screened(cells(controls, perturbations), ("cell_type", "donor"), "control", null)
    assert (found.factors, found.values, found.why) == (("cell_type", "donor"), (), "")


def test_the_last_factor_is_averaged_over_where_contexts_are_small() -> None:
    found = choose_screened(cells(many(10)), ("cell_type", "donor"), "control", GROUPS)
    assert (found.factors, found.values) == (("cell_type",), ())
    assert "of 16 contexts that could be screened, 16 have fewer than 40 control cells" in found.why
    assert "91% of the work" in found.why
    assert found.decided(("cell_type", "donor")) == "the screen averages over donor"


def test_of_a_single_factor_the_values_with_enough_controls_are_taken() -> None:
    controls = {(kind, "d"): size for kind, size in zip("ABCDE", (100, 39, 39, 39, 40), strict=True)}
    found = choose_screened(cells(controls), ("cell_type",), "control", GROUPS)
    assert (found.factors, found.values) == (("cell_type",), ("A", "E"))
    assert found.decided(("cell_type",)) == "2 of the values of cell_type are screened"


def test_groups_by_guide_are_counted() -> None:
    table = cells(many(10)).assign(guide=lambda each: [f"g{place % 3}" for place in range(len(each))])
    found = choose_screened(table, ("cell_type", "donor"), "control", {"by": ["guide"]})
    assert found.why == ""  # three groups: ten controls have a cell for each
