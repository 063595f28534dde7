from collections.abc import Callable

import polars as pl

from screening.answers.safety import COLUMNS, SAFETY
from screening.report.side_effects import side_effects
from screening.report.source import ReportSource


def safety(rows: list[dict[str, object]]) -> pl.DataFrame:
    schema = {name: kind for name, (kind, _) in COLUMNS.items()}
    return pl.DataFrame([{name: row.get(name) for name in schema} for row in rows], schema=schema)


def test_the_front_best_score_first(source: Callable[..., ReportSource]) -> None:
    label = {"context": "cell_type=T cells", "decision": "hit", "safety_reason": "under its limit"}
    rows = [
        label | {"perturbation": "A", "score": 0.1, "harm": 0.0, "safety": "safe", "is_on_front": True},
        label | {"perturbation": "B", "score": 0.5, "harm": 0.2, "safety": "unsafe", "is_on_front": True},
        label | {"perturbation": "C", "score": 0.4, "harm": 0.9, "safety": "unsafe", "is_on_front": False},
    ]
    found = side_effects(source(tables={SAFETY: safety(rows)}))
    assert found is not None
    assert found.lead.startswith("Of 3 hits: 1 safe, 2 unsafe.")
    assert [row[0] for row in found.rows] == ["B", "A"]
    assert found.rows[0][1:5] == ("T cells", "+0.500", "0.2", "unsafe")


def test_not_asked(source: Callable[..., ReportSource]) -> None:
    assert side_effects(source()) is None
