"""A plan for the terminal: compact tables, and what it is expected to take."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator

from rich.table import Table
from rich.text import Text

from campaigns.findings import between
from screening.planning.block_rates import Expectation
from screening.planning.plan_view import ContextRow, PlanView, gates_measured

MOST_CONTEXTS, MOST_REASONS, MOST_NAMES = 20, 8, 4
_COLUMNS = {
    "control_cells": "control cells",
    "seen": "seen",
    "elsewhere": "elsewhere",
    "parts": "parts",
    "features_only": "features",
    "blocks": "blocks",
    "there": "there",
    "cells": "cells",
    "passes": "passes",
}


def describe_view(view: PlanView, campaign: str) -> Iterator[Table | str]:
    """Give the tables and lines that show a plan; `campaign` is its file."""
    yield _headline(view)
    yield _grid(view)
    yield (
        "seen: training cells of the perturbation in this context; elsewhere: in other contexts only; parts: of its"
        " parts only; features: a part or the context was never seen"
    )
    if view.left_out:
        yield _refusals(view)
    yield _expected(view, campaign)


def _headline(view: PlanView) -> str:
    types = ", ".join(
        f"{row.names:,} {row.type}" + (f" × {row.doses} doses" if row.doses > 1 else "") for row in view.types
    )
    null = f" + {view.null:,} of the null" if view.null else ""
    perturbations = sum(row.perturbations for row in view.types)
    contexts = len(view.contexts)
    return (
        f"grid: {contexts:,} context{'s' * (contexts != 1)} × ({perturbations:,} perturbation"
        f"{'s' * (perturbations != 1)} [{types}]{null} + control) = {view.totals['conditions']:,} conditions"
    )


def _grid(view: PlanView) -> Table:
    table = Table(header_style="bold", box=None, pad_edge=False)
    shown = [name for name in _COLUMNS if name in ("control_cells", "seen") or view.totals.get(name)]
    table.add_column("context", overflow="fold")
    for name in shown:
        table.add_column(_COLUMNS[name], justify="right")
    gates = gates_measured(view.contexts)
    if gates:
        table.add_column("gate")
    for row in view.contexts[:MOST_CONTEXTS]:
        table.add_row(Text(row.context), *_numbers(row, shown), *([row.gate] if gates else []))
    if len(view.contexts) > MOST_CONTEXTS:
        table.add_row(f"and {len(view.contexts) - MOST_CONTEXTS:,} contexts more; --json has all")
    if len(view.contexts) > 1:
        totals = ["" if name == "control_cells" else f"{view.totals[name]:,}" for name in shown]
        table.add_row(Text("together", "bold"), *totals)
    return table


def _numbers(row: ContextRow, names: list[str]) -> list[str]:
    return [f"{getattr(row, name):,}" for name in names]


def _refusals(view: PlanView) -> Table:
    table = Table(
        title=f"refused: {len(view.left_out):,}", title_justify="left", header_style="bold", box=None, pad_edge=False
    )
    table.add_column("what")
    table.add_column("which", overflow="fold")
    table.add_column("why", overflow="fold")
    reasons = Counter((each.kind, each.reason) for each in view.left_out)
    for (kind, reason), count in reasons.most_common(MOST_REASONS):
        names = [each.name for each in view.left_out if (each.kind, each.reason) == (kind, reason)]
        more = f" and {count - MOST_NAMES} more" if count > MOST_NAMES else ""
        table.add_row(f"{count:,} {kind}", Text(between(names).join(names[:MOST_NAMES]) + more), Text(reason))
    if len(reasons) > MOST_REASONS:
        table.add_row("", f"and {len(reasons) - MOST_REASONS:,} reasons more; --json has all")
    return table


def _expected(view: PlanView, campaign: str) -> str:
    if not view.status.blocks - view.status.committed:
        return "expected: nothing to compute, every block is there"
    if view.expectation is None:
        return (
            "expected: not known, nothing was measured here yet;"
            f" `lingshu plan {campaign} --pilot` computes a few blocks with one replica and measures"
        )
    return "\n".join((_told(view.expectation), *view.expectation.warnings))


def _told(expected: Expectation) -> str:
    count = _range(expected.blocks, lambda each: f"{each:,.0f}")
    replicas = f"{expected.replicas:,} replica{'s' * (expected.replicas != 1)}"
    parts = [f"{_range(expected.seconds, duration)} for {count} blocks on {replicas}"]
    if expected.gpu_hours is not None:
        parts.append(f"{_range(expected.gpu_hours, _short)} GPU hours")
    if expected.money is not None:
        parts.append(f"cost {_range(expected.money, _short)}")
    else:
        parts.append(f"{_range(expected.replica_hours, _short)} replica hours (budget.price_per_hour gives the cost)")
    block = _range(expected.block_seconds, lambda each: f"{each:.3g}")
    return f"expected: {', '.join(parts)}\n  measured: {block} s a block, {expected.source}"


def _range(ends: tuple[float, float], written: Callable[[float], str]) -> str:
    low, high = (written(each) for each in ends)
    return low if low == high else f"{low} to {high}"


def _short(value: float) -> str:
    return f"{value:.2g}" if value < 10 else f"{value:,.0f}"


def duration(seconds: float) -> str:
    """Write a time for people: ``40 s``, ``12 min``, ``3.5 h``, ``4 d``."""
    for unit, size in (("d", 86_400), ("h", 3600), ("min", 60)):
        if seconds >= 2 * size:
            return f"{seconds / size:.2g} {unit}" if seconds < 10 * size else f"{seconds / size:,.0f} {unit}"
    return f"{seconds:.2g} s" if seconds < 10 else f"{seconds:,.0f} s"
