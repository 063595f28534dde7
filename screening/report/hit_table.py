"""The ranked table as the page holds it: columns of plain values, texts that repeat written once.

The page draws rows only when they are shown, so that 20,000 of them open at once.
"""

from __future__ import annotations

import base64
import gzip
import json
import math
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import polars as pl

from screening.deciding.decisions import HIT
from screening.report.source import ReportSource
from screening.report.verdict import decided
from screening.report.wording import context_names

ROWS = 20_000
"""Rows that a page holds by default: the best, and every hit."""
DIGITS = 4
POSTERIOR, MONTE_CARLO = "posterior", "monte_carlo"
_TEXTS = ("decision", "decision_reason", "perturbation", "perturbation_type", "support", "gate", "top_up", "top_down")
_NUMBERS = (
    *("rank", "rank_low", "rank_high", "score", "score_se", "score_sd", "q_value", "training_cells"),
    *("training_cells_all", "cells", "shards", "on_target_effect"),
)


def kept_rows(hits: pl.DataFrame, most: int) -> pl.DataFrame:
    """Keep the best ``most`` rows of a decided table, and all hits beyond."""
    place = pl.int_range(pl.len())
    return hits.filter((place < most) | (pl.col("decision") == HIT))


def interval_of(hits: pl.DataFrame) -> str:
    """Say which interval there is: of the effect behind a score, by the null, or of the score, by Monte Carlo."""
    there = "low_90" in hits.columns and not hits["low_90"].drop_nulls().is_empty()
    return POSTERIOR if there else MONTE_CARLO


def table_content(source: ReportSource, evidence: Mapping[tuple[str, str], str], most: int = ROWS) -> dict[str, Any]:
    """Return what the page's table is made of, as plain data.

    Parameters
    ----------
    source
        The results.
    evidence
        Perturbation and context → anchor of its evidence in the page.
    most
        Rows that are kept, with all hits beyond.

    Returns
    -------
    ``rows`` (how many), ``interval`` (which one), ``span`` (the axis of intervals) and ``columns``: a list of values,
    or ``{"values": texts, "codes": places}``.
    """
    hits = kept_rows(decided(source.hits), most)
    names = context_names(source.hits["context"])
    columns: dict[str, Any] = {name: _coded(hits[name].to_list()) for name in _TEXTS if name in hits.columns}
    columns |= {name: _rounded(hits[name]) for name in _NUMBERS if name in hits.columns}
    columns["context"] = _coded([names[label] for label in hits["context"]])
    columns["reason"] = _coded(hits["reason"].to_list())
    labels = hits.select("perturbation", "context").iter_rows()
    columns["evidence"] = _coded([evidence.get((name, label)) for name, label in labels])
    kind = interval_of(source.hits)
    intervals = _INTERVALS[kind]
    columns |= {name: _rounded(hits[column]) for name, column in intervals.items() if column in hits.columns}
    return {"rows": hits.height, "interval": kind, "span": _span(hits, intervals), "columns": columns}


_INTERVALS = {
    POSTERIOR: {"middle": "posterior_mean", "low": "low_90", "high": "high_90"},
    MONTE_CARLO: {"middle": "score", "low": "score_low", "high": "score_high"},
}


def _span(hits: pl.DataFrame, intervals: Mapping[str, str]) -> list[float]:
    """Return the axis that intervals are drawn on: all middles and 0; a long interval reaches out of it."""
    middles = list(_finite(hits, intervals["middle"]))
    return [min([0.0, *middles]), max([0.0, *middles])]


def _finite(hits: pl.DataFrame, column: str) -> Iterator[float]:
    if column in hits.columns:
        yield from (value for value in hits[column].drop_nulls() if math.isfinite(value))


def packed(content: Mapping[str, Any]) -> str:
    """Write the table as the page holds it: JSON, gzipped, in base64; the same table is the same text."""
    text = json.dumps(content, ensure_ascii=False, allow_nan=False, separators=(",", ":"))
    return base64.b64encode(gzip.compress(text.encode(), mtime=0)).decode()


def _coded(values: Sequence[str | None]) -> dict[str, Any]:
    """Write every different text once, and where it stands."""
    places: dict[str | None, int] = {}
    codes = [places.setdefault(value, len(places)) for value in values]
    return {"values": list(places), "codes": codes}


def _rounded(column: pl.Series) -> list[float | int | None]:
    if not column.dtype.is_float():
        return column.to_list()
    return [None if value is None or not math.isfinite(value) else float(f"{value:.{DIGITS}g}") for value in column]
