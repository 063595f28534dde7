import re
from collections.abc import Mapping
from typing import Any

import polars as pl
import pytest

from screening.answers import dose_response, interactions, scaffolds


@pytest.mark.parametrize("columns", [dose_response.COLUMNS, interactions.COLUMNS, scaffolds.COLUMNS])
def test_every_measured_number_says_its_unit(columns: Mapping[str, tuple[Any, str]]) -> None:
    plain = {"slope", "monotone_p", "flat_p", "hit_share", "odds_ratio", "p_fisher", "q_value"}
    plain |= {"expected_bliss", "interaction_bliss"}  # shares, or empty
    numbers = {name for name, (kind, _) in columns.items() if kind is pl.Float64}
    measured = {
        re.sub("_(low|high|se|sd)$", "", name) for name in numbers
    } - plain  # an interval has the unit of its mean
    units = ("`score_unit`", "units of the training data")
    assert not {name for name in measured if not any(unit in columns[name][1] for unit in units)}
