from collections.abc import Callable, Mapping
from typing import Any

import polars as pl
import pytest

from screening.answers import interactions, pan_context, patients, selective
from screening.answers.across_contexts import PAN_CONTEXT, PATIENTS, SELECTIVE
from screening.report.further_questions import MOST_ROWS, further_tables
from screening.report.page import render_page
from screening.report.source import ReportSource

Columns = Mapping[str, tuple[Any, str]]


def table(columns: Columns, *rows: dict[str, Any]) -> pl.DataFrame:
    schema = {name: kind for name, (kind, _) in columns.items()}
    return pl.DataFrame([{name: row.get(name) for name in schema} for row in rows], schema=schema)


@pytest.fixture
def tables(hostile: str) -> dict[str, pl.DataFrame]:
    """A campaign that asked all of it."""
    pan = {"perturbation": "A", "decision": "pan", "pooled_effect": 0.5, "pooled_low": 0.4, "pooled_high": 0.6}
    here = {"context": "B cells", "decision": "selective", "difference": 0.25, "decision_reason": "much more here"}
    donor = {"donor": "d1", "perturbation": "A", "cells": "B", "decision": "hit", "shared": "one"}
    pair = {"perturbation": "A+B", "context": "cell_type=B cells", "class": "antagonism", "score": 0.5}
    return {
        PAN_CONTEXT: table(
            pan_context.COLUMNS,
            pan | {"rank": 2, "decision": "not", "perturbation": "B"},
            pan | {"rank": 1},
        ),
        SELECTIVE: table(selective.COLUMNS, here | {"rank": 1, "perturbation": hostile}),
        PATIENTS: table(
            patients.COLUMNS,
            donor | {"above_null": 0.1},
            donor | {"above_null": 0.9, "donor": "d2"},
            donor | {"above_null": 2.0, "donor": "d3", "decision": "not", "shared": None},
        ),
        interactions.INTERACTIONS: table(
            interactions.COLUMNS,
            *(pair | {"interaction": -0.9, "expected": 1.4} for _ in range(MOST_ROWS + 2)),
        ),
    }


def test_each_table_that_there_is_is_shown(
    source: Callable[..., ReportSource], tables: dict[str, pl.DataFrame]
) -> None:
    pan, here, donors, pairs = further_tables(source(tables=tables))
    assert pan.lead.startswith("Of 2 perturbations: ")
    assert [row[:3] for row in pan.rows] == [
        ("A", "pan", "+0.500 (+0.400 to +0.600)"),
        ("B", "not", "+0.500 (+0.400 to +0.600)"),
    ]
    assert here.rows[0][1:] == ("B cells", "selective", "+0.250", "much more here")
    assert [row[1] for row in donors.rows] == ["d2", "d1"], "hits, the best first"
    assert "2 one" in donors.lead
    assert (len(pairs.rows), pairs.more) == (MOST_ROWS, 2)
    assert pairs.rows[0][:6] == ("A+B", "B cells", "antagonism", "+0.500", "+1.400", "−0.900")


def test_the_page_has_a_section_for_each(
    source: Callable[..., ReportSource], tables: dict[str, pl.DataFrame], hostile: str
) -> None:
    page = render_page(source(tables=tables))
    for name in ("pan-context", "selective", "patients", "interactions"):
        assert f'<section id="{name}"' in page
        assert f'href="#{name}"' in page
    assert hostile not in page
    assert "And 2 more in <code>interactions.parquet</code>" in page


def test_not_asked(source: Callable[..., ReportSource]) -> None:
    assert list(further_tables(source())) == []
    assert 'id="selective"' not in render_page(source())
