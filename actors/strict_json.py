"""JSON records of the store, read with the fields and types they were written with."""

import json
from collections.abc import Mapping
from typing import Any

from actors.errors import CorruptBlob

Fields = Mapping[str, type | tuple[type, ...]]


def read_object(text: bytes, fields: Fields, key: str) -> dict[str, Any]:
    """Read a JSON object that has exactly these fields.

    Parameters
    ----------
    fields
        Name → type or types; `float` takes whole numbers too, `int` no booleans.
    key
        Of the record, for the message.

    Raises
    ------
    CorruptBlob
        It is something else.
    """
    try:
        content = json.loads(text)
    except (ValueError, RecursionError) as error:  # JSONDecodeError and UnicodeDecodeError; nested too deep
        raise CorruptBlob(f"{key} is not JSON ({error})") from error
    return check_object(content, fields, key)


def check_object(content: object, fields: Fields, key: str) -> dict[str, Any]:
    """Refuse what is no object with exactly these fields, and return it.

    Raises
    ------
    CorruptBlob
        It is something else.
    """
    if not isinstance(content, dict) or set(content) != set(fields):
        found = ", ".join(sorted(map(str, content))) if isinstance(content, dict) else type(content).__name__
        raise CorruptBlob(f"{key} has to have the fields {', '.join(sorted(fields))} and has {found[:200] or 'none'}")
    for name, kind in fields.items():
        if not _is(content[name], kind):
            raise CorruptBlob(f"{key}: {name} is {content[name]!r:.80}, which is of the wrong type")
    return content


def _is(value: object, kind: type | tuple[type, ...]) -> bool:
    kinds = kind if isinstance(kind, tuple) else (kind,)
    if isinstance(value, bool):
        return bool in kinds
    return isinstance(value, kinds) or (isinstance(value, int) and float in kinds)
