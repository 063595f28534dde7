"""Canonical JSON and its SHA-256: the same content has the same name everywhere."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Mapping
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


class SharedDigest:
    """Digests of mappings that differ in one entry only: what they share is encoded and hashed once.

    A screen of a million conditions names each of them and each of their blocks; this is what makes it seconds.

    Parameters
    ----------
    shared : mapping
        The entries that are the same in all of them, as plain data.
    entry : str
        Name of the entry that differs.
    """

    def __init__(self, shared: Mapping[str, Any], entry: str) -> None:
        before = [_entry(name, shared[name]) for name in sorted(shared) if name < entry]
        after = [_entry(name, shared[name]) for name in sorted(shared) if name > entry]
        self._before = hashlib.sha256(b"{" + b"".join(part + b"," for part in before) + canonical_json(entry) + b":")
        self._after = b"".join(b"," + part for part in after) + b"}"

    def of(self, encoded: bytes) -> str:
        """Give `digest` of the mapping whose entry is, as canonical JSON, ``encoded``."""
        hashed = self._before.copy()
        hashed.update(encoded + self._after)
        return hashed.hexdigest()

    def of_names(self, names: Iterable[str]) -> str:
        """Give `digest` of the mapping whose entry is the list of these names; they may be millions."""
        hashed = self._before.copy()
        separator = b"["
        for name in names:
            hashed.update(separator + canonical_json(name))
            separator = b","
        hashed.update((b"]" if separator == b"," else b"[]") + self._after)
        return hashed.hexdigest()


def _entry(name: str, value: Any) -> bytes:
    return canonical_json(name) + b":" + canonical_json(value)
