"""The page: all parts of a report in one file of HTML."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

import jinja2
from markupsafe import Markup, escape

from screening.report.assets import policy, style, table_script
from screening.report.evidence_cards import SHOWN_CARDS, anchors, cards
from screening.report.further_questions import further_tables
from screening.report.hit_table import ROWS, packed, table_content
from screening.report.missing import missing
from screening.report.model_standing import model_standing
from screening.report.plots import plots
from screening.report.provenance import day, provenance
from screening.report.question import read_question
from screening.report.side_effects import COLUMNS as SIDE_EFFECT_COLUMNS
from screening.report.side_effects import side_effects
from screening.report.source import ReportSource
from screening.report.verdict import judge
from screening.report.wording import sentence


def render_page(source: ReportSource, most: int = ROWS) -> str:
    """Write the report of a screen.

    Parameters
    ----------
    source
        The published results.
    most
        Rows that the table holds, with all hits beyond.
    """
    styles, script = style("page.css", "report.css"), table_script("report.js")
    content = {
        "policy": policy([styles], [script]),
        "style": styles,
        "script": script,
        "title": source.campaign.manifest.get("campaign") or "Screen",
        "published": day(source.created),
        "question": read_question(source),
        "verdict": judge(source),
        "total": source.hits.height,
        "table": table_content(source, anchors(source), most),
        "plots": list(plots(source)),
        "cards": list(cards(source)),
        "shown_cards": SHOWN_CARDS,
        "further_tables": list(further_tables(source)),
        "side_effects": side_effects(source),
        "side_effect_columns": SIDE_EFFECT_COLUMNS,
        "model": model_standing(source),
        "missing": missing(source),
        "provenance": provenance(source),
    }
    return _render("report.html.jinja", content)


def _render(template: str, content: Mapping[str, Any]) -> str:
    environment = jinja2.Environment(
        loader=jinja2.PackageLoader("screening"),
        autoescape=True,
        trim_blocks=True,
        lstrip_blocks=True,
        undefined=jinja2.StrictUndefined,
        keep_trailing_newline=True,
    )
    environment.filters |= {"sentence": sentence, "code": _code, "packed": packed}
    return environment.get_template(template).render(content)


def _code(text: str) -> Markup:
    """Escape a text, and set what stands between backticks as code."""
    return Markup(re.sub(r"`([^`]+)`", r"<code>\1</code>", str(escape(text))))
