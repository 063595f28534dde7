"""Write the tables of the docs that repeat what the code says: ``python docs/make_tables.py``.

A table stands in its page between two marks, ``<!-- NAME: begin -->`` and ``<!-- NAME: end -->``. A test compares.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from itertools import chain
from pathlib import Path
from typing import Any

import polars as pl

from screening.answers import dose_response, interactions, pan_context, patients, scaffolds, selective
from screening.answers.safety import COLUMNS as SAFETY_COLUMNS
from screening.answers.safety import PENALTY_COLUMNS
from screening.deciding.hits import COLUMNS as HIT_COLUMNS
from screening.following_up.comparison import COLUMNS as COMPARISON_COLUMNS
from screening.following_up.evidence_columns import CONDITION_COLUMNS, ITEM_COLUMNS
from screening.following_up.suggestions import COLUMNS as SUGGESTION_COLUMNS
from screening.watching.run_events import COMMON, EVENTS, Fields
from screening.watching.run_metrics import RUN_METRICS

FOLDER = Path(__file__).parent
Columns = Mapping[str, tuple[Any, str]]
Lines = Callable[[], Iterator[str]]

TYPES = {pl.Int64: "integer", pl.Float64: "number", pl.String: "text", pl.Boolean: "true or false"}
FIELD_TYPES = {str: "text", int: "integer", float: "number", list: "list", type(None): "null"}

LOG, STATED, TRAINED = "log1p counts per 10k", "as `score_unit` says", "as in training"
EFFECT, NULL_SD = "as `effect`", "null standard deviations"
SCALED = f"{LOG}; for other objectives as its meaning says"
STATED_IN_HITS = (
    *("score", "posterior_mean", "low_50", "high_50", "low_90", "high_90", "null_centre", "null_sd", "minimum_effect"),
    *("score_se", "score_low", "score_high", "score_sd", "allocation_low", "allocation_high"),
)
HIT_UNITS = {
    **dict.fromkeys(STATED_IN_HITS, STATED),
    **dict.fromkeys(("effect", "effect_se"), SCALED),
    **dict.fromkeys(("on_target_effect", "top_up", "top_down"), LOG),
    **dict.fromkeys(("genes_used", "prior_genes"), "genes"),
    **dict.fromkeys(("training_cells", "training_cells_all", "cells"), "cells"),
    **dict.fromkeys(("shards", "shards_drawn"), "shards"),
    "dose": TRAINED,
    "p_null": "probability",
    "e_value": "ratio, 1 or less expected without an effect",
    "q_value": "share of the hits",
    "null_blocks": "pseudo-perturbations",
    "members": "models",
    "depth_ratio": "ratio",
    "steps": "steps",
}
EVIDENCE_UNITS = {
    "feature_distance": "1 − cosine",
    **dict.fromkeys(("on_target_low", "on_target_high", "on_target_control", "low", "high", "sd"), LOG),
    **dict.fromkeys(("direct_links", "indirect_links", "genes"), "genes"),
    **dict.fromkeys(("claim", "claim_low", "claim_high", "claim_least"), EFFECT),
    **dict.fromkeys(("cells_least", "cells_most"), "cells"),
    "value": "as `unit`",
    "p": "probability",
    "q": "share of the sets",
    "rank_gain": "ranks",
    **dict.fromkeys(("score_a", "score_b", "score_change", "noise"), STATED),
    **dict.fromkeys(("minimum_effect_a", "minimum_effect_b"), STATED),
    "change_in_noise": "joint standard deviations",
    **dict.fromkeys(("q_value_a", "q_value_b"), "share of the hits"),
    **dict.fromkeys(("standing_a", "standing_b", "by_score", "by_null_centre", "by_null_sd"), NULL_SD),
}


def columns_table(columns: Columns, units: Mapping[str, str] | None = None) -> Lines:
    """Describe columns of a published table; without ``units`` a unit stands in the meaning."""

    def lines() -> Iterator[str]:
        yield from head("Column", "Type", *(() if units is None else ("Unit",)), "Meaning")
        for name, (kind, meaning) in columns.items():
            unit = () if units is None else (units.get(name, "–"),)
            yield row(f"`{name}`", TYPES[kind], *unit, meaning.replace("|", "\\|"))

    return lines


def events_table() -> Iterator[str]:
    """Describe the events of a run, those of each below its name."""
    yield from ("", "Every event has", "", *fields_table(COMMON))
    for event, fields in EVENTS.items():
        yield from ("", f"### `{event}`", "", *fields_table(fields))
    yield ""


def fields_table(fields: Fields) -> Iterator[str]:
    """Describe the fields of an event; a whole number is a number too."""
    yield from head("Field", "Type", "Meaning")
    for name, (kind, meaning) in fields.items():
        kinds = kind if isinstance(kind, tuple) else (kind,)
        told = " or ".join(FIELD_TYPES[each] for each in kinds if not (each is int and float in kinds))
        yield row(f"`{name}`", told, meaning)


def metrics_table() -> Iterator[str]:
    """Describe the metrics of a run."""
    yield from head("Metric", "Kind", "Unit", "Labels", "Meaning")
    for name, metric in RUN_METRICS.items():
        labels = "; ".join(f"`{label}`: {values}" for label, values in metric.labels)
        yield row(f"`{name}`", metric.kind, metric.unit, labels or "–", metric.meaning)


def head(*names: str) -> tuple[str, str]:
    """Return the two lines on top of a table."""
    return row(*names), "|" + "---|" * len(names)


def row(*fields: str) -> str:
    """Return a line of a table."""
    return f"| {' | '.join(fields)} |"


PENALTIES: Columns = {f"{name}[NAME]": about for name, about in PENALTY_COLUMNS.items()}
TABLES: Mapping[tuple[str, str], Lines] = {
    ("hit-table.md", "columns"): columns_table(HIT_COLUMNS, HIT_UNITS),
    ("across-contexts.md", "pan_context"): columns_table(pan_context.COLUMNS),
    ("across-contexts.md", "selective"): columns_table(selective.COLUMNS),
    ("across-contexts.md", "patients"): columns_table(patients.COLUMNS),
    ("doses.md", "doses"): columns_table(dose_response.COLUMNS),
    ("doses.md", "scaffolds"): columns_table(scaffolds.COLUMNS),
    ("combinations.md", "interactions"): columns_table(interactions.COLUMNS),
    ("safety.md", "columns"): columns_table(dict(chain(SAFETY_COLUMNS.items(), PENALTIES.items()))),
    ("suggest.md", "columns"): columns_table(SUGGESTION_COLUMNS),
    ("evidence.md", "conditions"): columns_table(CONDITION_COLUMNS, EVIDENCE_UNITS),
    ("evidence.md", "items"): columns_table(ITEM_COLUMNS, EVIDENCE_UNITS),
    ("comparing-campaigns.md", "comparison"): columns_table(COMPARISON_COLUMNS, EVIDENCE_UNITS),
    ("monitoring.md", "metrics"): metrics_table,
    ("watching-a-run.md", "events"): events_table,
}
"""Page and name of the marks → the lines between them."""


def written(page: str, name: str, lines: Iterator[str]) -> str:
    """Return the text of a page with these lines between the marks of that name."""
    begin, end = f"<!-- {name}: begin -->", f"<!-- {name}: end -->"
    before, _, rest = page.partition(begin)
    _, _, after = rest.partition(end)
    return f"{before}{begin}\n" + "\n".join(lines) + f"\n{end}{after}"


def main() -> None:
    """Write all tables anew."""
    for (page, name), lines in TABLES.items():
        path = FOLDER / page
        path.write_text(written(path.read_text(encoding="utf-8"), name, lines()), encoding="utf-8")


if __name__ == "__main__":
    main()
