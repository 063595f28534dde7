"""What a notebook shows of a screen, a plan and a page of evidence; every text is escaped, names come from people."""

from __future__ import annotations

import io
from collections.abc import Iterable
from html import escape
from typing import TYPE_CHECKING, Any

from rich.console import Console, RenderableType

if TYPE_CHECKING:
    from screening.notebook.opened_screen import Screen

ROWS = 10
_COLUMNS = ("rank", "perturbation", "context", "score", "score_se", "q_value", "decision")
_NOTE = "Predicted. q is the FDR under the model, and says nothing of cells in a dish."
_WIDTH = 110


def screen_html(screen: Screen) -> str:
    """Return question, counts and the best rows of a screen."""
    hits = screen.hits()
    shown = [name for name in _COLUMNS if name in hits.columns]
    head = "".join(f"<th>{escape(name)}</th>" for name in shown)
    rows = "".join(
        "<tr>" + "".join(f"<td>{escape(_written(row[name]))}</td>" for name in shown) + "</tr>"
        for row in hits.head(ROWS).iter_rows(named=True)
    )
    title = escape(str(screen.provenance.get("campaign", "")))
    return (
        f"<div><b>{title}</b>: {escape(screen.question)}<br>{escape(screen.counts)}; <code>{escape(screen.url)}</code>"
        f"<table><thead><tr>{head}</tr></thead><tbody>{rows}</tbody></table><small>{_NOTE}</small></div>"
    )


def _written(value: Any) -> str:
    if value is None:
        return ""
    return f"{value:.3g}" if isinstance(value, float) else str(value)


def text_html(text: str) -> str:
    """Return plain lines as they are."""
    return f'<pre style="white-space:pre-wrap">{escape(text)}</pre>'


def rich_html(parts: Iterable[RenderableType]) -> str:
    """Return what the command line would print."""
    console = Console(
        record=True, width=_WIDTH, file=io.StringIO(), force_terminal=False, markup=False, highlight=False
    )
    for part in parts:
        console.print(part)
    return console.export_html(inline_styles=True, code_format='<pre style="white-space:pre">{code}</pre>')
