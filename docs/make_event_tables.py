"""Write the tables of events in ``docs/watching-a-run.md``: ``python docs/make_event_tables.py``."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from screening.watching.run_events import COMMON, EVENTS, Fields

PAGE = Path(__file__).parent / "watching-a-run.md"
BEGIN, END = "<!-- events: begin -->", "<!-- events: end -->"
TYPES = {str: "text", int: "integer", float: "number", list: "list", type(None): "null"}
HEAD = ("| Field | Type | Meaning |", "|---|---|---|")


def kind_of(kind: type | tuple[type, ...]) -> str:
    """Name the types of a field; a whole number is a number too."""
    kinds = kind if isinstance(kind, tuple) else (kind,)
    return " or ".join(TYPES[each] for each in kinds if not (each is int and float in kinds))


def rows(fields: Fields) -> Iterator[str]:
    """Yield the lines of a table."""
    yield from HEAD
    for name, (kind, meaning) in fields.items():
        yield f"| `{name}` | {kind_of(kind)} | {meaning} |"


def tables() -> str:
    """Return all tables, those of each event below its name."""
    parts = ["\n".join(("Every event has", "", *rows(COMMON)))]
    parts += ["\n".join((f"### `{event}`", "", *rows(fields))) for event, fields in EVENTS.items()]
    return "\n\n".join(parts)


def main() -> None:
    """Replace what stands between the two marks of the page."""
    page = PAGE.read_text(encoding="utf-8")
    before, _, rest = page.partition(BEGIN)
    _, _, after = rest.partition(END)
    PAGE.write_text(f"{before}{BEGIN}\n\n{tables()}\n\n{END}{after}", encoding="utf-8")


if __name__ == "__main__":
    main()
