"""Suggestions for a name that isn't known."""

from __future__ import annotations

from collections.abc import Iterable
from difflib import get_close_matches

LISTED_NAMES = 12
SUGGESTIONS = 3


def nearest(name: str, names: Iterable[str], count: int = SUGGESTIONS) -> tuple[str, ...]:
    """Give the known names that are most like `name`, whatever their case.

    Parameters
    ----------
    name : str
        What the user wrote.
    names : iterable of str
        What is known.
    count : int
        How many to give at most.

    Returns
    -------
    tuple of str
        Best first; empty where nothing is alike.
    """
    # Names of very different length can't pass the cutoff of .6: 2 m / (a + b) <= 2 min / (a + b).
    shortest, longest = len(name) * 3 / 7, len(name) * 7 / 3
    spelt = {known.casefold(): known for known in names if shortest <= len(known) <= longest}
    return tuple(spelt[key] for key in get_close_matches(name.casefold(), spelt, n=count))


def hint(name: str, names: Iterable[str]) -> str:
    """Say what was probably meant: ``nearest: …``, all names where they are few, else how many there are."""
    known = list(dict.fromkeys(names))
    alike = nearest(name, known)
    if alike:
        return "nearest: " + ", ".join(alike)
    if not known:
        return "none is known"
    if len(known) <= LISTED_NAMES:
        return "known: " + ", ".join(known)
    return f"known: {', '.join(known[:LISTED_NAMES])} and {len(known) - LISTED_NAMES} more"
