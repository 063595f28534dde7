"""Numbers, lists and contexts in words; every text of a report is written with these."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

import polars as pl

NAMED = 6
"""Names that a sentence lists before it only counts."""
NONE = "–"


def number(value: float | None, digits: int = 3) -> str:
    """Write a number with so many significant digits and a real minus sign; a dash where there is none."""
    if value is None or math.isnan(value):
        return NONE
    text = f"{value:.{digits}g}" if abs(value) < 10**digits else f"{value:,.0f}"
    return text.replace("-", "−") if "e" not in text else text


def signed(value: float | None) -> str:
    """Write a number with its sign."""
    return NONE if value is None or math.isnan(value) else f"{value:+.3f}".replace("-", "−")


def fixed(value: float | None) -> str:
    """Write a number with three decimals."""
    return signed(value).removeprefix("+")


def share(value: float) -> str:
    """Write a share as per cent."""
    return f"{100 * value:g} %"


def count(amount: int, noun: str, plural: str = "") -> str:
    """Write an amount with its noun."""
    return f"{amount:,} {noun if amount == 1 else plural or noun + 's'}"


def listed(names: Sequence[str], most: int = NAMED, last: str = "and") -> str:
    """List names in a sentence; of many the first few and how many more there are."""
    if len(names) > most:
        return f"{', '.join(names[:most])} {last} {len(names) - most:,} more"
    if len(names) < 2:
        return "".join(names)
    return f"{', '.join(names[:-1])} {last} {names[-1]}"


def sentence(text: str) -> str:
    """Begin with a capital and end with a stop."""
    text = text.strip()
    return text if not text else text[0].upper() + text[1:] + ("" if text[-1] in ".?!…" else ".")


def cells_matching(match: Mapping[str, Any]) -> str:
    """Say which real cells a campaign file means: ``cell_type B cells or NK cells, donor 1``."""
    if not match:
        return "all cells"
    return ", ".join(
        f"{column} {listed([str(value) for value in _several(values)], last='or')}" for column, values in match.items()
    )


def _several(values: Any) -> Sequence[Any]:
    return values if isinstance(values, (list, tuple)) else [values]


def context_names(contexts: pl.Series) -> dict[str, str]:
    """Name contexts as short as they stay apart: ``cell_type=B, donor=1`` becomes ``B · 1``.

    Parameters
    ----------
    contexts
        Labels as the ranked table has them, in any order and number.
    """
    labels = contexts.unique().sort().to_list()
    short = {label: _short(label) for label in labels}
    taken = set(short.values())
    return short if len(taken) == len(short) else {label: label for label in labels}


def _short(label: str) -> str:
    parts = [part.partition("=") for part in label.split(", ")]
    if not all(separator and value for _, separator, value in parts):
        return label or "all cells"
    return " · ".join(value for _, _, value in parts)
