"""Write the table of ``docs/monitoring.md`` from `RUN_METRICS`: ``python docs/make_monitoring_table.py``."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from screening.watching.run_metrics import RUN_METRICS

PAGE = Path(__file__).parent / "monitoring.md"
BEGIN, END = "<!-- metrics: begin -->", "<!-- metrics: end -->"


def rows() -> Iterator[str]:
    """Yield the lines of the table."""
    yield "| Metric | Kind | Unit | Labels | Meaning |"
    yield "|---|---|---|---|---|"
    for name, metric in RUN_METRICS.items():
        labels = "; ".join(f"`{label}`: {values}" for label, values in metric.labels)
        yield f"| `{name}` | {metric.kind} | {metric.unit} | {labels or '–'} | {metric.meaning} |"


def text(page: str) -> str:
    """Replace what stands between the two marks of the page."""
    before, _, rest = page.partition(BEGIN)
    _, _, after = rest.partition(END)
    return f"{before}{BEGIN}\n" + "\n".join(rows()) + f"\n{END}{after}"


if __name__ == "__main__":
    PAGE.write_text(text(PAGE.read_text(encoding="utf-8")), encoding="utf-8")
