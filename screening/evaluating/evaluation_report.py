"""The report of an evaluation: one page, as Markdown with its pictures beside it, and as HTML with them inside.

Both are made of the same content, so neither says what the other doesn't. Nothing is fetched from anywhere.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import jinja2
from markupsafe import Markup

from screening.evaluating.evaluation_sections import Findings, sections
from screening.report.assets import policy, style

RULE = (
    "A model earns its place if it is better than every baseline that was run, in at least one of the deciding metrics,"
    " and worse in none. Intervals are 95 % bootstrap intervals over {units}; where the interval of a paired difference"
    " crosses zero the answer is undecided, and undecided counts for nobody."
)


def render_report(findings: Findings) -> tuple[str, str]:
    """Write the report; returns Markdown and HTML."""
    content = {
        "title": f"Evaluation {findings.name}",
        "verdicts": [verdict.words for verdict in findings.verdicts],
        "rule": RULE.format(units="perturbations" if findings.unit == "perturbation" else "conditions"),
        "asked": findings.asked,
        "sections": list(sections(findings)),
    }
    styles = style("page.css", "evaluation.css")
    look = {"style": styles, "policy": policy([styles])}
    return _render("evaluation.md.jinja", content), _render("evaluation.html.jinja", {**content, **look})


def _render(template: str, content: Mapping[str, Any]) -> str:
    environment = jinja2.Environment(
        loader=jinja2.PackageLoader("screening"),
        autoescape=template.endswith(".html.jinja"),
        trim_blocks=True,
        lstrip_blocks=True,
        undefined=jinja2.StrictUndefined,
        keep_trailing_newline=True,
    )
    environment.filters |= {"cell": _markdown_cell, "kind": _cell_kind}
    return environment.get_template(template).render(content)


def _markdown_cell(text: str) -> str:
    return text.replace("|", "\\|").replace("\n", " ")


def _cell_kind(text: str) -> Markup:
    """Tell numbers, which stand to the right, from words, which may be broken."""
    if text[:1].isdigit() or text[:2].lstrip("-+−")[:1].isdigit():
        return Markup(' class="number"')
    return Markup(' class="words"') if len(text) > 40 else Markup("")
