"""A small decided table with a null, for all plots."""

from collections.abc import Callable

import polars as pl
import pytest


@pytest.fixture
def decided(decided_screen: Callable[..., tuple[pl.DataFrame, pl.DataFrame]]) -> tuple[pl.DataFrame, pl.DataFrame]:
    """The ranked table and the null: a strong hit in both contexts, one in T alone, nothing much, and a failure."""
    scores = {
        "STRONG": {"cell_type=T": 0.9, "cell_type=B": 0.8},
        "$one$": {"cell_type=T": 0.7, "cell_type=B": 0.02},
        "WEAK": {"cell_type=T": -0.01, "cell_type=B": 0.01},
        "BROKEN": {"cell_type=T": None},
    }
    facts = {"estimator": "variance_reduced", "steps": 6, "schedule": "geometric", "guidance": 0.5, "paths": "direct"}
    return decided_screen(scores, own=0.01, **facts)
