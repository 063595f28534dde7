"""How far the model behind a screen is to be trusted: its gates, and the limits that its card tells."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import polars as pl

from screening.models.card_text import privacy_lines, verdict_counts
from screening.report.source import ReportSource
from screening.report.wording import context_names, count, listed

_WORST_FIRST = ("fail", "warn", "undecided", "not measured", "pass")


@dataclass(frozen=True)
class CardSummary:
    """A model's card in a few lines, or why there is none to show."""

    folder: str
    reason: str = ""
    limits: tuple[str, ...] = ()
    facts: tuple[tuple[str, str], ...] = ()


@dataclass(frozen=True)
class ModelStanding:
    """Gates by context, each with how many conditions have it; and the cards."""

    gates: tuple[tuple[str, tuple[tuple[str, int], ...]], ...]
    cards: tuple[CardSummary, ...]


def model_standing(source: ReportSource) -> ModelStanding:
    """Say how far the model is to be trusted."""
    cards = tuple(_card(folder, found.content, found.reason) for folder, found in source.cards.items())
    return ModelStanding(tuple(_gates(source)), cards)


def _gates(source: ReportSource) -> Iterator[tuple[str, tuple[tuple[str, int], ...]]]:
    if "gate" not in source.hits.columns:
        return
    names = context_names(source.hits["context"])
    gates = source.hits.select("context", pl.col("gate").fill_null("not measured"))
    counted: dict[str, dict[str, int]] = {}
    for context, gate, amount in gates.group_by("context", "gate").len().sort("context", "gate").iter_rows():
        counted.setdefault(names[context], {})[gate] = amount
    for context, found in counted.items():
        yield context, tuple((gate, found[gate]) for gate in _WORST_FIRST if gate in found)


def _card(folder: str, content: Mapping[str, Any] | None, reason: str) -> CardSummary:
    if content is None:
        return CardSummary(folder, reason)
    return CardSummary(folder, "", tuple(map(str, content.get("limits") or ())), tuple(_facts(content)))


def _facts(content: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    if content["gates"]:
        yield "Gates", verdict_counts(content["gates"])
    if content["privacy"]:
        yield "Privacy", "; ".join(privacy_lines(content["privacy"]))
    if content["scores"]:
        yield "Evaluation", str(content["scores"]["verdict"])
    data = content.get("data")
    if data:
        held = listed([str(match) for match in data["held_out"]]) or "nothing"
        yield "Data", f"{count(data['cells'], 'cell')}, {count(data['genes'], 'gene')}; held out: {held}"
        yield "Licence", f"{data['licence']}; source: {data['source']}"
