import polars as pl
import pytest

from screening.answers import pan_context, patients, selective

MODULES = {"pan_context": pan_context, "selective": selective, "patients": patients}


@pytest.mark.parametrize("name", MODULES)
def test_every_measured_number_has_a_unit(name: str) -> None:
    counts = (
        "contexts",
        "donors",
        "rank",
        "_q",
        "_p",
        "_z",
        "squared",
        "p_",
        "q_value",
        "rho",
        "correlation",
        "trained",
    )
    numbers = {column: text for column, (kind, text) in MODULES[name].COLUMNS.items() if kind == pl.Float64}
    assert not [c for c, text in numbers.items() if "score_unit" not in text and not any(word in c for word in counts)]
