"""Write `board.json`, the Grafana board of a run: ``python deploy/monitoring/make_board.py``."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

BOARD = Path(__file__).parent / "board.json"
SCHEMA_VERSION = 39
"""Of Grafana 11; later ones read it and bring it up to date."""
WIDTH = 24
SOURCE = {"type": "prometheus", "uid": "${source}"}
OURS = '{campaign=~"$campaign"}'
PER_SECOND = "[$__rate_interval]"


@dataclass(frozen=True)
class Panel:
    """A picture of some queries: legend → PromQL."""

    title: str
    queries: Mapping[str, str]
    unit: str
    description: str
    kind: str = "timeseries"
    width: int = 8
    height: int = 8
    stacked: bool = False
    defaults: Mapping[str, Any] = field(default_factory=dict)


def rate(name: str, by: str = "campaign", more: str = "") -> str:
    """Write what a counter gains in a second."""
    labels = f'{{campaign=~"$campaign"{more}}}'
    return f"sum by ({by}) (rate({name}{labels}{PER_SECOND}))"


def quantile(share: float, name: str) -> str:
    """Write a quantile of a histogram."""
    return f"histogram_quantile({share}, {rate(f'{name}_bucket', 'campaign, le')})"


def quantiles(name: str) -> dict[str, str]:
    """Write the usual quantiles of a histogram."""
    return {f"{{{{campaign}}}} p{int(100 * share)}": quantile(share, name) for share in (0.5, 0.95)}


def share_complete() -> str:
    """Write the share of conditions that are complete."""
    complete = 'sum by (campaign) (lingshu_conditions{campaign=~"$campaign",status=~"done|cached"})'
    return f"{complete} / sum by (campaign) (lingshu_conditions{OURS})"


def seconds_left() -> str:
    """Write how long the blocks that are open take at the pace of the last ten minutes."""
    pace = 'sum by (campaign) (rate(lingshu_task_attempts_total{campaign=~"$campaign",outcome!="failed"}[10m]))'
    return f'max by (campaign) (lingshu_tasks{{campaign=~"$campaign",state="open"}}) / ({pace} > 0)'


PANELS: Sequence[Panel] = (
    Panel(
        "Conditions complete",
        {"{{campaign}}": share_complete()},
        "percentunit",
        "Of the plan, those of earlier runs included. Empty where an allocation chooses the blocks.",
        kind="gauge",
        width=6,
        height=5,
        defaults={"min": 0, "max": 1},
    ),
    Panel(
        "Blocks open",
        {"{{campaign}}": 'max by (campaign) (lingshu_tasks{campaign=~"$campaign",state="open"})'},
        "short",
        "Blocks that are neither committed nor set aside.",
        kind="stat",
        width=5,
        height=5,
    ),
    Panel(
        "Time left",
        {"{{campaign}}": seconds_left()},
        "s",
        "At the pace of the last ten minutes.",
        kind="stat",
        width=5,
        height=5,
    ),
    Panel(
        "Blocks set aside",
        {"{{campaign}}": 'max by (campaign) (lingshu_tasks{campaign=~"$campaign",state="failed"})'},
        "short",
        "Failed at every attempt.",
        kind="stat",
        width=4,
        height=5,
    ),
    Panel(
        "Replicas",
        {"{{campaign}}": f"max by (campaign) (lingshu_replicas{OURS})"},
        "short",
        "Up or starting.",
        kind="stat",
        width=4,
        height=5,
    ),
    Panel(
        "Conditions",
        {"{{campaign}} {{status}}": f"max by (campaign, status) (lingshu_conditions{OURS})"},
        "short",
        "By what has become of them.",
        stacked=True,
    ),
    Panel(
        "Attempts at blocks",
        {"{{campaign}} {{outcome}}": rate("lingshu_task_attempts_total", "campaign, outcome")},
        "ops",
        "Reported by replicas; each failed one is tried again or set aside.",
    ),
    Panel(
        "Cells and passes",
        {
            "{{campaign}} cells": rate("lingshu_cells_total"),
            "{{campaign}} passes": rate("lingshu_passes_total"),
        },
        "ops",
        "A second, of blocks that were committed.",
    ),
    Panel(
        "Busy share of replicas",
        {"{{campaign}}": (f"{rate('lingshu_replica_busy_seconds_total')} / {rate('lingshu_replica_seconds_total')}")},
        "percentunit",
        "Time at tasks by time paid for. A lease counts when it is reported, so look at a longer range.",
        defaults={"min": 0, "max": 1},
    ),
    Panel(
        "Leases",
        {
            "{{campaign}} in flight": f"max by (campaign) (lingshu_leases_in_flight{OURS})",
            "{{campaign}} lost": f'sum by (campaign) (increase(lingshu_leases_total{OURS[:-1]},status="lost"}}[5m]))',
            "{{campaign}} second": f"sum by (campaign) (increase(lingshu_second_leases_total{OURS}[5m]))",
        },
        "short",
        "In flight now; lost, and handed out beside late ones, within five minutes.",
    ),
    Panel(
        "Length of leases",
        {
            **quantiles("lingshu_lease_duration_seconds"),
            "{{campaign}} mean": (f"{rate('lingshu_lease_seconds_total')} / {rate('lingshu_leases_total')}"),
        },
        "s",
        "From the handing out to the report, waiting in the queue included.",
    ),
    Panel(
        "Latency of commits",
        {
            **quantiles("lingshu_commit_latency_seconds"),
            "{{campaign}} mean": (
                f"{rate('lingshu_commit_seconds_total')} / {rate('lingshu_commit_latency_seconds_count')}"
            ),
        },
        "s",
        "Data, record and trying again.",
    ),
    Panel(
        "Requests to the store",
        {"{{campaign}} {{operation}}": rate("lingshu_store_requests_total", "campaign, operation")},
        "reqps",
        "By operation.",
    ),
    Panel(
        "Errors of the store",
        {
            "{{campaign}} {{kind}}": rate("lingshu_store_errors_total", "campaign, kind"),
            "{{campaign}} tried again": rate("lingshu_store_retries_total"),
        },
        "ops",
        "Requests without a usable answer, and steps that were tried again.",
    ),
    Panel(
        "Traffic with the store",
        {"{{campaign}} {{direction}}": rate("lingshu_store_bytes_total", "campaign, direction")},
        "Bps",
        "Content of objects.",
    ),
    Panel(
        "Runs in the place",
        {"{{campaign}}": f"max by (campaign) (lingshu_epoch{OURS})"},
        "short",
        "Each run that begins or takes over is one more.",
    ),
    Panel(
        "Rows published",
        {"{{campaign}} {{status}}": (f"sum by (campaign, status) (lingshu_conditions_published_total{OURS})")},
        "short",
        "Of the hit tables that were published since the cluster started.",
    ),
    Panel(
        "Blocks cached",
        {"{{campaign}}": f"max by (campaign) (lingshu_blocks_cached{OURS})"},
        "short",
        "Committed before this run, so not computed again.",
    ),
)


def board() -> dict[str, Any]:
    """Give the board as Grafana's JSON."""
    return {
        "title": "lingshu-screen",
        "uid": "lingshu-screen",
        "description": "How virtual screens are getting on.",
        "tags": ["lingshu"],
        "schemaVersion": SCHEMA_VERSION,
        "editable": True,
        "refresh": "15s",
        "time": {"from": "now-3h", "to": "now"},
        "templating": {"list": list(_variables())},
        "panels": list(_placed(PANELS)),
    }


def _variables() -> Iterator[dict[str, Any]]:
    yield {"name": "source", "label": "Prometheus", "type": "datasource", "query": "prometheus"}
    yield {
        "name": "campaign",
        "label": "Campaign",
        "type": "query",
        "datasource": SOURCE,
        "query": {"query": "label_values(lingshu_replica_seconds_total, campaign)", "refId": "campaign"},
        "definition": "label_values(lingshu_replica_seconds_total, campaign)",
        "refresh": 2,
        "multi": True,
        "includeAll": True,
        "current": {"text": ["All"], "value": ["$__all"]},
    }


def _placed(panels: Sequence[Panel]) -> Iterator[dict[str, Any]]:
    """Give panels their places, from left to right and row by row."""
    x = y = 0
    for number, panel in enumerate(panels, start=1):
        if x + panel.width > WIDTH:
            x, y = 0, y + panels[number - 2].height
        yield _panel(number, panel, {"x": x, "y": y, "w": panel.width, "h": panel.height})
        x += panel.width


def _panel(number: int, panel: Panel, place: Mapping[str, int]) -> dict[str, Any]:
    custom = {"custom": {"fillOpacity": 30, "stacking": {"mode": "normal", "group": "A"}}} if panel.stacked else {}
    return {
        "id": number,
        "type": panel.kind,
        "title": panel.title,
        "description": panel.description,
        "datasource": SOURCE,
        "gridPos": place,
        "fieldConfig": {"defaults": {"unit": panel.unit, **panel.defaults, **custom}, "overrides": []},
        "targets": [
            {"refId": chr(ord("A") + place), "datasource": SOURCE, "expr": expression, "legendFormat": legend}
            for place, (legend, expression) in enumerate(panel.queries.items())
        ],
    }


def text() -> str:
    """Give the content of the file."""
    return json.dumps(board(), indent=1) + "\n"


if __name__ == "__main__":
    BOARD.write_text(text(), encoding="utf-8")
