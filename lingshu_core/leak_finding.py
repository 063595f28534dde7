"""One thing that a leak checker found."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

Severity = Literal["leak", "note"]
_SHOWN = 5


@dataclass(frozen=True)
class Finding:
    """Something that was there to learn from though it is asked, or that may have been.

    Parameters
    ----------
    kind
        What leaks, such as ``same_cells`` or ``paralogues``.
    severity
        leak: the scores can't be believed; note: can't be told, or is to be kept in mind.
    where
        Fold, model or file.
    count
        How many cells or names.
    examples
        Some of them.
    text
        What was found, in a clause.
    cure
        What to do.
    """

    kind: str
    severity: Severity
    where: str
    count: int
    examples: tuple[str, ...]
    text: str
    cure: str

    @classmethod
    def of(
        cls, kind: str, where: str, things: Sequence[str], text: str, cure: str, severity: Severity = "leak"
    ) -> Finding:
        """Count things and keep a few of them as examples; ``{count}`` in the text is their number."""
        shown = tuple(map(str, list(things)[:_SHOWN]))
        return cls(kind, severity, where, len(things), shown, text.replace("{count}", f"{len(things):,}"), cure)

    def __str__(self) -> str:
        more = ", …" if self.count > len(self.examples) else ""
        shown = f" ({', '.join(self.examples)}{more})" if self.examples else ""
        return f"{self.where}: {self.text}{shown}; {self.cure}"

    def as_data(self) -> dict[str, Any]:
        """Return the finding as plain data."""
        return {**vars(self), "examples": list(self.examples)}
