"""Canonical JSON and its SHA-256: the same content has the same name everywhere."""

from __future__ import annotations

import hashlib
import json
from typing import Any

# One encoder for all: building one a call is most of the cost of a small digest.
_ENCODER = json.JSONEncoder(sort_keys=True, separators=(",", ":"), ensure_ascii=False, allow_nan=False)


def canonical_json(value: Any) -> bytes:
    """Encode plain data so that equal content gives equal bytes.

    Keys are sorted, there is no white space, text is UTF-8 and numbers are written as Python's
    shortest representation, so ``1`` and ``1.0`` differ: make a number an int or a float before it comes here.

    Parameters
    ----------
    value
        Dictionaries with text keys, lists, tuples, text, numbers, booleans and None.

    Returns
    -------
    bytes

    Raises
    ------
    TypeError
        The value holds something that JSON doesn't have.
    ValueError
        The value holds NaN or an infinity.
    """
    return _ENCODER.encode(value).encode("utf-8")


def digest(value: Any) -> str:
    """SHA-256 of the canonical JSON of plain data, as 64 hexadecimal digits."""
    return hashlib.sha256(canonical_json(value)).hexdigest()
